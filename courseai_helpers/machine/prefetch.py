"""Gets weights and photos ahead of a class, and packs them for offline rooms."""

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.files import store
from courseai_helpers._common.http import DownloadError, is_offline
from courseai_helpers.images import photo_cache, photos
from courseai_helpers.images.decoding import ImageError, decode
from courseai_helpers.images.gallery import GALLERY
from courseai_helpers.models import weights

MANIFEST = "manifest.json"
WEIGHTS = "weights.pth"
MAX_MANIFEST_BYTES = 2**20


def fetch_all() -> Iterator[str]:
    """Downloads what is not kept on this machine yet.

    Yields:
        A line for each file.

    Raises:
        CourseError: if one can't be fetched or kept; those before it stay.
    """
    if is_offline():
        raise CourseError(
            "COURSEAI_OFFLINE forbids the network, so nothing was fetched. Unset it, "
            "or take everything from a file that another machine has packed: "
            "courseai fetch --from FILE.zip"
        )
    with explain("fetched"):
        where = "is kept already" if weights.read_kept() else "fetched"
        if where == "fetched":
            store(weights.find_place(), weights.download())
        yield f"{where}: ResNet-18's weights, {weights.find_place()}"
        for name, photo in list_web_photos().items():
            where = "is kept already" if photo_cache.read_kept(photo.url) else "fetched"
            if where == "fetched":
                data, _ = photos.download(photo.url)
                photo_cache.keep(photo.url, data)
            yield f"{where}: the photo {name!r}"


def list_web_photos() -> dict[str, Any]:
    """Returns the photos of the gallery that do not come with the package."""
    return {name: photo for name, photo in GALLERY.items() if photo.url}


@contextlib.contextmanager
def explain(what: str) -> Iterator[None]:
    """Turns an error into a paragraph with the next step."""
    try:
        yield
    except (DownloadError, ImageError) as error:
        raise CourseError(
            f"Not everything could be {what}. {error} What came before it is kept: the "
            "same command goes on from there."
        ) from error
    except OSError as error:
        raise CourseError(
            f"Not everything could be {what}: {error.filename or 'a file'} can't be "
            f"written ({error.strerror}). No half-written file stays. Make room there, "
            "or let TORCH_HOME (for the weights) and COURSEAI_CACHE (for the photos) "
            "name folders with room that you may write to; then run the same command "
            "again."
        ) from error


def write_pack(path: Path) -> Iterator[str]:
    """Downloads what is missing, and packs everything into one file.

    Yields:
        A line for each file.

    Raises:
        CourseError: if something can't be fetched, or the file can't be written.
    """
    if not is_offline() or find_missing():
        yield from fetch_all()
    files = {WEIGHTS: weights.read_kept()}
    names = list_web_photos()
    for name, photo in names.items():
        files[f"photos/{name}"] = photo_cache.read_kept(photo.url)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    partial = path.with_name(f"{path.name}.partial")
    with explain("packed"):
        try:
            with zipfile.ZipFile(partial, "w") as pack:  # it is all packed already
                pack.writestr(MANIFEST, json.dumps(hashes, indent=2))
                for name, data in files.items():
                    pack.writestr(name, data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    yield (
        f"Packed {len(files)} files into {path}, {path.stat().st_size / 1e6:.1f} MB. "
        f"On a machine without a network: courseai fetch --from {path.name}"
    )


def find_missing() -> list[str]:
    """Returns what is not kept on this machine, or is damaged."""
    missing = [] if weights.read_kept() else ["ResNet-18's weights"]
    return missing + [
        f"the photo {name!r}"
        for name, photo in list_web_photos().items()
        if not photo_cache.read_kept(photo.url)
    ]


def install_pack(path: Path) -> Iterator[str]:
    """Takes weights and photos from a file that `write_pack` has written.

    Everything is checked before anything is written. The places are ours: a name in
    the file can't lead elsewhere.

    Yields:
        A line for each file.

    Raises:
        CourseError: if the file is incomplete, or not such a file.
    """
    try:
        with zipfile.ZipFile(path) as pack:
            files = read_pack(pack)
    except FileNotFoundError:
        raise CourseError(
            f"There is no {path}. `courseai fetch --pack {path.name}` makes it, on a "
            "machine with a network."
        ) from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise CourseError(
            f"{path} is damaged or no file for this course ({error}), so nothing was "
            "taken from it. Copy it again, or make it anew on a machine with a "
            f"network: courseai fetch --pack {path.name}"
        ) from error
    with explain("taken over"):
        store(weights.find_place(), files[WEIGHTS])
        yield f"taken over: ResNet-18's weights, {weights.find_place()}"
        for name, photo in list_web_photos().items():
            photo_cache.keep(photo.url, files[f"photos/{name}"])
            yield f"taken over: the photo {name!r}"


def read_pack(pack: zipfile.ZipFile) -> dict[str, bytes]:
    """Returns the files that the course needs, checked.

    Raises:
        KeyError: if one is missing.
        ValueError: if one is not what it should be.
    """
    hashes = dict(json.loads(read_entry(pack, MANIFEST, MAX_MANIFEST_BYTES)))
    files = {WEIGHTS: read_entry(pack, WEIGHTS, weights.MAX_BYTES)}
    for name in list_web_photos():
        entry = f"photos/{name}"
        files[entry] = read_entry(pack, entry, photos.MAX_BYTES)
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ValueError(f"{name} has another hash than was noted")
        if name == WEIGHTS and not weights.is_intact(data):
            raise ValueError("the weights are not those of this course")
        if name != WEIGHTS:
            decode(data, name)
    return files


def read_entry(pack: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Returns a packed file that is not larger than it may be."""
    if pack.getinfo(name).file_size > limit:
        raise ValueError(f"{name} is too large")
    return pack.read(name)
