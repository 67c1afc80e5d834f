"""Chooses which of several copies of a notebook counts: one that was worked on."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from courseai_helpers.grading.submissions.originals import Handout
from courseai_helpers.grading.submissions.reading import NotebookError, read_notebook

# Mail programs and editors append a second ending.
ENDING = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)

OLDER = "it is older"
T = TypeVar("T")


@dataclass(frozen=True)
class Copy:
    """A file that may be a notebook of the assignment.

    Attributes:
        name: Its path, as the student knows it.
        path: Where it is.
        named: Whether it has the name that was asked for.
        age: Larger for what was handed in later.
    """

    name: str
    path: Path
    named: bool
    age: tuple[Any, ...] = ()


def fold(name: str) -> str:
    """Returns a name by which to compare: letters and digits, no case, no accents."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def is_notebook(name: str) -> bool:
    """Tells by a file's name whether it is a notebook, not what macOS puts beside."""
    return bool(ENDING.search(name)) and not name.startswith("._")


def find_wanted(name: str, wanted: Iterable[str]) -> str | None:
    """Returns which notebook of an assignment a file is, by its name, or None.

    Whatever a browser, a desktop or a student adds to the name may stand before or
    after it, in any language: "Copy of x (1).ipynb", "x - Kopie 2.ipynb".

    Args:
        name: The file's name.
        wanted: The names of the assignment's notebooks, without an ending.
    """
    stem = fold(ENDING.sub("", name))
    found = [each for each in wanted if fold(each) in stem] if is_notebook(name) else []
    return max(found, key=len, default=None)


def find_copies(
    files: list[T], notebook: str, wanted: Sequence[str], name: Callable[[T], str]
) -> list[T]:
    """Returns the files that may be one of an assignment's notebooks.

    If only one is wanted and only one is there, it may have any name.

    Args:
        files: All that was handed in.
        notebook: The name of the notebook, without an ending.
        wanted: The names of all notebooks of the assignment.
        name: Returns a file's name, without its folder.
    """
    notebooks = [file for file in files if is_notebook(name(file))]
    found = [file for file in notebooks if find_wanted(name(file), wanted) == notebook]
    alone = len(wanted) == 1 and len(notebooks) == 1
    return notebooks if alone else found


def choose_copy(copies: list[Copy], handout: Handout) -> tuple[Copy, str]:
    """Returns the copy that counts, and a note if there was a choice.

    The newest of those with work in them counts; among equally old ones, the one with
    the right name, or with the most work. An unreadable copy is the last choice.

    Args:
        copies: At least one.
        handout: What students got.
    """
    if len(copies) == 1:
        return copies[0], ""
    work = {copy: measure_work(copy, handout) for copy in copies}

    def rank(copy: Copy) -> tuple[Any, ...]:
        some = min(work[copy], 1)
        return some, copy.age, copy.named, work[copy], copy.name

    chosen, *others = sorted(copies, key=rank, reverse=True)
    reasons = {copy: explain(copy, chosen, work) for copy in others}
    if work[chosen] == 0 and not any(work[copy] < 0 for copy in others):
        return chosen, ""  # they are all the same
    if set(reasons.values()) == {OLDER}:
        return chosen, f"{chosen.name} is the newest of {len(copies)}"
    left = ", ".join(f"{copy.name} ({reason})" for copy, reason in reasons.items())
    return chosen, f"{chosen.name} was taken, not {left}"


def explain(copy: Copy, chosen: Copy, work: dict[Copy, int]) -> str:
    """Says why a copy was not the one to choose."""
    if work[copy] < 0:
        return "it can't be read"
    if not work[copy]:
        return "it is as it was handed out"
    if copy.age < chosen.age:
        return OLDER
    if chosen.named > copy.named:
        return "it has another name"
    return "there is no more work in it"


def measure_work(copy: Copy, handout: Handout) -> int:
    """Returns how many cells of a notebook are a student's; -1 if it can't be read."""
    try:
        cells = read_notebook(copy.path).cells
    except NotebookError:
        return -1
    return sum(handout.is_own(cell.source) for cell in cells)
