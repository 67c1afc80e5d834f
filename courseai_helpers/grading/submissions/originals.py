"""The cells of an assignment as they were handed out, from nbgrader's gradebook."""

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme
from traitlets.config import Config

from courseai_helpers.grading.submissions.reading import name_cell, read_notebook


@dataclass(frozen=True)
class Original:
    """A cell as it was handed out, in nbgrader's words.

    Attributes:
        name: Its grade_id.
        cell_type: "code" or "markdown".
        source: Its text, with the tests that students don't see.
        marks: Its nbgrader metadata.
        released: Its text as students got it.
    """

    name: str
    cell_type: str
    source: str
    marks: dict[str, Any]
    released: str

    @property
    def is_answer(self) -> bool:
        """Whether students write into it."""
        return self.marks["solution"]

    @cached_property
    def first_line(self) -> str:
        """The line that it begins with."""
        return self.source.strip().partition("\n")[0]

    def is_defined_in(self, source: str) -> bool:
        """Whether code defines the function that this exercise asks for."""
        pattern = rf"^def {re.escape(self.name)}\("
        return self.cell_type == "code" and bool(re.search(pattern, source, re.M))

    def is_like(self, source: str) -> bool:
        """Whether a cell has the text that students got, or that instructors have."""
        versions = (self.released, self.source)
        return normalize(source) in [normalize(version) for version in versions]


@dataclass(frozen=True)
class Handout:
    """A notebook as students got it.

    Attributes:
        originals: The cells that nbgrader knows, by their names.
        outline: Name and text of every cell, in their order.
        looking: The names of the cells that are for looking only, and whether they
            are evidence: whoever grades a written answer looks at what a student saw.
    """

    originals: dict[str, Original]
    outline: list[tuple[str, str]]
    looking: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def texts(self) -> frozenset[str]:
        """The texts of all cells, also as instructors have them."""
        sources = [original.source for original in self.originals.values()]
        return frozenset(
            map(normalize, [*sources, *(text for _, text in self.outline)])
        )

    def is_own(self, source: str) -> bool:
        """Whether a text is a student's own."""
        return bool(text := normalize(source)) and text not in self.texts


def is_for_looking(cell: NotebookNode) -> bool:
    """Tells whether a cell says of itself that no point depends on it.

    Its author says so in the metadata: {"courseai": {"looking": true}}, with "evidence"
    beside it if written answers speak of what it shows. What a student says there is
    taken away when a submission is repaired.
    """
    marks = cell.metadata.get("courseai")
    is_code = cell.cell_type == "code"
    return is_code and isinstance(marks, dict) and marks.get("looking") is True


@lru_cache(maxsize=4096)  # every cell is compared with all that were handed out
def normalize(text: str) -> str:
    """Returns a text without trailing spaces, which editors change unasked."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def read_originals(
    gradebook: Gradebook, notebook: str, assignment: str, config: Config | None = None
) -> dict[str, Original]:
    """Reads the cells that nbgrader knows, in the order of the release.

    Args:
        gradebook: The course's.
        notebook: The notebook's name.
        assignment: The assignment's name.
        config: nbgrader's settings, which may have other marks for what is hidden.
    """
    clearing = [step(config=config) for step in (ClearHiddenTests, ClearMarkScheme)]
    found = gradebook.find_notebook(notebook, assignment)
    points = {cell.name: cell.max_score for cell in found.grade_cells}
    answers = {cell.name for cell in found.solution_cells}
    tasks = {cell.name: cell.max_score for cell in found.task_cells}
    originals = {}
    for cell in found.source_cells:
        marks = {
            "cell_type": cell.cell_type,
            "checksum": cell.checksum,
            "grade": cell.name in points,
            "grade_id": cell.name,
            "locked": cell.locked,
            "schema_version": 3,
            "solution": cell.name in answers,
            "task": cell.name in tasks,
        }
        if cell.name in points or cell.name in tasks:
            marks["points"] = (points | tasks)[cell.name]
        released = NotebookNode(source=cell.source, metadata={"nbgrader": marks})
        for step in clearing:
            released, _ = step.preprocess_cell(released, {}, 0)
        originals[cell.name] = Original(
            cell.name, cell.cell_type, cell.source, marks, released.source
        )
    return originals


def read_handout(
    gradebook: Gradebook, notebook: str, assignment: str, config: Config
) -> Handout:
    """Reads a whole notebook: the gradebook has only the cells that are marked."""
    originals = read_originals(gradebook, notebook, assignment, config)
    outline = [(name, original.released) for name, original in originals.items()]
    looking = {}
    course = CourseDirectory(config=config)
    folder = course.format_path(course.source_directory, ".", assignment)
    if (path := Path(folder, f"{notebook}.ipynb")).is_file():
        names = [(name_cell(cell), cell) for cell in read_notebook(path).cells]
        looking = {
            name: cell.metadata["courseai"].get("evidence") is True
            for name, cell in names
            if is_for_looking(cell)
        }
        outline = [
            (name, originals[name].released if name in originals else cell.source)
            for name, cell in names
        ]
    return Handout(originals, outline, looking)
