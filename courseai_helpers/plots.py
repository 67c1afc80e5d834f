"""Figures of the lesson: filters, activation maps, heatmaps over photos.

Every function returns a :class:`Picture`, a Matplotlib figure that carries a text
description for readers who cannot see it. Colors come from perceptually uniform maps
that color-blind readers can tell apart.
"""

import base64
import html
import io
import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from courseai_helpers.models import Prediction

ACTIVATION_MAP = "viridis"
HEAT_MAP = "inferno"
GAP = 1  # blank pixels between the tiles of a montage


class Picture(Figure):
    """A figure with a text description, shown in a notebook as an image with alt text.

    Attributes:
        description: What the picture shows, in a sentence or two.
    """

    description: str = ""

    def _ipython_display_(self) -> None:
        # JupyterLab drops the alt text of plain PNG outputs, so the image goes out as
        # HTML. Imported here: plots work without IPython, in scripts and in tests.
        from IPython.display import display

        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        alt = html.escape(self.description, quote=True)
        image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
        display({"text/html": image, "text/plain": self.description}, raw=True)


def _picture(width: float, height: float, description: str) -> Picture:
    picture = Picture(figsize=(width, height), dpi=100, layout="constrained")
    picture.description = description
    return picture


def _show(ax: Axes, image: Image.Image | np.ndarray, title: str = "", **options):
    ax.set_axis_off()
    ax.set_title(title, fontsize=10)
    return ax.imshow(image, **options)


