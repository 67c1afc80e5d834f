"""The lesson's cells for looking cost a class nothing."""

from pathlib import Path

import nbformat
from conftest import ASSIGNMENT

from courseai_helpers.grading.steps.looking import choose_skipped
from courseai_helpers.grading.submissions.names import find_names
from courseai_helpers.grading.submissions.originals import is_for_looking

EXPENSIVE = {"gallery", "shortcut_train", "find_shortcut", "comparison", "explorer"}


def test_no_cell_that_is_run_needs_one_that_is_for_looking(root: Path):
    path = root / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    marked = {cell.id for cell in cells if is_for_looking(cell)}
    skipped = {cells[place].id for place in choose_skipped(cells)}
    assert skipped == marked and marked >= EXPENSIVE
    unclear = [c.id for c in cells if c.cell_type == "code" and is_unclear(c)]
    assert not unclear, "With one of these in it, every cell of a submission is run."


def is_unclear(cell: nbformat.NotebookNode) -> bool:
    """Tells whether it can't be seen what names a cell reads."""
    return find_names(cell.source).unclear
