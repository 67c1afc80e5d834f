"""Photos kept on disk, and trusted only if nobody else can have put them there.

A cache may be shared, so that a class downloads once. A file that only its owner can
write is trusted. A file that others can write as well is trusted if this user once
fetched or unpacked the same: the hashes are noted in the user's own folder.
"""

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path

import platformdirs

from courseai_helpers._common.files import find_cache, store
from courseai_helpers.images.decoding import ImageError, decode


def find_place(url: str) -> Path:
    """Returns where the picture of a web address is kept."""
    key = hashlib.sha256(str(url).encode(errors="replace")).hexdigest()
    return find_cache() / f"{key}.image"


def read_kept(url: str) -> bytes:
    """Returns the kept picture; nothing if it is missing, damaged or foreign."""
    path = find_place(url)
    noted = read_notes().get(path.stem)
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != noted:
            if noted or not is_ours(path):
                return b""
        decode(data, url)
    except (OSError, ImageError):
        return b""
    return data


def keep(url: str, data: bytes) -> None:
    """Keeps a picture, and notes its hash.

    Raises:
        OSError: If the picture can't be written. No half-written file stays.
    """
    path = find_place(url)
    digest = hashlib.sha256(data).hexdigest()
    with contextlib.suppress(OSError):  # needed only in a cache of many users
        notes = read_notes() | {path.stem: digest}
        store(find_notes(), json.dumps(notes, indent=1).encode())
    store(path, data)


def find_notes() -> Path:
    """Returns the file of the hashes, which is the user's own, whatever is shared."""
    return platformdirs.user_data_path("courseai", appauthor=False) / "photos.json"


def read_notes() -> dict[str, str]:
    """Returns the hashes of the pictures that this user has fetched or unpacked."""
    try:
        notes = json.loads(find_notes().read_bytes())
    except (OSError, ValueError):
        return {}  # most often not there yet
    return notes if isinstance(notes, dict) else {}


def is_ours(path: Path) -> bool:
    """Tells whether only those who own a file and its folders can have put it there.

    Raises:
        OSError: If there is no such file.
    """
    if os.name != "posix":
        return True  # Windows has other permissions
    path = path.resolve()
    entry = path.stat()
    if is_open(entry):
        return False
    for parent in path.parents:
        folder = parent.stat()
        # With this bit, as in /tmp, only its owner can move or replace an entry.
        sticky = folder.st_mode & stat.S_ISVTX
        known = entry.st_uid in (os.getuid(), folder.st_uid)
        if is_open(folder) and not (sticky and known):
            return False
        entry = folder
    return True


def is_open(status: os.stat_result) -> bool:
    """Tells whether anybody but its owner can write to a file or folder."""
    group = status.st_gid != status.st_uid  # else it is the owner's private one
    return bool(status.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if group else 0)))
