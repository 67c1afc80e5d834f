"""Reads one file of a zip archive, without trusting a name or a number in it."""

import bz2
import contextlib
import copy
import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import IO

from courseai_helpers.grading.submissions.safe_files import RefusedError, check_name

MAX_FILE_BYTES = 2**28
MAX_NOTEBOOK_BYTES = 2**26  # what JSON becomes in memory is up to twenty times as large
MAX_RATIO = 200  # of a packed file's size to its packed size; text has 10 or so
SMALL_BYTES = 2**20  # however well they are packed
# Read at once. What LZMA makes of it, up to 7,000 times as much, is in memory before
# its size can be checked.
BLOCK_BYTES = 2**12
# What zipfile and what it unpacks with raise on damaged or unknown archives.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,  # bzip2's, and a seek to where nothing can be
    MemoryError,  # LZMA's, if it is told to need more than there is
    RuntimeError,
    NotImplementedError,
    EOFError,
    ValueError,
    OverflowError,
)


def check_entry(entry: zipfile.ZipInfo) -> None:
    """Makes sure that a packed file may be unpacked.

    Raises:
        RefusedError: if its name is not allowed here, or if it is a link, encrypted, or
        suspiciously large.
    """
    name = PurePosixPath(read_name(entry))
    if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0]:
        raise RefusedError("Its name leads out of the archive.")
    check_name(name)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise RefusedError("It is a symbolic link.")
    if entry.flag_bits & 1:
        raise RefusedError("It is encrypted.")
    notebook = entry.filename.casefold().endswith(".ipynb")
    limit = MAX_NOTEBOOK_BYTES if notebook else MAX_FILE_BYTES
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > limit or (entry.file_size > SMALL_BYTES and ratio > MAX_RATIO):
        raise RefusedError(
            f"It would unpack to {entry.file_size / 1e6:.0f} MB, {ratio:.0f} times its "
            f"size. {limit / 1e6:.0f} MB, and {MAX_RATIO} times, are allowed."
        )


def read_name(entry: zipfile.ZipInfo) -> str:
    """Returns the name of a packed file, even if its encoding is not given."""
    name = entry.filename.replace("\\", "/")
    if not entry.flag_bits & 0x800:  # zipfile took it for the code page of old PCs
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name)


def read_time(entry: zipfile.ZipInfo) -> datetime:
    """Returns when a packed file was last changed, in UTC.

    Archives hold the packer's local time, and often, in an extra field, the time in
    UTC. Source: Info-ZIP's extended timestamp, field 0x5455 of APPNOTE.TXT.
    """
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            (seconds,) = struct.unpack("<i", extra[5:9])
            return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
        extra = extra[4 + size :]
    try:
        local = datetime(*entry.date_time)
    except ValueError:  # some packers leave it at zero
        local = datetime(1980, 1, 1)
    return local.astimezone(UTC).replace(tzinfo=None)


def read_blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yields the content of a packed file.

    Raises:
        RefusedError: if it is damaged, or larger than was announced.
    """
    size = 0
    try:
        with open_entry(archive, entry) as packed:
            while block := packed.read(BLOCK_BYTES):
                if (size := size + len(block)) > entry.file_size:
                    raise RefusedError("It is larger than it says.")
                yield block
    except DAMAGE as error:
        raise RefusedError(f"It is damaged ({error}).") from error


def open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Opens a packed file so that reading a little takes little memory.

    zipfile unpacks bzip2 as it comes, and 40 bytes of it may be 45 MB.
    """
    if entry.compress_type != zipfile.ZIP_BZIP2:
        return archive.open(entry)
    raw = copy.copy(entry)
    raw.compress_type, raw.file_size = zipfile.ZIP_STORED, entry.compress_size
    raw.CRC = None  # type: ignore[assignment]  # that of the content; bzip2 has its own
    return bz2.open(archive.open(raw))