def _tile(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Lays [N, H, W, ...] tiles out in one array, row by row, NaN in the gaps."""
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    step_y, step_x = height + GAP, width + GAP
    canvas = np.full(
        (rows * step_y - GAP, columns * step_x - GAP, *tiles.shape[3:]), np.nan
    )
    for index, tile in enumerate(tiles):
        top, left = index // columns * step_y, index % columns * step_x
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _check_heatmap(cam: np.ndarray) -> None:
    if not isinstance(cam, np.ndarray) or cam.ndim != 2:
        raise ValueError(
            "The heatmap must be a NumPy array of shape [H, W], but this is "
            f"{_kind(cam)}. Return it from grad_cam without batch and channel axes."
        )


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return name if shape is None else f"{name} of shape {list(shape)}"


def _hottest_place(cam: np.ndarray) -> str:
    """Says in words where a heatmap is hottest: 'the upper left', 'the center', …"""
    if not cam.max() > 0:
        return "nowhere: the heatmap is zero everywhere"
    row, column = np.unravel_index(np.argmax(cam), cam.shape)
    vertical = ("upper", "", "lower")[min(3 * row // cam.shape[0], 2)]
    horizontal = ("left", "", "right")[min(3 * column // cam.shape[1], 2)]
    return f"in the {' '.join(filter(None, (vertical, horizontal))) or 'center'}"


def _overlay(ax: Axes, image: Image.Image, cam: np.ndarray, title: str):
    """Draws a photo in gray with its heatmap on top, the more opaque the hotter."""
    _check_heatmap(cam)
    shown = np.asarray(image.convert("L"))  # gray: all color is heat
    if shown.shape[:2] != cam.shape:
        raise ValueError(
            f"The photo is {shown.shape[1]}x{shown.shape[0]} pixels, the heatmap "
            f"{cam.shape[1]}x{cam.shape[0]}. Show the crop that the network saw: "
            "crop_seen(photo)."
        )
    _show(ax, shown, title, cmap="gray", vmin=0, vmax=255)
    return ax.imshow(cam, cmap=HEAT_MAP, vmin=0, vmax=1, alpha=0.2 + 0.5 * cam)


def show_image(image: Image.Image, title: str) -> Picture:
    """Shows one photo.

    Args:
        image: The photo, any size.
        title: What to see in it; also the text description.
    """
    picture = _picture(3.6, 3.9, title)
    _show(picture.subplots(), image.convert("RGB"), title)
    return picture


def show_predictions(image: Image.Image, predictions: Sequence[Prediction]) -> Picture:
    """Shows a photo beside its predictions as bars.

    Args:
        image: The crop that the network saw.
        predictions: What `predict_top_k` returned, most probable first.
    """
    words = ", ".join(f"{p.label} {p.probability:.0%}" for p in predictions)
    picture = _picture(8, 3.2, f"The photo and its top predictions: {words}.")
    photo, bars = picture.subplots(1, 2, width_ratios=[1, 1.4])
    _show(photo, image.convert("RGB"), "What the network sees")
    places = range(len(predictions))
    bars.barh(places, [p.probability for p in predictions], color="tab:blue")
    bars.set_yticks(places, [p.label for p in predictions])
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xlabel="probability")
    bars.set_title("Top predictions", fontsize=10)
    bars.spines[["top", "right"]].set_visible(False)
    return picture


def show_filters(images: Sequence[np.ndarray], title: str, columns: int = 8) -> Picture:
    """Shows filters as small color images in one grid.

    Args:
        images: Arrays of shape [H, W, 3] with values in [0, 1], all of one size.
        title: What the grid shows.
        columns: How many filters stand in a row.

    Raises:
        ValueError: If an image has another shape, or values outside [0, 1].
    """
    tiles = np.stack([np.asarray(image, dtype=float) for image in images])
    if tiles.ndim != 4 or tiles.shape[3] != 3:
        raise ValueError(
            "show_filters wants images of shape [H, W, 3], height first and color "
            f"last, but the first one is {_kind(images[0])}."
        )
    if not (tiles.min() >= 0 and tiles.max() <= 1):
        raise ValueError(
            f"The values run from {tiles.min():.3g} to {tiles.max():.3g}, but a color "
            "needs [0, 1]: normalize each filter first."
        )
    count, height, width = tiles.shape[:3]
    picture = _picture(6, 6.3, f"{title}. {count} images of {height}x{width} pixels.")
    canvas = np.nan_to_num(_tile(tiles, columns), nan=1.0)
    _show(picture.subplots(), canvas, title, interpolation="nearest")
    return picture


def show_activation_grid(
    activation: torch.Tensor, layer_name: str, channels: int = 16
) -> Picture:
    """Shows the first channels of an activation in a grid, all on one color scale.

    Args:
        activation: Float tensor [1, C, H, W], as `capture_activations` returns it.
        layer_name: The layer it came from, for the title.
        channels: How many channels to show, at most C.

    Raises:
        ValueError: If the activation has another number of axes.
    """
    if activation.ndim != 4 or activation.shape[0] != 1:
        raise ValueError(
            "show_activation_grid wants the activation of one image, shape "
            f"[1, C, H, W], but got {_kind(activation)}."
        )
    maps = activation[0, :channels].detach().cpu().float().numpy()
    count, height, width = activation.shape[1:]
    title = f"{layer_name}: {len(maps)} of {count} activation maps, {height}x{width}"
    low, high = np.percentile(maps, [0.5, 99.5])
    picture = _picture(
        5.4,
        5.2,
        f"{title}, in a grid. Colors run from {low:.2g} (dark) to {high:.2g} (bright); "
        f"{np.mean(maps > 0.25 * high):.0%} of the cells are above a quarter of that.",
    )
    ax = picture.subplots()
    canvas = _tile(maps, columns=4)
    drawn = _show(ax, canvas, title, cmap=ACTIVATION_MAP, vmin=low, vmax=high)
    picture.colorbar(drawn, ax=ax, shrink=0.8, label="activation", extend="both")
    return picture


def show_grad_cam(image: Image.Image, cam: np.ndarray, title: str) -> Picture:
    """Shows a photo, its heatmap, and the heatmap laid over the photo.

    Args:
        image: The crop that the network saw, of the heatmap's size.
        cam: Heatmap [H, W] with values in [0, 1].
        title: What the heatmap explains, for example the class.

    Raises:
        ValueError: If the heatmap has another shape than the photo.
    """
    _check_heatmap(cam)
    picture = _picture(
        9, 3.2, f"{title}. The heatmap is hottest {_hottest_place(cam)} of the photo."
    )
    photo, heat, both = picture.subplots(1, 3)
    _show(photo, image.convert("RGB"), "What the network sees")
    _show(heat, cam, "Heatmap", cmap=HEAT_MAP, vmin=0, vmax=1)
    _overlay(both, image, cam, "Heatmap over the photo")
    picture.colorbar(heat.images[0], ax=[photo, heat, both], label="heat", shrink=0.8)
    picture.suptitle(title, fontsize=11)
    return picture


def compare_heatmaps(
    panels: Sequence[tuple[Image.Image, np.ndarray, str]],
    title: str,
    box: tuple[int, int, int, int] | None = None,
) -> Picture:
    """Shows heatmaps over their photos side by side, on one color scale.

    Args:
        panels: For each panel the photo, its heatmap [H, W] in [0, 1], and a caption.
        title: What to compare.
        box: Outline to draw on every panel, (left, top, right, bottom) in pixels.
    """
    words = "; ".join(
        f"{caption}: hottest {_hottest_place(cam)}" for _, cam, caption in panels
    )
    picture = _picture(3.2 * len(panels) + 0.8, 3.6, f"{title}. {words}.")
    axes = picture.subplots(1, len(panels), squeeze=False)[0]
    for ax, (image, cam, caption) in zip(axes, panels, strict=True):
        drawn = _overlay(ax, image, cam, caption)
        if box:
            left, top, right, bottom = box
            ax.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),
                    right - left,
                    bottom - top,
                    fill=False,
                    edgecolor="white",
                    linewidth=2,
                )
            )
    bar = picture.colorbar(drawn, ax=list(axes), label="heat", shrink=0.8)
    bar.solids.set_alpha(1)
    picture.suptitle(title, fontsize=11)
    return picture


def show_gallery(
    rows: Sequence[tuple[str, Image.Image, np.ndarray] | tuple[str, Exception]],
    title: str,
) -> Picture:
    """Shows photos beside their heatmaps, a row for each; a failed one says why.

    Args:
        rows: (caption, photo, heatmap [H, W] in [0, 1]), or (caption, exception) for
            a photo that could not be loaded.
        title: What the gallery shows.
    """
    lines = [
        f"{row[0]}: " + (str(row[1]) if len(row) == 2 else _hottest_place(row[2]))
        for row in rows
    ]
    heights = [2.8 if len(row) == 3 else 0.9 for row in rows]
    picture = _picture(6, sum(heights) + 0.4, f"{title}. {'; '.join(lines)}.")
    axes = picture.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
    for (left, right), (caption, *content) in zip(axes, rows, strict=True):
        if len(content) == 2:
            _show(left, content[0].convert("RGB"), caption)
            _overlay(right, *content, "Grad-CAM")
        else:
            _explain_failure(left, right, caption, content[0])
    picture.suptitle(title, fontsize=11)
    return picture


def _explain_failure(left: Axes, right: Axes, caption: str, error: Exception) -> None:
    for ax in (left, right):
        ax.set_axis_off()
    left.set_title(caption, fontsize=10)
    words = textwrap.fill(f"Not shown: {error}", 95)
    note = left.text(0, 0.9, words, va="top", fontsize=8, transform=left.transAxes)
    note.set_in_layout(False)  # it runs on under the empty place of the heatmap
