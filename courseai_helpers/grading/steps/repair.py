"""Repairs what students hand in, so that every solved exercise can be graded.

Test cells that were deleted, duplicated, moved, split, retyped or edited come back in
their place, cells are told apart from copies, and tags that change how a cell is
executed go. What was done stands in a note at the top of the autograded notebook, where
the formgrader shows it, in the notebook's metadata and in the log.
"""

from typing import Any

from nbformat import NotebookNode
from nbformat.corpus.words import generate_corpus_id
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

from courseai_helpers.grading.gradebook.names import explain_bad_id, explain_bad_name
from courseai_helpers.grading.steps.failures import AUDIT
from courseai_helpers.grading.steps.looking import mark_looking
from courseai_helpers.grading.steps.stray_answers import point_to_answers
from courseai_helpers.grading.submissions.additions import find_additions
from courseai_helpers.grading.submissions.folders import SubmissionError
from courseai_helpers.grading.submissions.notebook import NOTES
from courseai_helpers.grading.submissions.originals import Original, read_handout

NOT_HANDED_IN = "# This cell was not handed in."
TAGS = ("raises-exception", "skip-execution")


class RepairSubmission(NbGraderPreprocessor):
    """Brings a submission into the form in which it was handed out."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Repairs the notebook in place and leaves an audit note if it had to.

        Raises:
            SubmissionError: if the student's name must not be shown.
        """
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            refuse_odd_names(gradebook, names["student"])
            handout = read_handout(
                gradebook, names["notebook"], names["assignment"], self.config
            )
        notes = [*resources.get(NOTES, []), *point_to_answers(nb, handout)]
        notes += repair(nb, handout.originals)
        mark_looking(nb, handout)
        for note in notes:
            self.log.warning("%s: %s", names["student"], note)
        leave_note(nb, notes)
        return nb, resources


def refuse_odd_names(gradebook: Gradebook, student: str) -> None:
    """Checks a student's id and name before they are shown on a page.

    `nbgrader autograde` has entered the id by now; it is removed again if the gradebook
    knows nothing else of it.

    Raises:
        SubmissionError: if one of them could act there.
    """
    if reason := explain_bad_id(student):
        if not any(
            grade.auto_score is not None or grade.manual_score is not None
            for submission in gradebook.student_submissions(student)
            for notebook in submission.notebooks
            for grade in notebook.grades
        ):
            gradebook.remove_student(student)
        raise SubmissionError(reason)
    if reason := explain_bad_name(gradebook, student):
        raise SubmissionError(reason)


def repair(nb: NotebookNode, originals: dict[str, Original]) -> list[str]:
    """Repairs a notebook in place and says what was done, a line for each thing."""
    copies, notes = find_copies(nb, originals)
    find_unmarked_answers(nb, originals, copies)
    surplus = set()
    for name, indices in copies.items():
        if len(indices) > 1:
            notes.append(f"{name} was there {len(indices)} times.")
            surplus.update(merge(nb, originals[name], indices))
    places = {name: indices[-1] for name, indices in copies.items() if indices}
    staying = find_longest_run(list(places.values()))
    notes += [
        f"{name} had been moved."
        for name, place in places.items()
        if place not in staying
    ]
    restored, added = {}, {}
    for name, original in originals.items():
        found = nb.cells[places[name]] if name in places else None
        restored[name], changes = restore(original, found)
        notes += changes
        sources = [nb.cells[index].source for index in copies[name]]
        if code := collect_additions(original, sources):
            added[name] = code
            notes.append(f"What was added to {name} is in a cell of its own beside it.")
    nb.cells = arrange(nb.cells, surplus, places, staying, restored)
    insert_additions(nb, originals, added)
    nb.metadata = NotebookNode()
    give_ids(nb)
    return notes


def collect_additions(original: Original, sources: list[str]) -> str:
    """Returns the code that was added to a cell which is put back, or to its copies."""
    if original.is_answer or original.cell_type != "code":
        return ""
    is_test = original.marks["grade"]
    found = [
        find_additions(original.released, source, imports_only=is_test)
        for source in sources
        if not original.is_like(source)
    ]
    return "\n".join(dict.fromkeys(code for code in found if code))


