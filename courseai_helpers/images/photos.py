"""Photos by name and by web address, kept on disk, with a substitute offline."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from PIL import Image

from courseai_helpers._common.files import find_cache
from courseai_helpers._common.http import DownloadError, fetch, is_offline, shorten
from courseai_helpers._common.notices import show_notice
from courseai_helpers.images.decoding import ImageError, decode, load_image
from courseai_helpers.images.gallery import GALLERY
from courseai_helpers.images.photo_cache import keep, read_kept

MAX_BYTES = 20_000_000
MAX_SECONDS = 30.0


def gallery_names() -> list[str]:
    """Returns the names that `load_photo` knows, those that need no network first."""
    return list(GALLERY)


def load_photo(name: str) -> Image.Image:
    """Loads a photo of the gallery.

    When a photo from the web cannot be had, a bundled one takes its place and a notice
    says so. With COURSEAI_OFFLINE=1 that is always so: the same photos everywhere.

    Args:
        name: One of `gallery_names()`.

    Returns:
        The photo, RGB. Its `info["photo"]` is the name of the photo that it shows.

    Raises:
        ImageError: If the gallery has no photo of that name.
    """
    image, error = _load(name)
    if error:
        show_notice(
            f"The photo {name!r} is on the web and could not be loaded. {error} "
            f"You see the photo {image.info['photo']!r} in its place."
        )
    return image


def load_photos(names: Sequence[str]) -> dict[str, Image.Image]:
    """Loads several photos of the gallery, each as `load_photo` does.

    One notice names all those that could not be had.

    Args:
        names: Some of `gallery_names()`.

    Returns:
        Name to photo. The `info["photo"]` of a photo says what it shows.

    Raises:
        ImageError: If the gallery has no photo of one of the names.
    """
    loaded = {name: _load(name) for name in names}
    failed = [name for name, (_, error) in loaded.items() if error]
    if failed:
        show_notice(
            f"Not loaded from the web: {', '.join(failed)}. {loaded[failed[0]][1]} You "
            "see photos that come with the lesson in their place."
        )
    return {name: image for name, (image, _) in loaded.items()}


def _load(name: str) -> tuple[Image.Image, ImageError | None]:
    """Loads a photo, or another one in its place and the reason."""
    if name not in GALLERY:
        raise ImageError(
            f"The gallery has no photo {name!r}. Take one of {', '.join(GALLERY)}, or "
            "load your own with load_image(path)."
        )
    photo = GALLERY[name]
    if photo.file:
        image = load_image(files("skimage.data").joinpath(photo.file).read_bytes())
    else:
        try:
            if is_offline():
                raise ImageError("COURSEAI_OFFLINE forbids the network.")
            image = load_image_from_url(photo.url)
        except ImageError as error:
            return _load(photo.fallback)[0], error
    image.info["photo"] = name
    return image, None


def load_image_from_url(url: str) -> Image.Image:
    """Loads a picture from the web; what was fetched once is kept and found again.

    It is kept in the directory that COURSEAI_CACHE names, by default the user's cache.
    A file that other users may have put there is fetched again.

    Args:
        url: The http or https address of the picture itself.

    Returns:
        The picture, RGB, as `load_image` gives it.

    Raises:
        ImageError: If it is not kept and can't be fetched: no connection, an error
        status,
            more than 20 MB or 30 seconds, no picture, or COURSEAI_OFFLINE=1.
    """
    if data := read_kept(url):
        return load_image(data)
    if is_offline():
        raise ImageError(
            f"{shorten(url)} is not fetched, because COURSEAI_OFFLINE forbids the "
            "network. Unset it, or load a file with load_image(path)."
        )
    data, image = download(url)
    try:
        keep(url, data)
    except OSError as error:
        _tell_not_kept(find_cache(), error.strerror)
    return image


def download(url: str) -> tuple[bytes, Image.Image]:
    """Downloads a picture: the file, and what it shows.

    Raises:
        ImageError: If it can't be fetched, or is not a picture.
    """
    try:
        data = fetch(url, MAX_BYTES, MAX_SECONDS)
    except DownloadError as error:
        raise ImageError(str(error)) from error
    return data, decode(data, shorten(url))


@cache  # once is enough for a whole gallery
def _tell_not_kept(directory: Path, reason: str) -> None:
    show_notice(
        f"Photos from the web cannot be kept in {directory} ({reason}), so they are "
        "fetched again next time. Let COURSEAI_CACHE name a directory with room that "
        "you may write to."
    )
