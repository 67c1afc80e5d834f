"""Unpacks what students have sent, without trusting a name or a number in it."""

import contextlib
import shutil
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from courseai_helpers.errors import CourseError

MAX_DEPTH = 3  # archives within archives
MAX_FILES = 20_000  # in a download, all archives together
MAX_NAME = 1000  # characters, folders included
MAX_FILE_BYTES = 2**28
MAX_BYTES = 2**34
MAX_RATIO = 200  # of a packed file's size to its packed size; text has 10 or so
SMALL_BYTES = 2**20  # which may be packed however well
BLOCK_BYTES = 2**20
UNWANTED = {"__MACOSX", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints", "desktop.ini"}
# What zipfile raises on damaged, encrypted or unknown archives.
_DAMAGE = (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError)


class RefusedError(CourseError):
    """Says why a file of an archive is not unpacked."""


@dataclass(frozen=True)
class Found:
    """A file of a download.

    Attributes:
        name: Its path within the download; an archive counts as a folder.
        path: Where it is now.
        time: When it was last changed, in UTC without a zone, as nbgrader has it.
        archives: The archives that it is in, the outermost first.
    """

    name: PurePosixPath
    path: Path
    time: datetime
    archives: tuple["Found", ...] = ()


@dataclass
class Unpacked:
    """What was in a download.

    Attributes:
        files: The files.
        refused: For each file that was not unpacked, the reason.
        count: How many files were unpacked.
        bytes: Their size.
    """

    files: list[Found] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    count: int = 0
    bytes: int = 0


def unpack(source: Path, workspace: Path) -> Unpacked:
    """Finds all files of a download, also those in archives within archives.

    Args:
        source: A folder or a zip file; what is in it is left as it is.
        workspace: An empty folder for what was packed.

    Raises:
        CourseError: if there is no such download, or it is too large altogether.
    """
    result = Unpacked()
    if source.is_dir():
        read_folder(source, workspace, result)
    elif zipfile.is_zipfile(source):
        read_archive(Found(PurePosixPath(), source, datetime.min), workspace, result)
    else:
        raise CourseError(
            f"{source} is neither a folder nor a zip file. Give the file that you "
            "downloaded from the LMS, or the folder that you unpacked it to."
        )
    return result


def read_folder(folder: Path, workspace: Path, result: Unpacked) -> None:
    """Takes the files of a folder, and those of the archives in it."""
    for path in sorted(folder.rglob("*")):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if UNWANTED & set(name.parts):
            continue
        if path.is_symlink():
            result.refused[str(name)] = "It is a symbolic link."
        elif path.is_file():
            time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            add(Found(name, path, time.replace(tzinfo=None)), workspace, result)


def add(found: Found, workspace: Path, result: Unpacked) -> None:
    """Takes a file; if it is an archive, what is in it."""
    if found.name.suffix.casefold() != ".zip":
        result.files.append(found)
        return
    if len(found.archives) >= MAX_DEPTH:
        result.refused[str(found.name)] = (
            f"It is an archive within {MAX_DEPTH} archives."
        )
        return
    read_archive(found, workspace, result)


def read_archive(outer: Found, workspace: Path, result: Unpacked) -> None:
    """Unpacks an archive, file by file; what is wrong with one is noted."""
    try:
        with zipfile.ZipFile(outer.path) as archive:
            for entry in archive.infolist():
                inner = outer.name / read_name(entry)
                if entry.is_dir() or UNWANTED & set(inner.parts):
                    continue
                try:
                    check_entry(entry)
                    path = extract(archive, entry, workspace, result)
                except RefusedError as error:
                    result.refused[str(inner)] = str(error)
                    continue
                around = (*outer.archives, outer)
                found = Found(inner, path, read_time(entry), around)
                add(found, workspace, result)
    except _DAMAGE as error:
        if not outer.name.parts:
            raise CourseError(
                f"{outer.path} is damaged ({error}). Download it again."
            ) from error
        result.refused[str(outer.name)] = f"It is a damaged archive ({error})."


def check_entry(entry: zipfile.ZipInfo) -> None:
    """Returns if a packed file may be unpacked.

    Raises:
        RefusedError: if it wants to be elsewhere, is no file, or is suspiciously large.
    """
    name = PurePosixPath(read_name(entry))
    if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0]:
        raise RefusedError("Its name leads out of the archive.")
    if len(str(name)) > MAX_NAME or any(len(p.encode()) > 255 for p in name.parts):
        raise RefusedError("Its name is too long.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise RefusedError("It is a symbolic link.")
    if entry.flag_bits & 1:
        raise RefusedError("It is encrypted.")
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > MAX_FILE_BYTES or (
        entry.file_size > SMALL_BYTES and ratio > MAX_RATIO
    ):
        raise RefusedError(
            f"It would unpack to {entry.file_size / 1e6:.0f} MB, {ratio:.0f} times its "
            "size."
        )


def read_name(entry: zipfile.ZipInfo) -> str:
    """Returns the name of a packed file, also where its encoding is not told."""
    name = entry.filename.replace("\\", "/")
    if not entry.flag_bits & 0x800:  # zipfile took it for the code page of old PCs
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name)


def extract(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    workspace: Path,
    result: Unpacked,
) -> Path:
    """Unpacks a file under a name of ours, and no more of it than was announced."""
    result.count += 1
    if result.count > MAX_FILES or result.bytes > MAX_BYTES:
        raise CourseError(
            f"The download has more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB, "
            "so nothing was imported. Unpack it by hand, look what takes the room, and "
            "give the folder that it is in."
        )
    path = workspace / f"{result.count:06d}"
    try:
        with archive.open(entry) as packed, open(path, "xb") as file:
            for block in read_blocks(packed):
                file.write(block)
                result.bytes += len(block)
                if file.tell() > entry.file_size:
                    raise RefusedError("It is larger than it says.")
    except _DAMAGE as error:
        raise RefusedError(f"It is damaged ({error}).") from error
    return path


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields the content of a file."""
    while block := file.read(BLOCK_BYTES):
        yield block


def read_time(entry: zipfile.ZipInfo) -> datetime:
    """Returns when a packed file was last changed, in UTC.

    Archives hold the packer's local time, and often, in an extra field, the time in
    UTC. Source: Info-ZIP's extended timestamp, field 0x5455 of APPNOTE.TXT.
    """
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and size >= 5 and extra[4] & 1:
            (seconds,) = struct.unpack("<i", extra[5:9])
            return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
        extra = extra[4 + size :]
    try:
        local = datetime(*entry.date_time)
    except ValueError:  # some packers leave it at zero
        local = datetime(1980, 1, 1)
    return local.astimezone(UTC).replace(tzinfo=None)


def copy(found: Found, destination: Path) -> None:
    """Copies a file, and nothing but its content."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found.path, destination)
