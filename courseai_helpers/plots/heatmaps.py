"""Heatmaps over photos, alone, side by side and in a gallery."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from PIL import Image

from courseai_helpers.plots.figure import Picture, draw, kind_of, make_picture

HEAT_MAP = "inferno"
OPACITY = 0.75  # of the hottest place
Box = tuple[int, int, int, int]


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
    picture = make_picture(
        9, 3.2, f"{title}. The heatmap is hottest {_hottest_place(cam)} of the photo."
    )
    photo, heat, both = picture.subplots(1, 3)
    draw(photo, image.convert("RGB"), "What the network sees")
    draw(heat, cam, "Heatmap", cmap=HEAT_MAP, vmin=0, vmax=1)
    _overlay(both, image, cam, "Heatmap over the photo")
    picture.colorbar(heat.images[0], ax=[photo, heat, both], label="heat", shrink=0.8)
    picture.suptitle(title, fontsize=11)
    return picture


def compare_heatmaps(
    panels: Sequence[tuple[Image.Image, np.ndarray, str]],
    title: str,
    boxes: Sequence[Box] = (),
    columns: int = 4,
) -> Picture:
    """Shows heatmaps over their photos side by side, on one color scale.

    Args:
        panels: For each panel the photo, its heatmap [H, W] in [0, 1], and a caption.
        title: What to compare.
        boxes: For each panel an outline, (left, top, right, bottom) in pixels; none at
            all draws none.
        columns: How many panels stand in a row, at most.
    """
    words = "; ".join(
        f"{' '.join(caption.split())}: hottest {_hottest_place(cam)}"
        for _, cam, caption in panels
    )
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    side = 3.2 if columns < 4 else 2.4
    wide = panels[0][0].width / panels[0][0].height
    width, height = side * wide**0.5, side / wide**0.5  # one area for all shapes
    picture = make_picture(
        width * columns + 0.8, (height + 0.3) * rows + 0.4, f"{title}. {words}."
    )
    axes = picture.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (image, cam, caption) in zip(axes.flat, panels, strict=False):
        drawn = _overlay(ax, image, cam, caption)
    for ax, box in zip(axes.flat, boxes, strict=False):
        draw_outline(ax, box)
    bar = picture.colorbar(drawn, ax=list(axes.flat), label="heat", shrink=0.8)
    if bar.solids is not None:  # it has the heatmap's, which are half clear
        bar.solids.set_alpha(1)
    picture.suptitle(title, fontsize=11)
    return picture


def show_gallery(
    rows: Sequence[tuple[str, Image.Image, np.ndarray]], title: str
) -> Picture:
    """Shows photos beside their heatmaps, two pairs in a row.

    Args:
        rows: For each photo its caption, the photo, and its heatmap [H, W] in [0, 1].
        title: What the gallery shows.
    """
    words = "; ".join(
        f"{' '.join(caption.split())}: {_hottest_place(cam)}"
        for caption, _, cam in rows
    )
    height = -(-len(rows) // 2)
    picture = make_picture(9, 2.6 * height + 0.4, f"{title}. {words}.")
    pairs = picture.subplots(height, 4, squeeze=False).reshape(-1, 2)
    for ax in pairs[len(rows) :].flat:
        ax.set_axis_off()
    for (left, right), (caption, image, cam) in zip(pairs, rows, strict=False):
        draw(left, image.convert("RGB"), caption)
        _overlay(right, image, cam, "Grad-CAM")
    picture.suptitle(title, fontsize=11)
    return picture


def _overlay(ax: Axes, image: Image.Image, cam: np.ndarray, title: str) -> AxesImage:
    """Draws a photo in gray with its heatmap on top, the more opaque the hotter."""
    _check_heatmap(cam)
    shown = np.asarray(image.convert("L"))  # gray: all color is heat
    if shown.shape[:2] != cam.shape:
        raise ValueError(
            f"The photo is {shown.shape[1]}x{shown.shape[0]} pixels, the heatmap "
            f"{cam.shape[1]}x{cam.shape[0]}. Show the crop that the network saw: "
            "crop_seen(photo)."
        )
    draw(ax, shown, title, cmap="gray", vmin=0, vmax=255)
    # Where nothing speaks for the class, nothing covers the photo.
    return ax.imshow(cam, cmap=HEAT_MAP, vmin=0, vmax=1, alpha=OPACITY * cam)


def draw_outline(ax: Axes, box: tuple[float, float, float, float]) -> None:
    """Draws a box (left, top, right, bottom), in pixels, into an image's axes."""
    left, top, right, bottom = box
    corner = (left - 0.5, top - 0.5)  # a pixel's number is that of its center
    size = (right - left, bottom - top)
    ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2))


def _check_heatmap(cam: np.ndarray) -> None:
    if not isinstance(cam, np.ndarray) or cam.ndim != 2:
        raise ValueError(
            "The heatmap must be a NumPy array of shape [H, W], but this is "
            f"{kind_of(cam)}. Return it from grad_cam without batch and channel axes."
        )


def _hottest_place(cam: np.ndarray) -> str:
    """Says where a heatmap is hottest: 'in the upper left part', 'in the center', …"""
    if not cam.max() > 0:
        return "nowhere: the heatmap is zero everywhere"
    row, column = np.unravel_index(np.argmax(cam), cam.shape)
    vertical = ("upper", "", "lower")[min(3 * row // cam.shape[0], 2)]
    horizontal = ("left", "", "right")[min(3 * column // cam.shape[1], 2)]
    words = " ".join(filter(None, (vertical, horizontal)))
    return f"in the {words} part" if words else "in the center"
