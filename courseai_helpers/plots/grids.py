"""Figures of the lesson: photos, filters, activation maps, heatmaps.

Every function returns a `Picture`, a Matplotlib figure that carries a text description
for readers who cannot see it. Colors come from perceptually uniform maps that
color-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from courseai_helpers.models.pretrained import Prediction
from courseai_helpers.plots.figure import Picture, draw, kind_of, make_picture, tile

ACTIVATION_MAP = "viridis"


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
            f"[1, C, H, W], but got {kind_of(activation)}."
        )
    maps = activation[0, :channels].detach().cpu().float().numpy()
    count, height, width = activation.shape[1:]
    title = f"{layer_name}: {len(maps)} of {count} activation maps, {height}x{width}"
    low, high = np.percentile(maps, [0.5, 99.5])
    picture = make_picture(
        5.4,
        5.2,
        f"{title}, in a grid. Colors run from {low:.2g} (dark) to {high:.2g} (bright); "
        f"{np.mean(maps > 0.25 * high):.0%} of the cells are above a quarter of that.",
    )
    ax = picture.subplots()
    canvas = tile(maps, columns=4)
    drawn = draw(ax, canvas, title, cmap=ACTIVATION_MAP, vmin=low, vmax=high)
    picture.colorbar(drawn, ax=ax, shrink=0.8, label="activation", extend="both")
    return picture


def show_scenes(
    images: Sequence[Image.Image], captions: Sequence[str], title: str
) -> Picture:
    """Shows images of one size side by side, each with its caption."""
    picture = make_picture(1.5 * len(images), 2.1, f"{title}: {', '.join(captions)}.")
    axes = picture.subplots(1, len(images), squeeze=False)[0]
    for ax, image, caption in zip(axes, images, captions, strict=True):
        draw(ax, image, caption)
    picture.suptitle(title, fontsize=11)
    return picture


def show_shares(shares: Mapping[str, Sequence[float]], title: str) -> Picture:
    """Shows shares as one row of dots for each group, with the mean of each.

    Args:
        shares: Group name to shares in [0, 1], one for each image.
        title: What the shares measure.
    """
    means = {name: np.mean(values) for name, values in shares.items()}
    words = "; ".join(f"{name}: {mean:.0%} on average" for name, mean in means.items())
    picture = make_picture(7, 0.8 * len(shares) + 1.2, f"{title}. {words}.")
    ax = picture.subplots()
    for row, (name, values) in enumerate(shares.items()):
        # The dots are spread evenly over the row's height, so that none hides another.
        heights = row + np.linspace(-0.25, 0.25, len(values))
        ax.scatter(values, heights, s=18, alpha=0.7, label=name)
        mean = means[name]
        ax.plot([mean, mean], [row - 0.35, row + 0.35], color="black", lw=2)
        ax.annotate(f"mean {mean:.0%}", (mean, row - 0.38), ha="center")
    ax.set_yticks(range(len(shares)), list(shares))
    ax.set(xlim=(0, 1), ylim=(len(shares) - 0.5, -0.6), xlabel="share of the heat")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    return picture