def insert_additions(
    nb: NotebookNode, originals: dict[str, Original], added: dict[str, str]
) -> None:
    """Puts what was added to a setup cell below it, to a test cell above it."""
    cells = []
    for cell in nb.cells:
        code = added.get(cell.id)
        own = [new_code_cell(code)] if code else []
        if code and originals[cell.id].marks["grade"]:
            cells += [*own, cell]
        else:
            cells += [cell, *own]
    nb.cells = cells


def find_copies(
    nb: NotebookNode, originals: dict[str, Original]
) -> tuple[dict[str, list[int]], list[str]]:
    """Finds where each of the cells handed out is, and the tags that have to go."""
    copies: dict[str, list[int]] = {name: [] for name in originals}
    notes: list[str] = []
    for index, cell in enumerate(nb.cells):
        if (name := recognize(cell, originals)) is not None:
            copies[name].append(index)
        notes += [f"{name or 'A cell'} had the tag {tag}." for tag in list_tags(cell)]
    return copies, notes


def find_unmarked_answers(
    nb: NotebookNode, originals: dict[str, Original], copies: dict[str, list[int]]
) -> None:
    """Adds answers whose marks another editor dropped, as Google Colab may do.

    Such a cell defines the function that was asked for, or it still begins with a line
    that no other exercise begins with.
    """
    starts = [original.first_line for original in originals.values()]
    taken = {index for indices in copies.values() for index in indices}
    free = [(i, cell) for i, cell in enumerate(nb.cells) if i not in taken]
    for name, original in originals.items():
        if copies[name] or not original.is_answer:
            continue
        cells = [(i, c.source) for i, c in free if c.cell_type == original.cell_type]
        places = [i for i, source in cells if original.is_defined_in(source)]
        if not places and starts.count(original.first_line) == 1:
            begins = original.first_line
            places = [i for i, text in cells if text.strip().startswith(begins)]
        if len(places) == 1:
            copies[name] = places
            free = [(i, cell) for i, cell in free if i not in places]


def arrange(
    cells: list[NotebookNode],
    surplus: set[int],
    places: dict[str, int],
    staying: set[int],
    restored: dict[str, NotebookNode],
) -> list[NotebookNode]:
    """Returns the restored cells in their order, and the student's own between them.

    What was moved or missing comes just before the next cell that stays: a test has to
    come after everything that belongs to its exercise.
    """
    before, waiting = {}, []
    for name, cell in restored.items():
        waiting.append(cell)
        if places.get(name) in staying:
            before[places[name]], waiting = waiting, []
    gone = surplus.union(places.values())
    # The old place of an answer may be needed, too: a cell may hold more than one.
    moved = {
        place
        for name, place in places.items()
        if place not in staying and is_code_answer(restored[name])
    }
    arranged = []
    for index, cell in enumerate(cells):
        if index in before:
            arranged += before[index]
        elif index not in gone or index in moved:
            arranged.append(make_cell(cell.cell_type, cell))
    return arranged + waiting


def is_code_answer(cell: NotebookNode) -> bool:
    """Tells whether students write code into a restored cell."""
    return cell.cell_type == "code" and cell.metadata["nbgrader"]["solution"]


def list_tags(cell: NotebookNode) -> list[str]:
    """Returns the tags of a cell that would change its execution."""
    tags = cell.metadata.get("tags")
    return [tag for tag in TAGS if isinstance(tags, list) and tag in tags]


def recognize(cell: NotebookNode, originals: dict[str, Original]) -> str | None:
    """Tells which of the cells handed out this one is, or None."""
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    if isinstance(name, str) and name in originals:
        return name
    if cell.get("id") in originals:
        return cell.id
    for name, original in originals.items():
        if cell.source.strip() and original.is_like(cell.source):
            return name
    return None


