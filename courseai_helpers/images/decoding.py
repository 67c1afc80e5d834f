"""Turns any file that claims to be a picture into an RGB image, or a clear error."""

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# No EPS, which starts another program, and no TIFF, whose library writes to stderr.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP")
MAX_SIDE = 1024
# What Pillow's readers raise on damaged files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError)


class ImageError(ValueError):
    """A picture cannot be loaded or used; the message says why and what to do."""


def load_image(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Reads a picture from a file or from bytes.

    Transparent parts come out white, EXIF rotation is applied, an animation gives its
    first frame, and what is longer than 1,024 pixels is scaled down to that.

    Args:
        source: Path of a JPEG, PNG, GIF, WebP, AVIF or BMP file, or its bytes.

    Returns:
        The picture, RGB, no side longer than 1,024 pixels.

    Raises:
        ImageError: If there is no such file, or it is not a picture of these formats,
            is damaged, or has more pixels than Pillow takes for safe (89 million).
    """
    if isinstance(source, bytes):
        return decode(source, "The picture")
    try:
        path = Path(source).expanduser()
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(
            f"{source!r} cannot be read: {getattr(error, 'strerror', None) or error}. "
            f"Give the path of a picture, absolute or from {Path.cwd()}; the address "
            "of one on the web goes to load_image_from_url."
        ) from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> Image.Image:
    """Reads a picture from bytes as `load_image` does.

    Args:
        data: The file's bytes.
        name: What errors call the picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(io.BytesIO(data))
    except _BOMB as error:
        raise ImageError(
            f"{name} has more pixels than fit in memory safely (the limit is "
            f"{Image.MAX_IMAGE_PIXELS:,}). Scale it down in an image program, or take "
            "another picture."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(_explain_unidentified(data, name)) from error
    except _DAMAGE as error:
        raise ImageError(
            f"{name} is damaged or cut off. Download or copy it again."
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a picture of any mode to RGB, transparent parts to white.

    More than 8 bits are scaled to 8: 16-bit levels from [0, 65535], 32-bit and float
    levels from the smallest of [0, 1], [0, 255] and [0, 65535] that holds them.

    Raises:
        ImageError: If it is not a PIL image, or has no pixels.
    """
    if not isinstance(image, Image.Image):
        raise ImageError(
            f"A PIL image is wanted, but this is {type(image).__name__}. Load one with "
            "load_photo(name) or load_image(path)."
        )
    if 0 in image.size:
        raise ImageError("The picture is empty: it has no pixels. Load another one.")
    if image.mode[0] in "IF":
        image = _to_8_bits(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(layers, mask=layers.getchannel("A"))
    return image.convert("RGB")


def _decode(file: io.BytesIO) -> Image.Image:
    with Image.open(file, formats=FORMATS) as image:
        # JPEG can decode at half, a quarter or an eighth of its size at little cost.
        image.draft(None, (MAX_SIDE, MAX_SIDE))
        image.load()
        try:
            ImageOps.exif_transpose(image, in_place=True)
        except _DAMAGE:
            pass  # unreadable EXIF says nothing about the pixels
        picture = to_rgb(image)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    picture.info = {}
    return picture


def _to_8_bits(image: Image.Image) -> Image.Image:
    levels = np.nan_to_num(np.asarray(image, dtype=np.float32))
    highest = float(levels.max())
    top = 65535.0
    if not image.mode.startswith("I;16"):
        top = next((limit for limit in (1.0, 255.0, top) if highest <= limit), highest)
    return Image.fromarray((levels * (255 / top)).clip(0, 255).round().astype(np.uint8))


def _explain_unidentified(data: bytes, name: str) -> str:
    start = data[:256].lstrip()
    if not start:
        return f"{name} is empty. Download or copy the picture again."
    if start.startswith(b"<"):
        return (
            f"{name} is a web page or a drawing in text, not a photo. Take the address "
            "of the picture itself: right-click it, then Copy Image Address."
        )
    return (
        f"{name} is not a picture that can be read here ({', '.join(FORMATS)}), or it "
        "is damaged. Save it as PNG or JPEG in an image program, or get it again."
    )
