"""What the explorer shows: pictures with a scale, a description and their numbers.

They are drawn with NumPy and Pillow: a Matplotlib figure takes longer than a reader who
moves a slider will wait.
"""

from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from courseai_helpers.plots.figure import tile
from courseai_helpers.plots.grids import ACTIVATION_MAP
from courseai_helpers.plots.heatmaps import HEAT_MAP

SIDE = 448
COLORS = ("red", "green", "blue")


class View(NamedTuple):
    """One picture of the explorer.

    Attributes:
        image: RGB, its longer side at most 448 pixels.
        values: The numbers behind it: [rows, columns], or [3, rows, columns] for a
            filter over colors. NaN where there is none.
        scale: What the colors stand for, in words.
        description: What the picture shows, in words.
        over_photo: Whether a photo lies below.
    """

    image: Image.Image
    values: np.ndarray
    scale: str
    description: str
    over_photo: bool = False


def draw_heatmap(crop: Image.Image, cam: np.ndarray, opacity: float) -> View:
    """Lays a heatmap over the photo that it explains.

    Args:
        crop: The crop that the network saw.
        cam: Heatmap [H, W] with values in [0, 1].
        opacity: Of the heat, in [0, 1].
    """
    colors = _color(cam, HEAT_MAP, 0.0, 1.0)
    scale = "Heat from 0 (black) over purple and orange to 1 (pale yellow)."
    words = f"Heat over the photo in gray. {_find_peak(cam)}"
    return View(_blend(crop, colors, opacity), cam, scale, words, True)


def draw_map(
    crop: Image.Image, values: np.ndarray, limits: tuple[float, float], opacity: float
) -> View:
    """Lays one activation map over the photo, cell by cell.

    Args:
        crop: The crop that the network saw.
        values: Activation map [h, w].
        limits: The activations with the darkest and the brightest color; what lies
            outside has the same color as the nearer one.
        opacity: Of the map, in [0, 1].
    """
    low, high = limits
    colors = _color(values, ACTIVATION_MAP, low, high)
    scale = (
        f"Activation from {low:.3g} (dark purple) over green to {high:.3g} (yellow), "
        f"the same for all channels of this layer; here it runs from "
        f"{values.min():.3g} to {values.max():.3g}."
    )
    rows, columns = values.shape
    words = (
        f"A map of {rows}x{columns} cells over the photo in gray. {_find_peak(values)}"
    )
    return View(_blend(crop, colors, opacity), values, scale, words, True)


def draw_color_filter(image: np.ndarray, weights: np.ndarray) -> View:
    """Shows a filter over red, green and blue as a small picture.

    Args:
        image: [H, W, 3], values in [0, 1].
        weights: The weights [3, H, W] that it shows.
    """
    colors = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    scale = (
        f"Weights from {weights.min():.3g} (no color) to {weights.max():.3g} (full "
        "color), on a scale of this filter's own."
    )
    rows, columns = weights.shape[1:]
    words = f"Filter of {rows}x{columns} pixels over red, green and blue."
    return View(_enlarge(colors), weights, scale, words)


def draw_deep_filter(image: np.ndarray, weights: np.ndarray) -> View:
    """Shows a filter over many input channels, one small square for each of them.

    Args:
        image: [C, H, W], values in [0, 1].
        weights: The weights [C, H, W] that it shows.
    """
    count, rows, columns = weights.shape
    across = int(np.ceil(np.sqrt(count)))
    canvas = tile(image, across)
    colors = _color(np.nan_to_num(canvas), ACTIVATION_MAP, 0.0, 1.0)
    colors[np.isnan(canvas)] = 255
    scale = (
        f"Weights from {weights.min():.3g} (dark purple) over green to "
        f"{weights.max():.3g} (yellow), on a scale of this filter's own."
    )
    words = (
        f"Filter over {count} input channels: a square of {rows}x{columns} weights for "
        f"each, {across} in a row."
    )
    return View(_enlarge(colors), tile(weights, across), scale, words)


def mark_cell(view: View, row: int, column: int) -> Image.Image:
    """Returns the picture with a frame around one cell."""
    image = view.image.copy()
    size = image.width / view.values.shape[-1]
    left, top, right, bottom = (
        round(edge * size) for edge in (column, row, column + 1, row + 1)
    )
    room = max(0, 5 - (right - left) // 2)  # a frame around one pixel would hide it
    draw = ImageDraw.Draw(image)
    box = (left - room, top - room, right - 1 + room, bottom - 1 + room)
    draw.rectangle(box, outline="black", width=3)
    draw.rectangle(box, outline="white", width=1)
    return image


def read_value(view: View, row: int, column: int) -> str:
    """Returns the value of one cell in words."""
    value = np.atleast_1d(view.values[..., row, column])
    place = f"Row {row}, column {column}: "
    if np.isnan(value).any():
        return place + "no value, the gap between two input channels."
    if len(value) == 1:
        return place + f"{value[0]:.3g}."
    named = zip(COLORS, value, strict=True)
    return place + ", ".join(f"{color} {number:.3g}" for color, number in named) + "."


def _color(values: np.ndarray, name: str, low: float, high: float) -> np.ndarray:
    scaled = (np.asarray(values, dtype=float) - low) / ((high - low) or 1)
    return matplotlib.colormaps[name](np.clip(scaled, 0, 1), bytes=True)[..., :3]


def _enlarge(colors: np.ndarray) -> Image.Image:
    """Repeats every cell as often as there is room for: none is wider than another."""
    times = max(1, SIDE // max(colors.shape[:2]))
    return Image.fromarray(colors.repeat(times, axis=0).repeat(times, axis=1))


def _blend(crop: Image.Image, colors: np.ndarray, opacity: float) -> Image.Image:
    heat = _enlarge(colors)
    gray = crop.convert("L").resize(heat.size).convert("RGB")  # all color is heat
    return Image.blend(gray, heat, opacity)


def _find_peak(values: np.ndarray) -> str:
    if values.max() == values.min():
        return f"It is {values.max():.3g} everywhere."
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return f"The largest value is {values.max():.3g}, in row {row}, column {column}."
