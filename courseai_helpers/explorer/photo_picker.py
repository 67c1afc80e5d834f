"""The explorer's photos: from the gallery, uploaded, or from the web."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from PIL import Image

from courseai_helpers.explorer.session import keep_quiet
from courseai_helpers.images.decoding import ImageError, load_image
from courseai_helpers.images.photos import (
    gallery_names,
    load_image_from_url,
    load_photo,
)
from courseai_helpers.images.preprocessing import crop_seen

YOURS = "your photo"


class PhotoChoice:
    """The photos that a reader can choose, and those that a reader adds.

    Args:
        photo: The one to begin with.
        changed: Called with a note, most often empty, when there is another choice, or
            when a photo that was to be added cannot be had.
    """

    def __init__(self, photo: Image.Image, changed: Callable[[str], None]):
        self._loaders = {YOURS: lambda: photo}
        self._loaders |= {name: partial(load_photo, name) for name in gallery_names()}
        self._changed = changed
        self._adding = False

    @property
    def names(self) -> list[str]:
        """What can be chosen."""
        return list(self._loaders)

    def connect(self, controls: SimpleNamespace) -> None:
        """Listens to the controls `photo`, `upload` and `address`."""
        self._controls = controls
        controls.photo.observe(self._choose, "value")
        controls.upload.observe(self._add_upload, "value")
        controls.address.observe(self._add_address, "value")

    def load(self, name: str) -> tuple[Image.Image, str]:
        """Loads a photo; the note says if another one stands in for it."""
        with keep_quiet():  # the notice would land elsewhere: the note says it
            photo = self._loaders[name]()
        shown = photo.info.get("photo", name)
        if name in (YOURS, shown):
            return photo, ""
        return photo, f"“{name}” could not be loaded; this is “{shown}” in its place."

    def _choose(self, change: dict[str, Any]) -> None:
        if not self._adding:
            self._changed("")

    def _add_upload(self, change: dict[str, Any]) -> None:
        for file in change["new"]:
            self._add(file["name"], partial(load_image, bytes(file["content"])))
            self._controls.upload.value = ()  # the same file can be uploaded again

    def _add_address(self, change: dict[str, Any]) -> None:
        if address := change["new"].strip():
            self._add(address, partial(load_image_from_url, address))

    def _add(self, name: str, load: Callable[[], Image.Image]) -> None:
        try:
            with keep_quiet():
                photo = load()
            crop_seen(photo)
        except ImageError as error:
            self._changed(str(error))
            return
        self._loaders[name] = lambda: photo
        self._adding = True
        self._controls.photo.options = self.names  # which chooses the first of them
        self._controls.photo.value = name
        self._adding = False
        self._changed("")
