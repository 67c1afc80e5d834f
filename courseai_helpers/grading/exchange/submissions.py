"""Reads the name and the owner of a submission's folder."""

import contextlib
import os
import re
import secrets
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nbgrader.utils import parse_utc

from courseai_helpers.grading.submissions.safe_files import RefusedError

STUDENT = re.compile(r"\w[\w.@+=-]{0,127}")  # what `courseai import roster` takes, too
CLOCKS = timedelta(minutes=10)  # by which those of two machines may differ


def read_record(name: str, student: str, rest: str) -> dict[str, Any]:
    """Returns what the name of a submission's folder says.

    Args:
        name: The name.
        student: What stands before the assignment.
        rest: What stands behind it: the time, mostly with random letters.

    Raises:
        RefusedError: if it has no valid student id, or no time in the past.
    """
    if not STUDENT.fullmatch(student):
        raise RefusedError("It names nobody who could be a student.")
    timestamp = None
    for text in (rest.rpartition("+")[0], rest):
        with contextlib.suppress(ValueError, OverflowError, TypeError):
            timestamp = timestamp or (parse_utc(text) if text else None)
    if timestamp is None:
        raise RefusedError("Its name has no time that can be read.")
    if timestamp > datetime.now(UTC).replace(tzinfo=None) + CLOCKS:
        raise RefusedError("It was submitted in the future, says its name.")
    return {"username": student, "filename": name, "timestamp": timestamp}


def write_identity(folder: Path, timestamp: datetime) -> None:
    """Rewrites files that nbgrader reads later, and that a student may have damaged.

    nbgrader stops releasing feedback, for everybody, at the first submission without a
    readable secret.
    """
    for name in ("timestamp.txt", "submission_secret.txt"):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    (folder / "timestamp.txt").write_text(f"{timestamp.isoformat(' ')} UTC")
    secret = folder / "submission_secret.txt"
    if not (secret.is_file() and re.fullmatch(rb"[!-~]{1,999}", secret.read_bytes())):
        secret.write_text(secrets.token_hex(64))


def name_user(number: int) -> str:
    """Returns the name of a user of this machine."""
    import pwd  # not on Windows, where nbgrader has no exchange

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def find_owner(name: str, inbound: int) -> str:
    """Returns who owns an entry of a folder; links are not followed."""
    try:
        return name_user(os.stat(name, dir_fd=inbound, follow_symlinks=False).st_uid)
    except OSError:  # it is gone
        return "somebody"
