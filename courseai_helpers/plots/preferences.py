"""A figure of what channels look for: made pictures above, found places below."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from PIL import Image

from courseai_helpers.plots.figure import Picture, draw, make_picture
from courseai_helpers.plots.heatmaps import draw_outline


class Preference(NamedTuple):
    """What one channel, or one class, looks for.

    Attributes:
        caption: The layer and the channel.
        made: A picture made to excite it.
        found: The photo's crop that excites it most.
        activation: Its activation map [h, w] for that photo; for a class its score [].
        field: How many pixels in each direction one cell of the map sees.
    """

    caption: str
    made: Image.Image
    found: Image.Image
    activation: torch.Tensor
    field: int


def show_preferences(preferences: Sequence[Preference], title: str) -> Picture:
    """Shows made pictures above the photos that excite the same channels most.

    A frame in a photo is what the most excited cell sees; where it is larger than the
    photo, there is none.

    Args:
        preferences: A column for each.
        title: What the figure shows.
    """
    captions = ", ".join(preference.caption for preference in preferences)
    picture = make_picture(
        2 * len(preferences),
        4.9,
        f"{title} Above, for {captions}: a picture made to excite it. Below: the photo "
        "of the lesson that excites it most, with a frame around what the cell sees.",
    )
    above, below = picture.subplots(2, len(preferences), squeeze=False)
    for upper, lower, preference in zip(above, below, preferences, strict=True):
        draw(upper, preference.made, preference.caption)
        draw(lower, preference.found.convert("RGB"), "found")
        _frame_field(lower, preference)
    picture.suptitle(title, fontsize=11)
    return picture


def _frame_field(ax: Axes, preference: Preference) -> None:
    """Draws a frame around what the most excited cell sees."""
    width, height = preference.found.size
    if preference.activation.ndim < 2 or preference.field >= min(width, height):
        return
    rows, columns = preference.activation.shape
    row, column = divmod(preference.activation.argmax().item(), columns)
    half = preference.field / 2
    middle_x, middle_y = (column + 0.5) * width / columns, (row + 0.5) * height / rows
    draw_outline(
        ax,
        (
            max(0, middle_x - half),
            max(0, middle_y - half),
            min(width, middle_x + half),
            min(height, middle_y + half),
        ),
    )