def merge(nb: NotebookNode, original: Original, indices: list[int]) -> list[int]:
    """Makes one cell of several; returns the indices of those that go.

    A split answer stays where it is, as code, or becomes one text.
    """
    *others, last = indices
    if original.is_answer and original.cell_type == "code":
        return []
    if original.is_answer:
        join_texts([nb.cells[i] for i in indices])
    return others


def join_texts(cells: list[NotebookNode]) -> None:
    """Makes the last of several cells hold the texts and pictures of all of them.

    Pictures that are pasted into a cell are all called "image.png".
    """
    texts: list[str] = []
    pictures: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        text, attachments = cell.source, cell.get("attachments")
        for name, data in (
            attachments if isinstance(attachments, dict) else {}
        ).items():
            kept = name
            if pictures.get(name, data) != data:
                kept = f"{number}-{name}"
                text = text.replace(f"attachment:{name}", f"attachment:{kept}")
            pictures[kept] = data
        texts.append(text)
    cells[-1].source = "\n\n".join(texts)
    if pictures:
        cells[-1].attachments = NotebookNode(pictures)


def restore(
    original: Original, cell: NotebookNode | None
) -> tuple[NotebookNode, list[str]]:
    """Returns the cell as it should be, and says what was wrong with it."""
    notes = []
    if cell is None:
        notes.append(f"{original.name} was missing.")
        # What it asks for may be defined in another cell: the name is asked for, and
        # the student's kernel says what it means.
        is_code = original.is_answer and not original.marks["grade"]
        cell = NotebookNode(source=NOT_HANDED_IN if is_code else original.source)
    elif cell.cell_type != original.cell_type:
        notes.append(f"{original.name} was no {original.cell_type} cell any more.")
    elif not original.is_answer and not original.is_like(cell.source):
        notes.append(f"{original.name} had been edited.")
    restored = make_cell(original.cell_type, cell)
    if not original.is_answer:
        restored.source = original.source
    restored.id = original.name
    restored.metadata["nbgrader"] = dict(original.marks)
    return restored, notes


def make_cell(cell_type: str, cell: NotebookNode) -> NotebookNode:
    """Makes a cell of a type with the text of another, and nothing that is not valid.

    Metadata goes; the pictures of a text stay, and outputs, which have been read anew.
    """
    kind = cell_type if cell_type in ("code", "markdown") else "raw"
    # Half a character (a lone surrogate) can be read from JSON, but not written.
    source = str(cell.source).encode(errors="replace").decode()
    name = generate_corpus_id()
    made = NotebookNode(cell_type=kind, id=name, metadata=NotebookNode(), source=source)
    attachments = cell.get("attachments")
    if kind == "code":
        made.update(outputs=cell.get("outputs", []), execution_count=None)
    elif isinstance(attachments, dict):
        made.attachments = NotebookNode(
            {k: v for k, v in attachments.items() if isinstance(v, dict)}
        )
    return made


def find_longest_run(places: list[int]) -> set[int]:
    """Finds the longest run of places that rises; the cells there need not move."""
    best: list[list[int]] = []
    for place in places:
        shorter = [run for run in best if run[-1] < place]
        best.append([*find_longest(shorter), place])
    return set(find_longest(best))


def find_longest(runs: list[list[int]]) -> list[int]:
    """Returns the longest of some runs, the first of equals; empty if there is none."""
    return max(runs, key=len) if runs else []


def give_ids(nb: NotebookNode) -> None:
    """Gives every cell an id of its own, as nbformat 4.5 wants it."""
    nb.nbformat, nb.nbformat_minor = 4, 5
    taken = {cell.id for cell in nb.cells if cell.metadata}
    for cell in nb.cells:
        while not cell.metadata and cell.id in taken:
            cell.id = generate_corpus_id()
        taken.add(cell.id)


def leave_note(nb: NotebookNode, notes: list[str]) -> None:
    """Puts the audit note where the instructor sees it."""
    nb.metadata[AUDIT] = notes
    if notes:
        lines = "\n".join(f"- {note}" for note in notes)
        text = f"**For the instructor.** Before grading, this was repaired:\n\n{lines}"
        nb.cells.insert(0, new_markdown_cell(text, metadata={AUDIT: True}))
