"""What every figure of the lesson is made of: a picture that describes itself."""

import base64
import html
import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

GAP = 1  # blank pixels between the tiles of a montage


class Picture(Figure):
    """A figure with a text description, shown in a notebook as an image with alt text.

    Attributes:
        description: What the picture shows, in a sentence or two.
    """

    description: str = ""

    def _ipython_display_(self) -> None:
        # JupyterLab drops the alt text of plain image outputs, so the image goes out as
        # HTML; as WebP it is a tenth of a PNG, and notebooks are sent around. What
        # knows no HTML, such as an export to PDF or Word, takes the JPEG. Imported
        # here: plots work without IPython, in scripts and in tests.
        from IPython.display import display

        image = self._render()
        alt = html.escape(self.description, quote=True)
        shown = (
            f'<img alt="{alt}" src="data:image/webp;base64,{_encode(image, "WEBP")}">'
        )
        data = {"text/html": shown, "text/plain": self.description}
        data["image/jpeg"] = _encode(image, "JPEG")
        alt_text = {"image/jpeg": {"alt": self.description}}
        display(data, metadata=alt_text, raw=True)

    def _render(self) -> Image.Image:
        """Draws the figure, once for every format that it goes out in."""
        image = self._draw()
        pixels = np.asarray(image)
        edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
        if any((edge != pixels[0, 0]).any() for edge in edges):
            # Layout makes no room for the width of titles. Seldom is one so long, and
            # to look for it beforehand costs as much as to draw a second time.
            image = self._draw(bbox_inches="tight")
        return image

    def _draw(self, **options: Any) -> Image.Image:
        buffer = io.BytesIO()
        options["pil_kwargs"] = {"compress_level": 0}
        self.savefig(buffer, format="png", **options)
        return Image.open(buffer).convert("RGB")


def _encode(image: Image.Image, kind: str) -> str:
    """Returns a picture as the text in which a notebook keeps it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=85, method=2)  # of WebP: fast, and hardly larger
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def make_picture(width: float, height: float, description: str) -> Picture:
    """Makes an empty picture of a size in inches, with its text description."""
    picture = Picture(figsize=(width, height), dpi=100, layout="constrained")
    picture.description = " ".join(description.replace("?.", "?").split())
    return picture


def draw(
    ax: Axes, image: Image.Image | np.ndarray, title: str = "", **options: Any
) -> AxesImage:
    """Draws an image without axes; options go to `Axes.imshow`."""
    ax.set_axis_off()
    # Ticks, unseen as they are, and a title that looks for room cost most of the time.
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10, y=1)
    return ax.imshow(image, **options)


def tile(tiles: np.ndarray, columns: int) -> np.ndarray:
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


def kind_of(value: object) -> str:
    """Names a value's type, and its shape where it has one."""
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return name if shape is None else f"{name} of shape {list(shape)}"
