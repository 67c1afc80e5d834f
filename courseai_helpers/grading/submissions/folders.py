"""Checks the files of a submission's folder before any of them is used.

Files that can't or must not be read are left out, with the reason: a link, which could
lead to others' files, a pipe, which could block for ever, a file that may not be read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.printing import make_printable
from courseai_helpers.grading.sandbox.bubblewrap import Limits

MAX_FILES = 1000  # beside the notebook
MAX_BYTES = Limits.disk  # all of them together
MAX_NOTES = 5  # left-out files that are named; of more only the number is given


class SubmissionError(CourseError):
    """Says why a submission can't be graded; the fault is the submission's."""


@dataclass
class Contents:
    """What lies in a folder and below it.

    Attributes:
        files: The files that can be read, by their paths in the folder.
        left_out: Why each other file is left out, by its path.
    """

    files: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def survey(folder: Path) -> Contents:
    """Returns what lies in a submission's folder; no link is followed.

    Raises:
        SubmissionError: if it is not a folder that can be read.
    """
    contents, waiting = Contents(), [folder]
    if os.path.islink(folder):
        raise SubmissionError(
            "Its folder is a symbolic link, which is not followed. Put a folder in its "
            "place, or ask the student to submit again."
        )
    while waiting:
        current = waiting.pop()
        try:
            entries = list(os.scandir(current))
        except OSError as error:
            if current == folder:
                raise SubmissionError(
                    f"Its folder can't be read ({error.strerror}). Make it readable "
                    "and grade again, or ask the student to submit again."
                ) from error
            reason = f"can't be read ({error.strerror})"
            contents.left_out[str(current.relative_to(folder))] = reason
            continue
        for entry in entries:
            name = str(Path(entry.path).relative_to(folder))
            if reason := find_trouble(entry):
                contents.left_out[name] = reason
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                contents.files[name] = Path(entry.path)
    return contents


def find_trouble(entry: os.DirEntry[str]) -> str:
    """Says why a file or folder must not or can't be read, nothing if it can."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "has a name that is not in UTF-8"
    if entry.is_symlink():
        return "is a symbolic link"
    if entry.is_dir(follow_symlinks=False):
        return ""
    if not entry.is_file(follow_symlinks=False):
        return "is no file"
    return "" if os.access(entry.path, os.R_OK) else "can't be read (Permission denied)"


def compute_fingerprint(folder: Path) -> str:
    """Returns a hash of all that a student submitted, names and contents.

    For files too large to be graded, size and time stand for the content.

    Raises:
        SubmissionError: if the folder can't be read.
    """
    digest, contents = hashlib.sha256(), survey(folder)
    for name, path in sorted(contents.files.items(), key=lambda item: Path(item[0])):
        try:
            status = path.stat()
            if status.st_size > MAX_BYTES:
                content = f"{status.st_size} {status.st_mtime_ns}".encode()
            else:
                content = path.read_bytes()
        except OSError as error:
            content = str(error.strerror).encode()
        digest.update(json.dumps([name, len(content)]).encode() + content)
    for name, reason in sorted(contents.left_out.items()):
        digest.update(json.dumps([name, reason]).encode())
    return digest.hexdigest()


def select_beside(
    contents: Contents, ignored: Iterable[str]
) -> tuple[dict[str, Path], list[str]]:
    """Chooses what a kernel gets to see beside the notebook.

    If it is too much, what lies at the top and is small comes first.

    Args:
        contents: What is in the folder.
        ignored: Patterns of the names of files and folders that are not needed.

    Returns:
        The files by their paths in the folder, and notes on those that are left out.
    """
    patterns = [*ignored, "*.ipynb", "._*"]

    def is_wanted(name: str) -> bool:
        parts = Path(name).parts
        return not any(fnmatch(part, p) for part in parts for p in patterns)

    sizes = {n: measure(p) for n, p in contents.files.items() if is_wanted(n)}
    files: dict[str, Path] = {}
    total = 0
    for name in sorted(sizes, key=lambda n: (len(Path(n).parts), sizes[n], n)):
        if len(files) < MAX_FILES and total + sizes[name] <= MAX_BYTES:
            files[name] = contents.files[name]
            total += sizes[name]
    odd = {n: why for n, why in contents.left_out.items() if is_wanted(n)}
    notes = [
        f"{make_printable(n)} was left out: it {why}." for n, why in sorted(odd.items())
    ]
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [f"{len(notes) - MAX_NOTES} more were left out."]
    if surplus := sorted(sizes.keys() - files.keys(), key=sizes.__getitem__):
        size = f"{sizes[surplus[-1]] / 2**20:.1f} MiB"
        largest = make_printable(surplus[-1])
        notes.append(
            f"{len(surplus)} files were left out, the largest {largest} with {size}: "
            f"beside the notebook, a submission may have {MAX_FILES} files and "
            f"{MAX_BYTES >> 20} MiB. If the work needs them, it has to be submitted "
            "again with less."
        )
    return files, notes


def measure(path: Path) -> int:
    """Returns a file's size in bytes."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def put_in_place(staged: Path, destination: Path) -> None:
    """Moves a folder to where an older version may be.

    Args:
        staged: The folder, on the disk of the destination, so that moving is renaming.
        destination: Its place. What is there stays until the new version is.

    Raises:
        OSError: if it can't be moved.
    """
    old = staged.with_name(f"{staged.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        os.rename(destination, old)
    os.rename(staged, destination)
    shutil.rmtree(old, ignore_errors=True)
