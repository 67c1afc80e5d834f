"""Photos for the lessons, and how ImageNet networks want them prepared."""

import hashlib
import io
import os
from importlib.resources import files
from pathlib import Path

import platformdirs
import torch
from PIL import Image
from torchvision.transforms import functional

from courseai_helpers.decoding import ImageError, decode, load_image, to_rgb
from courseai_helpers.downloads import DownloadError, fetch, is_offline, store
from courseai_helpers.gallery import GALLERY
from courseai_helpers.notices import show_notice

__all__ = [
    "GALLERY",
    "ImageError",
    "crop_seen",
    "gallery_names",
    "load_image",
    "load_image_from_url",
    "load_photo",
    "preprocess",
]

RESIZE = 256
CROP = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_BYTES = 20_000_000
MAX_SECONDS = 30.0


def crop_seen(image: Image.Image) -> Image.Image:
    """Returns the part of a photo that the network sees, 224x224 pixels, RGB.

    The shorter side is scaled to 256 pixels, then the center is cut out, as
    `preprocess` does it; heatmaps lie over this crop and not over the whole photo.

    Args:
        image: A photo of any size and mode.
    """
    resized = functional.resize(to_rgb(image), RESIZE)
    return functional.center_crop(resized, CROP)


def preprocess(image: Image.Image) -> torch.Tensor:
    """Turns a photo into the input of a network trained on ImageNet.

    Args:
        image: A photo of any size and mode.

    Returns:
        float32 tensor [1, 3, 224, 224]: the crop that `crop_seen` shows, from [0, 1]
        standardized with ImageNet's channel means and standard deviations.
    """
    tensor = functional.to_tensor(crop_seen(image))
    return functional.normalize(tensor, MEAN, STD)[None]


def gallery_names() -> list[str]:
    """Returns the names that `load_photo` knows, those that need no network first."""
    return list(GALLERY)


def load_photo(name: str) -> Image.Image:
    """Loads a photo of the gallery.

    One from the web that cannot be had is replaced by a bundled one, with a notice.
    With COURSEAI_OFFLINE=1 the bundled one is always taken, the same everywhere.

    Args:
        name: One of `gallery_names()`.

    Returns:
        The photo, RGB. `photo.info["photo"]` is the name of what is shown.

    Raises:
        ImageError: If there is no photo of that name.
    """
    if name not in GALLERY:
        raise ImageError(
            f"There is no photo {name!r} in the gallery. Take one of "
            f"{', '.join(GALLERY)}, or load your own with load_image(path)."
        )
    photo = GALLERY[name]
    if photo.file:
        image = load_image(files("skimage.data").joinpath(photo.file).read_bytes())
        image.info["photo"] = name
        return image
    try:
        if is_offline():
            raise ImageError("COURSEAI_OFFLINE is set.")
        image = load_image_from_url(photo.url)
        image.info["photo"] = name
        return image
    except ImageError as error:
        show_notice(
            f"The photo {name!r} comes from the web and could not be had: {error} You "
            f"see the photo {photo.fallback!r} in its place."
        )
        return load_photo(photo.fallback)


def load_image_from_url(url: str) -> Image.Image:
    """Loads a picture from the web; what was fetched once is kept and found again.

    Args:
        url: The http or https address of the picture itself.

    Returns:
        The picture, RGB, as `load_image` returns it.

    Raises:
        ImageError: If it cannot be fetched, is larger than 20 MB, or is no picture.
    """
    path = cache_directory() / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.image"
    try:
        return load_image(path)
    except ImageError:
        pass
    if is_offline():
        raise ImageError(f"{url} is not fetched: COURSEAI_OFFLINE is set.")
    try:
        data = fetch(url, MAX_BYTES, MAX_SECONDS)
    except DownloadError as error:
        raise ImageError(str(error)) from error
    image = decode(io.BytesIO(data), url)
    try:
        store(path, data)
    except OSError:
        pass
    return image


def cache_directory() -> Path:
    """Returns where photos from the web are kept: COURSEAI_CACHE, or the user's."""
    named = os.environ.get("COURSEAI_CACHE", "").strip()
    if named:
        return Path(named).expanduser()
    return platformdirs.user_cache_path("courseai", appauthor=False)
