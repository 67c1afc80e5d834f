"""Prints what others have written so that it can't command the terminal."""

import sys
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import IO, TextIO

MAX_LINES = 1000  # of a program in a log
MAX_LENGTH = 2000  # bytes of a line

# Invisible, but parts of words in some scripts and of some pictures in text.
_JOINERS = "\u200c\u200d"
# Escape sequences begin with a control character (Cc); others of these turn the
# direction of writing (in Cf), begin a line (Zl, Zp) or can't be encoded (Cs).
_COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def is_command(character: str) -> bool:
    """Tells whether a character acts on a terminal or page, and is not just shown."""
    return character not in _JOINERS and unicodedata.category(character) in _COMMANDS


def make_printable(text: object) -> str:
    r"""Returns a text as one line in which nothing acts on a terminal.

    Args:
        text: Anything; what would command a terminal is written as in a Python string,
            such as \x1b.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if is_command(character)
        else character
        for character in str(text)
    )


def make_lines_printable(text: object) -> str:
    """Returns a text of our own lines, which may quote others', to be printed."""
    return "\n".join(map(make_printable, str(text).split("\n")))


def log_lines(stream: IO[bytes], log: Callable[..., None]) -> None:
    """Hands on to a log what another program writes, line by line, until it ends.

    Args:
        stream: Where it writes.
        log: Such as the `info` of a logger. It gets the first lines, shortened; a
            program that goes on and on is read, but not kept.
    """
    for number, line in enumerate(iter(partial(stream.readline, MAX_LENGTH), b"")):
        if number < MAX_LINES:
            log("%s", make_printable(line.decode(errors="replace").rstrip()))
        elif number == MAX_LINES:
            log("More was said; it is not kept.")


def say(text: object, file: TextIO | None = None) -> None:
    """Prints a text; each `courseai` command does it here."""
    file = file or sys.stdout
    lines = make_lines_printable(text)
    encoding = file.encoding or "utf-8"  # what a terminal can't show is shown as "?"
    print(lines.encode(encoding, "replace").decode(encoding), file=file, flush=True)
