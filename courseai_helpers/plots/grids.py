"""Figures of the lesson: photos, filters, activation maps, heatmaps.

Every function returns a `Picture`, a Matplotlib figure that carries a text description
for readers who cannot see it. Colors come from perceptually uniform maps that
color-blind readers can tell apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image

from courseai_helpers.models.pretrained import Prediction
from courseai_helpers.plots.figure import (
    GAP,
    Picture,
    draw,
    kind_of,
    make_picture,
    tile,
)

ACTIVATION_MAP = "viridis"
SIGNED_MAP = "RdBu_r"


def show_image(image: Image.Image, title: str) -> Picture:
    """Shows one photo.

    Args:
        image: The photo, any size.
        title: What to see in it; also the text description.
    """
    picture = make_picture(3.6, 3.9, title)
    draw(picture.subplots(), image.convert("RGB"), title)
    return picture


def show_predictions(image: Image.Image, predictions: Sequence[Prediction]) -> Picture:
    """Shows a photo beside its predictions as bars.

    Args:
        image: The crop that the network saw.
        predictions: What `predict_top_k` returned, most probable first.
    """
    words = ", ".join(f"{p.label} {p.probability:.0%}" for p in predictions)
    picture = make_picture(8, 3.2, f"The photo and its top predictions: {words}.")
    photo, bars = picture.subplots(1, 2, width_ratios=[1, 1.4])
    draw(photo, image.convert("RGB"), "What the network sees")
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
            f"last, but the first one is {kind_of(images[0])}."
        )
    if not (tiles.min() >= 0 and tiles.max() <= 1):
        raise ValueError(
            f"The values run from {tiles.min():.3g} to {tiles.max():.3g}, but a color "
            "needs [0, 1]: normalize each filter first."
        )
    count, height, width = tiles.shape[:3]
    picture = make_picture(
        6, 6.3, f"{title}. {count} images of {height}x{width} pixels."
    )
    canvas = np.nan_to_num(tile(tiles, columns), nan=1.0)
    draw(picture.subplots(), canvas, title, interpolation="nearest")
    return picture


def show_activation_grid(
    activation: torch.Tensor,
    layer_name: str,
    photo: Image.Image | None = None,
    channels: int = 16,
) -> Picture:
    """Shows the first channels of an activation in a grid, all on one color scale.

    Values of both signs, as a convolution gives them, get colors that run from negative
    over a white zero to positive; after a ReLU they run from dark to bright.

    Args:
        activation: Float tensor [1, C, H, W], as `capture_activations` returns it.
        layer_name: The layer it came from, for the title.
        photo: The crop that the network saw, to stand beside the grid.
        channels: How many channels to show, at most C.

    Raises:
        ValueError: If the activation has another number of axes.
    """
    if activation.ndim != 4 or activation.shape[0] != 1:
        raise ValueError(
            "show_activation_grid wants the activation of one image, shape "
            f"[1, C, H, W], but got {kind_of(activation)}."
        )
    maps = activation[0, :channels].detach().cpu().float().numpy()
    count, height, width = activation.shape[1:]
    title = f"{layer_name}: {len(maps)} of {count} activation maps, {height}x{width}"
    colors, words = _choose_colors(maps)
    widths = [1, 2] if photo else [1]
    picture = make_picture(3.2 * sum(widths), 5.6, f"{title}, in a grid. {words}")
    *beside, grid = picture.subplots(
        1, len(widths), width_ratios=widths, squeeze=False
    )[0]
    if photo:
        draw(beside[0], photo.convert("RGB"), "What the network sees")
    drawn = draw(grid, tile(maps, columns=4), title, **colors)
    _number_tiles(grid, len(maps), height, width)
    picture.colorbar(drawn, ax=grid, shrink=0.7, label="activation", extend="both")
    return picture


def _choose_colors(maps: np.ndarray) -> tuple[dict[str, Any], str]:
    """Chooses colors for all maps together, and says in words what they show."""
    low, high = np.percentile(maps, [0.5, 99.5])
    share = f"{np.mean(maps > 0.25 * high):.0%} of the cells are above {high / 4:.2g}."
    if low >= 0:
        words = f"Colors run from {low:.2g} (dark) to {high:.2g} (bright); {share}"
        return {"cmap": ACTIVATION_MAP, "vmin": low, "vmax": high}, words
    far = max(-low, high)
    words = f"Colors run from {-far:.2g} (blue) over 0 (white) to {far:.2g} (red); "
    return {"cmap": SIGNED_MAP, "vmin": -far, "vmax": far}, words + share


def _number_tiles(ax: Axes, count: int, height: int, width: int) -> None:
    """Writes each channel's number into the corner of its tile, in a grid of four."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    for channel in range(count):
        row, column = divmod(channel, 4)
        corner = column * (width + GAP) - 0.5, row * (height + GAP) - 0.5
        text = ax.text(*corner, str(channel), size=7, ha="left", va="top", bbox=paper)
        text.set_in_layout(False)


def show_scenes(
    images: Sequence[Image.Image],
    captions: Sequence[str],
    title: str,
    columns: int = 4,
) -> Picture:
    """Shows images of one size in rows, each with its caption."""
    rows = -(-len(images) // columns)
    size = 2 * columns, 2.2 * rows + 0.3
    picture = make_picture(*size, f"{title}: {', '.join(captions)}.")
    axes = picture.subplots(rows, columns, squeeze=False).flat
    for ax in axes[len(images) :]:
        ax.set_axis_off()
    for ax, image, caption in zip(axes, images, captions, strict=False):
        draw(ax, image, caption)
    picture.suptitle(title, fontsize=11)
    return picture
