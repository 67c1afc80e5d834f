"""Keeps the log of a class run: what was done when, and what other programs said."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from os import open as open_file
from pathlib import Path
from typing import Any

from courseai_helpers._common.printing import say
from courseai_helpers.grading.sanitize.logs import PrintableLines

FOLDER = "logs"
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OURS = "courseai_helpers"  # the logger of everything in this package


class PrivateFile(logging.FileHandler):
    """Writes a file that only its owner can read; it is made with the first line."""

    def _open(self) -> Any:
        path = Path(self.baseFilename)
        path.parent.mkdir(exist_ok=True)
        private = partial(open_file, mode=0o600)
        return open(path, "a", encoding="utf-8", errors="replace", opener=private)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record if it can; where the disk is full, grading itself says so."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's
        """Prints nothing."""


class Terminal(logging.Handler):
    """Prints what an instructor should see while a class is graded."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record on the standard error, around a progress bar."""
        say(self.format(record), sys.stderr)


@contextlib.contextmanager
def keep_log(
    course: Path, assignment: str, *, verbose: bool, file: bool = True
) -> Iterator[Path]:
    """Writes what is logged meanwhile to a file, and what matters to the terminal.

    The file has the records of all libraries from warnings up, and ours from INFO up.

    Args:
        course: The top of the course directory; the file lies in its `logs/`.
        assignment: The assignment's name, part of the file's.
        verbose: Whether the terminal gets all of our records, not just the warnings.
        file: Whether to write the file.

    Yields:
        Where the file is, once there is something to write.
    """
    path = course / FOLDER / f"{assignment}-{datetime.now():%Y%m%d-%H%M%S}.log"
    everybody, ours = logging.getLogger(), logging.getLogger(OURS)
    kept = PrivateFile(path, delay=True) if file else logging.NullHandler()
    terminal = Terminal()
    terminal.setLevel(logging.INFO if verbose else logging.WARNING)
    kept.setFormatter(PrintableLines(LINE))
    terminal.setFormatter(PrintableLines("%(message)s"))
    level = ours.level
    everybody.addHandler(kept)
    ours.addHandler(terminal)
    ours.setLevel(logging.INFO)
    try:
        yield path
    finally:
        ours.setLevel(level)
        ours.removeHandler(terminal)
        everybody.removeHandler(kept)
        with contextlib.suppress(OSError):  # a full disk: the reason is told already
            kept.close()
