"""Rules for students' files, wherever they come from, and a safe way to copy them."""

import contextlib
import errno
import itertools
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from courseai_helpers._common.errors import CourseError

MAX_NAME = 1000  # characters, folders included
MAX_FILES = 5_000  # in a folder that is copied, folders in it included
MAX_DEPTH = 16  # folders within folders
BLOCK_BYTES = 2**20
# Reserved names on Windows, which an instructor may use.
DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)\s*(\..*)?")


class RefusedError(CourseError):
    """Says why a file or a folder of a student is not taken."""


@dataclass
class Copied:
    """What was copied of a folder, and how much more may be.

    Attributes:
        max_file: How many bytes one file may have.
        max_bytes: How many all may have together.
        files: How many files and folders were looked at.
        bytes: The size of what was copied.
        changed: When the last of them was changed, in seconds since 1970; nobody but
            the system sets that.
        left_out: Names of what was not copied, by the reason.
    """

    max_file: int
    max_bytes: int
    files: int = 0
    bytes: int = 0
    changed: float = 0.0
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, name: PurePosixPath, reason: str) -> None:
        """Notes that something is not copied."""
        self.left_out.setdefault(reason, []).append(str(name))


def check_name(name: PurePosixPath) -> None:
    """Makes sure that a student's file may have this name.

    Raises:
        RefusedError: if not.
    """
    if not name.parts:
        raise RefusedError("It has no name.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(name)):
        raise RefusedError("Its name has control characters in it, or is not UTF-8.")
    if len(str(name)) > MAX_NAME or any(len(p.encode()) > 255 for p in name.parts):
        raise RefusedError("Its name is too long.")
    if any(DEVICE.fullmatch(part) for part in name.parts):
        raise RefusedError("Its name is a device's on Windows.")


@contextlib.contextmanager
def open_folder(name: str | Path, inside: int | None = None) -> Iterator[int]:
    """Opens a folder, and follows no link.

    Args:
        name: Its path, or its name in the folder `inside`.
        inside: The descriptor of an open folder.

    Yields:
        Its descriptor.

    Raises:
        RefusedError: if it is not a folder, or can't be read.
    """
    descriptor = open_without_links(name, os.O_DIRECTORY, inside)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_without_links(name: str | Path, flags: int, inside: int | None) -> int:
    """Opens a file or a folder for reading, without blocking.

    Raises:
        RefusedError: if it is a link, or can't be opened.
    """
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=inside)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise RefusedError("It is a link, or no folder.") from error
        raise RefusedError(f"It can't be opened ({error.strerror}).") from error


def copy_folder(
    source: int, destination: Path, copied: Copied, place: PurePosixPath
) -> None:
    """Copies the regular files of a folder that its owner may change meanwhile.

    Everything is opened first and checked then, so that what is checked is what is
    copied. Links are not followed, and files of other users are not copied.

    Args:
        source: The folder's descriptor.
        destination: Where to copy it to; there is nothing yet.
        copied: The limits, and where to note what was left out.
        place: The folder's own path, for these notes.

    Raises:
        OSError: if it can't be written.
    """
    destination.mkdir()
    owner = os.fstat(source).st_uid
    for name, is_folder in list_entries(source, copied, place):
        inner = place / name
        try:
            check_name(inner)
            if not is_folder:
                copy_file(source, name, owner, destination / name, copied)
            elif len(inner.parts) > MAX_DEPTH:
                raise RefusedError(f"It is more than {MAX_DEPTH} folders deep.")
            else:
                with open_folder(name, source) as folder:
                    check_owner(os.fstat(folder), owner)
                    copy_folder(folder, destination / name, copied, inner)
        except RefusedError as error:
            copied.leave_out(inner, str(error))


def list_entries(
    folder: int, copied: Copied, place: PurePosixPath
) -> list[tuple[str, bool]]:
    """Returns what is in a folder and may be copied; what matters most comes first.

    Returns:
        Names, and whether they are folders: notebooks, then other files, then folders.
    """
    entries = []
    room = MAX_FILES - copied.files
    with os.scandir(folder) as found:
        for entry in itertools.islice(found, room):
            copied.files += 1
            if entry.is_symlink():
                copied.leave_out(place / entry.name, "It is a symbolic link.")
            else:
                entries.append((entry.name, entry.is_dir(follow_symlinks=False)))
        if next(found, None):
            reason = f"There are more than {MAX_FILES} files; these came first."
            copied.leave_out(place / "...", reason)
    return sorted(entries, key=lambda e: (e[1], not e[0].endswith(".ipynb"), e[0]))


def copy_file(
    folder: int, name: str, owner: int, destination: Path, copied: Copied
) -> None:
    """Copies one regular file.

    Raises:
        RefusedError: if it is not a regular file, is another user's or too large, or
        can't be read. OSError: if it can't be written.
    """
    with open(open_without_links(name, 0, folder), "rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise RefusedError("It is no regular file.")
        check_owner(found, owner)
        room = min(copied.max_file, copied.max_bytes - copied.bytes)
        if found.st_size > room:
            raise RefusedError(f"It is larger than the limit ({describe(copied)}).")
        written = destination.open("xb")
        try:
            with written:
                for block in read_blocks(file):
                    written.write(block)
                    if written.tell() > room:
                        raise RefusedError(
                            f"It grew over a limit ({describe(copied)})."
                        )
        except BaseException:
            destination.unlink()
            raise
        copied.bytes += destination.stat().st_size
        copied.changed = max(copied.changed, os.fstat(file.fileno()).st_ctime)


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields the content of a file.

    Raises:
        RefusedError: if it can't be read.
    """
    while True:
        try:
            block = file.read(BLOCK_BYTES)
        except OSError as error:
            raise RefusedError(f"It can't be read ({error.strerror}).") from error
        if not block:
            return
        yield block


def check_owner(found: os.stat_result, owner: int) -> None:
    """Makes sure that a file has its folder's owner: it may be a hard link.

    Raises:
        RefusedError: if not.
    """
    if found.st_uid != owner:
        raise RefusedError("It belongs to another user than the folder.")


def describe(copied: Copied) -> str:
    """Returns the limits in words."""
    return (
        f"{copied.max_file / 1e6:.0f} MB a file, {copied.max_bytes / 1e6:.0f} MB "
        "altogether"
    )
