"""Leaves out, when a class is graded, the cells that are there to be looked at.

A cell says of itself that no point depends on it: see `originals.is_for_looking`. It is
not run if it stands as it was handed out. A cell in which students write, and one that
written answers speak of, is left out only if the picture that the student saw is there
for whoever reads these answers. A later cell that is run may need what one of them
binds; in doubt it is run.
"""

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.utils import is_solution

from courseai_helpers.grading.submissions.names import find_names
from courseai_helpers.grading.submissions.originals import (
    Handout,
    is_for_looking,
    normalize,
)
from courseai_helpers.grading.submissions.outputs import has_picture
from courseai_helpers.grading.submissions.reading import name_cell

MARK = "courseai"
NOT_RUN = "Not run when grading: no point depends on this cell."
SEEN = " What follows was handed in with it."


def mark_looking(nb: NotebookNode, handout: Handout) -> None:
    """Marks the cells of a repaired submission that are for looking only.

    Outputs go; those of a marked cell are kept beside the mark.
    """
    given = {
        normalize(text): handout.looking[name]
        for name, text in handout.outline
        if name in handout.looking
    }
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        seen, cell.outputs = cell.outputs, []
        written = is_solution(cell) and name_cell(cell) in handout.looking
        evidence = given.get(normalize(cell.source), True if written else None)
        if evidence is False or (evidence and has_picture(seen)):
            cell.metadata[MARK] = {"looking": True, "seen": seen}


def choose_skipped(cells: list[NotebookNode]) -> set[int]:
    """Returns the places of the marked cells that no other cell needs."""
    code = [(i, cell) for i, cell in enumerate(cells) if cell.cell_type == "code"]
    names = {place: find_names(cell.source) for place, cell in code}
    skipped = {place for place, cell in code if is_for_looking(cell)}
    while True:
        run = [names[place] for place in names if place not in skipped]
        if any(used.unclear for used in run):
            return set()
        needed = set().union(*(used.late for used in run))
        wanted = set()
        for place in sorted(names, reverse=True):
            if place not in skipped:
                needed |= names[place].read
            elif names[place].unclear or names[place].bound & needed:
                wanted.add(place)
                needed |= names[place].read
        if not wanted:
            return skipped
        skipped -= wanted


def show_not_run(cell: NotebookNode) -> None:
    """Says in the place of a cell's outputs that it was not run."""
    seen = cell.metadata[MARK].get("seen", [])
    text = f"{NOT_RUN}{SEEN if seen else ''}\n"
    cell.outputs = [new_output("stream", name="stdout", text=text), *seen]
