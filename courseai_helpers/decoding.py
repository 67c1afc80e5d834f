"""From any file that claims to be a picture to an RGB image, or a clear error."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# No EPS, which starts another program; nothing exotic, so that less code meets the file.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM")
MAX_SIDE = 1024
# What Pillow's decoders raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


class ImageError(ValueError):
    """A picture cannot be had; the message says what, why and what to do."""


def load_image(source: str | os.PathLike | bytes) -> Image.Image:
    """Reads a picture from a file or from bytes.

    Transparent parts come out white, EXIF rotation is applied, of an animation the
    first frame counts, and what is larger than MAX_SIDE pixels is scaled down to that.

    Args:
        source: Path of a file, or the file's bytes.

    Returns:
        The picture, RGB, no side longer than MAX_SIDE.

    Raises:
        ImageError: If the file is missing, is not a picture of a common format, is
            damaged, or holds more pixels than Pillow takes for safe.
    """
    if isinstance(source, bytes):
        return decode(io.BytesIO(source), "the data")
    path = Path(source).expanduser()
    try:
        with open(path, "rb") as file:
            return decode(file, str(path))
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read: {error.strerror}. Check the path; it counts from "
            f"{Path.cwd()}."
        ) from error


def decode(file: io.BufferedIOBase, name: str) -> Image.Image:
    """Reads a picture from an open file; `name` is what errors call it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name} holds more than {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million "
            "pixels, which can be a trap to fill the memory. Take a smaller version."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a picture of a common format ({', '.join(FORMATS)}). Open "
            "it in an image program and save it as PNG or JPEG."
        ) from error
    except _DAMAGE as error:
        raise ImageError(
            f"{name} is damaged or cut off ({error}). Get it again."
        ) from error


def _decode(file: io.BufferedIOBase) -> Image.Image:
    with Image.open(file, formats=FORMATS) as image:
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # lets JPEG decode at a reduced size
        picture = to_rgb(ImageOps.exif_transpose(image))
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return picture


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a picture of any mode to RGB: transparency on white, 16 bits to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((levels / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(layers, mask=layers.getchannel("A"))
    return image.convert("RGB")
