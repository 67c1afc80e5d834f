"""Unpacks what students have sent, without trusting a name or a number in it."""

import contextlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.submissions.safe_files import RefusedError, check_name
from courseai_helpers.grading.uploads.bundles import (
    Bundle,
    ExceededError,
    Found,
    Unpacked,
)
from courseai_helpers.grading.uploads.zip_entries import (
    DAMAGE,
    check_entry,
    read_blocks,
    read_name,
    read_time,
)

MAX_DEPTH = 3  # archives within archives
MAX_LIST_BYTES = 2**22  # of the list of files in a student's archive
UNWANTED = {"__MACOSX", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints", "desktop.ini"}


class StudentsFile(io.FileIO):
    """An archive from a student: its list of files, read at once, can't be endless."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads bytes.

        Raises:
            zipfile.BadZipFile: if too many are asked for.
        """
        if size is not None and size > MAX_LIST_BYTES:
            raise zipfile.BadZipFile("its list of files is too long")
        return super().read(size)


def is_unwanted(name: PurePosixPath) -> bool:
    """Tells what desktops and editors leave behind; macOS puts "._x" beside each x."""
    return any(part in UNWANTED or part.startswith("._") for part in name.parts)


def unpack(
    source: Path, workspace: Path, find_sender: Callable[[PurePosixPath], str]
) -> Unpacked:
    """Finds all files of a download, including those in nested archives.

    Args:
        source: A folder or a zip file; what is in it is left as it is.
        workspace: An empty folder for what was packed.
        find_sender: Returns a file's sender by its name, or something else that all
        files of one sender share.

    Raises:
        CourseError: if there is no such download, or no room to unpack it.
    """
    result = Unpacked(workspace, find_sender)
    if source.is_dir():
        read_folder(source, result)
    elif source.is_file() and (
        source.suffix.casefold() == ".zip" or zipfile.is_zipfile(source)
    ):
        read_download(source, result)
    else:
        raise CourseError(
            f"{source} is neither a folder nor a zip file. Give the file that you "
            "downloaded from the LMS, or the folder that you unpacked it to."
        )
    return result


def read_folder(folder: Path, result: Unpacked) -> None:
    """Takes the files of a folder, and those of the archives in it."""
    for path in sorted(folder.rglob("*")):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        sender = result.find_sender(name)
        if path.is_dir() or result.bundles[sender].exceeded:
            continue
        with note(result, sender, name) as bundle:
            bundle.charge(files=1)
            check_name(name)
            if path.is_symlink():
                raise RefusedError("It is a symbolic link.")
            if path.is_file() and not is_unwanted(name):
                time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                found = Found(name, path, time.replace(tzinfo=None))
                add(found, sender, result)


def read_download(source: Path, result: Unpacked) -> None:
    """Takes the files of the archive that an LMS has made.

    Raises:
        CourseError: if it is damaged.
    """
    try:
        archive = open_archive(source)
    except RefusedError as error:
        raise CourseError(f"{source}: {error} Download it again.") from error
    with archive:
        read_entries(archive, Found(PurePosixPath(), source, datetime.min), result)


def add(found: Found, sender: str, result: Unpacked) -> None:
    """Takes a file, or the files in it if it is an archive.

    Raises:
        RefusedError: if it is an archive that can't be opened.
    """
    if found.name.suffix.casefold() != ".zip":
        result.bundles[sender].files.append(found)
        return
    if len(found.archives) >= MAX_DEPTH:
        raise RefusedError(f"It is an archive within {MAX_DEPTH} archives.")
    with StudentsFile(found.path) as file, open_archive(file) as archive:
        read_entries(archive, found, result)


def open_archive(file: Path | io.FileIO) -> zipfile.ZipFile:
    """Opens an archive.

    Raises:
        RefusedError: if it is damaged.
    """
    try:
        return zipfile.ZipFile(file)
    except DAMAGE as error:
        raise RefusedError(f"It is a damaged archive ({error}).") from error


def read_entries(archive: zipfile.ZipFile, outer: Found, result: Unpacked) -> None:
    """Unpacks an archive file by file, and notes what is wrong with one."""
    around = (*outer.archives, outer)
    for entry in archive.infolist():
        name = read_name(entry)
        inner = outer.name / name.lstrip("/")
        sender = result.find_sender(inner)
        if result.bundles[sender].exceeded:
            continue
        with note(result, sender, inner) as bundle:
            bundle.charge(files=1)
            if not name.endswith("/") and not is_unwanted(inner):
                check_entry(entry)
                path = extract(archive, entry, bundle, result)
                add(Found(inner, path, read_time(entry), around), sender, result)


@contextlib.contextmanager
def note(result: Unpacked, sender: str, name: PurePosixPath) -> Iterator[Bundle]:
    """Notes why a file is not taken, or all that its sender has sent."""
    bundle = result.bundles[sender]
    try:
        yield bundle
    except RefusedError as error:
        bundle.refused[str(name)] = str(error)
    except ExceededError as error:
        result.drop(sender, str(error))


def extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, bundle: Bundle, result: Unpacked
) -> Path:
    """Unpacks a file under a name of ours.

    Raises:
        RefusedError: if it is damaged.
        ExceededError: if its sender's files are too large altogether.
        CourseError: if there is no room for it.
    """
    result.count += 1
    path = result.workspace / f"{result.count:06d}"
    try:
        with open(path, "xb") as file:
            for block in read_blocks(archive, entry):
                bundle.charge(size=len(block))
                file.write(block)
    except OSError as error:
        raise CourseError(
            f"The download can't be unpacked to {result.workspace} ({error.strerror}), "
            "so nothing was imported. Make room there, or name another place for "
            "temporary files in the environment variable TMPDIR."
        ) from error
    except CourseError:
        path.unlink()
        raise
    return path


def copy(found: Found, destination: Path) -> None:
    """Copies a file, and nothing but its content."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found.path, destination)
