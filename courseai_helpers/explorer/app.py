"""The explorer: look into a network by hand, with the functions of the lesson."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image

from courseai_helpers.explorer.controls import (
    ACTIVATION,
    BOX,
    FILTER,
    GRAD_CAM,
    arrange,
    make_controls,
    write_message,
    write_picture,
    write_predictions,
    write_probability,
)
from courseai_helpers.explorer.photo_picker import YOURS, PhotoChoice
from courseai_helpers.explorer.render import (
    View,
    draw_color_filter,
    draw_deep_filter,
    draw_heatmap,
    draw_map,
    read_value,
)
from courseai_helpers.explorer.session import Inquiry, UnansweredError


def explore(
    model: torch.nn.Module,
    photo: Image.Image,
    *,
    grad_cam: Callable[..., Any] | None = None,
    capture_activations: Callable[..., Any] | None = None,
    normalize_filters: Callable[..., Any] | None = None,
    filter_to_image: Callable[..., Any] | None = None,
) -> widgets.Widget:
    """Opens the explorer: filters, activation maps and heatmaps of any stage.

    It computes nothing itself but asks the functions of the lesson, those that you have
    written. Where one is missing or fails, it says so and shows the rest.

    Args:
        model: A classifier such as `load_resnet18()` returns, in eval mode.
        photo: The photo to begin with; others can be chosen in the explorer.
        grad_cam: As the lesson asks for it; the others likewise.
        capture_activations: Gives the activation maps.
        normalize_filters: Gives the colors of the filters.
        filter_to_image: Turns a filter over three colors into an image.

    Returns:
        A widget for JupyterLab; where widgets cannot run, its first picture.

    Raises:
        ImageError: If the photo cannot be used.
    """
    functions = {
        "grad_cam": grad_cam,
        "capture_activations": capture_activations,
        "normalize_filters": normalize_filters,
        "filter_to_image": filter_to_image,
    }
    return Explorer(Inquiry(model, functions), photo)


def in_turn(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Handles one change at a time, and none that the explorer itself makes.

    JupyterLab reports changed values in one thread and pressed buttons in another.
    """

    @functools.wraps(handle)
    def wait(self: "Explorer", *arguments: Any, **options: Any) -> None:
        with self._turn:
            if not self._settling:
                handle(self, *arguments, **options)

    return wait


class Explorer(widgets.VBox):
    """The widgets of `explore`, and what happens when one of them changes."""

    def __init__(self, inquiry: Inquiry, photo: Image.Image):
        inquiry.take(photo)
        self._inquiry = inquiry
        self._choice = PhotoChoice(photo, self._change_photo)
        self._turn = threading.RLock()
        self._settling = False  # true while the explorer itself changes its controls
        c = make_controls(self._choice.names, inquiry.stages, inquiry.ranking)
        self.controls = c
        super().__init__(arrange(c))
        self.add_class(BOX)
        self._start_over()
        for control in (c.view, c.layer, c.channel, c.opacity, c.row, c.column):
            control.observe(self._update, "value")
        self._choice.connect(c)
        c.target.observe(self._change_class, "value")
        c.reset.on_click(self._start_over)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Adds to the widget what is shown where no widget can run."""
        c = self.controls
        parts = [c.picture.value, c.message.value, c.predictions.value]
        words = "The explorer, a widget for JupyterLab. "
        words += self._title(c.layer.value)
        return super()._repr_mimebundle_(**options) | {
            "text/plain": words,
            "text/html": "\n".join(parts),
        }

    @contextlib.contextmanager
    def _settle(self) -> Iterator[None]:
        self._settling = True
        try:
            yield
        finally:
            self._settling = False

    @in_turn
    def _start_over(self, button: widgets.Button | None = None) -> None:
        c = self.controls
        with self._settle():
            c.photo.value, c.address.value = YOURS, ""
            c.view.value, c.layer.value = GRAD_CAM, self._inquiry.stages[-1]
            c.channel.value = c.row.value = c.column.value = 0
            c.opacity.value = 60
        self._change_photo("")

    @in_turn
    def _change_photo(self, note: str) -> None:
        if not note:
            photo, note = self._choice.load(self.controls.photo.value)
            self._inquiry.take(photo)
            self._class = self._inquiry.ranking[0]
            best = self._inquiry.ranking[:5]
            self.controls.predictions.value = write_predictions(best)
        self._update(note=note)

    @in_turn
    def _change_class(self, change: dict[str, Any]) -> None:
        note = ""
        try:
            self._class = self._inquiry.find_class(change["new"])
        except UnansweredError as reason:
            note = str(reason)
        self._update(note=note)

    @in_turn
    def _update(self, change: dict[str, Any] | None = None, note: str = "") -> None:
        """Makes the controls consistent and shows what they select."""
        with self._settle():
            layer = self.controls.layer.value  # another may be chosen meanwhile
            self._align_controls(layer)
            self._show(layer, note)

    def _align_controls(self, layer: str) -> None:
        c = self.controls
        c.channel.max = self._inquiry.count_channels(layer) - 1
        c.target.value = f"{self._class.class_index}: {self._class.label}"
        c.channel.disabled = c.view.value == GRAD_CAM
        c.target.disabled = c.view.value != GRAD_CAM
        c.opacity.disabled = c.view.value == FILTER

    def _show(self, layer: str, note: str) -> None:
        c, title = self.controls, self._title(layer)
        try:
            view = self._look(layer)
        except UnansweredError as reason:
            c.picture.value, c.message.value = "", write_message(note, str(reason))
            return
        rows, columns = view.values.shape[-2:]
        c.row.max, c.column.max = rows - 1, columns - 1
        place = c.row.value, c.column.value
        c.picture.value = write_picture(view, title, *place)
        c.message.value = write_message(note, read_value(view, *place), view.scale)

    def _title(self, layer: str) -> str:
        c, shown = self.controls, self._class
        if c.view.value == GRAD_CAM:
            name = f"“{shown.label}” ({write_probability(shown)})"
            return f"Grad-CAM at {layer} for {name}"
        return f"{c.view.value.capitalize()} {c.channel.value} of {layer}"

    def _look(self, layer: str) -> View:
        """Asks for what the controls select, and draws it."""
        c, inquiry = self.controls, self._inquiry
        channel, opacity = c.channel.value, c.opacity.value / 100
        if c.view.value == FILTER:
            weights, image = inquiry.read_filter(layer, channel)
            draw = draw_color_filter if len(weights) == 3 else draw_deep_filter
            return draw(image, weights)
        if c.view.value == ACTIVATION:
            one = inquiry.read_activation(layer)[channel]
            limits = inquiry.read_limits(layer)
            return draw_map(inquiry.crop, one, limits, opacity)
        cam = inquiry.read_heatmap(layer, self._class.class_index)
        return draw_heatmap(inquiry.crop, cam, opacity)
