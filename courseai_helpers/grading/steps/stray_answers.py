"""Finds written answers outside the cell that was meant for them.

nbgrader gives no points for a written answer whose cell was not changed, and does not
show it to graders. Where a student has cells of their own between it and the next
heading, the cell gets a note instead, so that a person reads what is there.
"""

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from courseai_helpers.grading.submissions.originals import Handout, Original, normalize


def point_to_answers(nb: NotebookNode, handout: Handout) -> list[str]:
    """Adds to untouched written answers where else to look; returns notes about it.

    Args:
        nb: What was handed in; a marked cell that is missing is put back where it was.
        handout: What students got.
    """
    notes = []
    for name, original in handout.originals.items():
        if original.cell_type != "markdown" or not original.is_answer:
            continue
        there = [
            index
            for index, cell in enumerate(nb.cells)
            if is_copy(cell, name) or begins_like(cell, original, handout)
        ]
        if any(handout.is_own(nb.cells[i].source) for i in there):
            continue  # it was answered in its place
        above, below = find_own_cells(nb, handout, name, there)
        if not above + below:
            continue
        if there:
            cell = nb.cells[there[-1]]
        else:
            cell = new_markdown_cell(
                original.released,
                id=name,
                metadata={"nbgrader": dict(original.marks)},
            )
            nb.cells.insert(find_place(nb, handout, name), cell)
            notes.append(f"{name} was missing.")
        counts = ((len(above), "above"), (len(below), "below"))
        where = " and ".join(f"{count} {word}" for count, word in counts if count)
        cell.source = (
            f"{original.released.rstrip()}\n\n*There is no answer in this cell. It may "
            f"be in the cells beside it that are not from the lesson: {where}.*"
        )
        notes.append(
            f"{name} had no answer in its cell, but there are cells of the student's "
            f"own beside it ({where}): a person has to read them."
        )
    return notes


def is_copy(cell: NotebookNode, name: str) -> bool:
    """Tells whether a cell is the one of this name, by its marks or its id."""
    marks = cell.metadata.get("nbgrader")
    named = marks.get("grade_id") if isinstance(marks, dict) else None
    return name in (named, cell.get("id"))


def begins_like(cell: NotebookNode, original: Original, handout: Handout) -> bool:
    """Tells whether a cell without marks begins as only this one does."""
    starts = [other.first_line for other in handout.originals.values()]
    begins = original.first_line
    return starts.count(begins) == 1 and cell.source.strip().startswith(begins)


def find_own_cells(
    nb: NotebookNode, handout: Handout, name: str, there: list[int]
) -> tuple[list[int], list[int]]:
    """Returns the student's own cells just above and below a written answer.

    Those below reach to the next heading that was handed out, or to the next cell that
    is marked.
    """
    first = there[0] if there else find_place(nb, handout, name)
    last = there[-1] + 1 if there else first
    above = []
    for index in range(first - 1, -1, -1):
        cell = nb.cells[index]
        if is_marked(cell, handout) or not handout.is_own(cell.source):
            break
        above.append(index)
    below = []
    for index in range(last, len(nb.cells)):
        cell = nb.cells[index]
        if is_marked(cell, handout):
            break
        if handout.is_own(cell.source):
            below.append(index)
        if is_heading(cell, handout):
            break
    return above, below


def find_place(nb: NotebookNode, handout: Handout, name: str) -> int:
    """Returns the place of a missing cell: after the last of those before it."""
    order = [entry for entry, _ in handout.outline]
    for before, text in reversed(handout.outline[: order.index(name)]):
        for index in range(len(nb.cells) - 1, -1, -1):
            cell = nb.cells[index]
            same = normalize(text) and normalize(cell.source) == normalize(text)
            if same or (before in handout.originals and is_copy(cell, before)):
                return index + 1
    return 0


def is_marked(cell: NotebookNode, handout: Handout) -> bool:
    """Tells whether nbgrader knows a cell."""
    return any(is_copy(cell, name) for name in handout.originals)


def is_heading(cell: NotebookNode, handout: Handout) -> bool:
    """Tells whether a cell was handed out as the beginning of a section."""
    return any(
        text.lstrip().startswith("#")
        and (is_copy(cell, name) or normalize(cell.source) == normalize(text))
        for name, text in handout.outline
        if cell.cell_type == "markdown"
    )
