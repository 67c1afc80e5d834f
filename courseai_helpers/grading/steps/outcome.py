"""Makes the outcome of a test cell alone decide about its points, and saves them."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.api import BaseCell, Comment, Grade, Gradebook, MissingEntry
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades

from courseai_helpers.grading.examiner.kernel import is_test


class KeepOutcome(NbGraderPreprocessor):
    """Removes from executed test cells what nbgrader would misread.

    nbgrader gives no points for a cell with a line on stderr, even if it is only a
    warning, and reads a number that a cell puts out as partial credit. Our test cells
    fail only by raising an exception. This comes between the execution and the saving
    of scores.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Keeps what a test cell printed, and its errors."""
        if is_test(cell):
            for output in cell.outputs:
                if output.output_type == "stream":
                    output.name = "stdout"
            cell.outputs = [
                output
                for output in cell.outputs
                if output.output_type in ("stream", "error")
            ]
        return cell, resources


class LoadedRows:
    """What SaveAutoGrades asks a gradebook for, loaded with one query for each kind.

    Attributes:
        grades: The rows of a notebook's grades, by the names of their cells.
        comments: Those of its comments.
        db: What is told to commit after each cell; that is done once, in the end.
    """

    def __init__(self, gradebook: Gradebook, notebook_id: str):
        def load(kind: type[Grade] | type[Comment]) -> dict[str, Any]:
            rows = gradebook.db.query(BaseCell.name, kind)
            rows = rows.join(BaseCell, BaseCell.id == kind.cell_id)
            rows = rows.filter(kind.notebook_id == notebook_id)
            return {name: row for name, row in rows}

        self.grades, self.comments = load(Grade), load(Comment)
        self.db = self

    def find_grade(self, name: str, *_: str) -> Grade:
        """Returns the row of a cell's grade."""
        return self.find(self.grades, name)

    def find_comment(self, name: str, *_: str) -> Comment:
        """Returns the row of a cell's comment."""
        return self.find(self.comments, name)

    def find(self, rows: dict[str, Any], name: str) -> Any:
        """Returns a row, or raises what a gradebook raises."""
        if name not in rows:
            raise MissingEntry(f"The gradebook has no cell {name!r} for this notebook.")
        return rows[name]

    def commit(self) -> None:
        """Does nothing yet."""


class SaveScores(SaveAutoGrades):
    """Saves scores by nbgrader's own rules, in some queries instead of a hundred."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Saves the scores of a notebook, and which written answers are empty."""
        names = resources["nbgrader"]
        self.notebook_id, self.assignment_id = names["notebook"], names["assignment"]
        self.student_id = names["student"]
        whose = (self.notebook_id, self.assignment_id, self.student_id)
        with Gradebook(names["db_url"]) as gradebook:
            notebook = gradebook.find_submission_notebook(*whose)
            self.gradebook = LoadedRows(gradebook, notebook.id)
            for index, cell in enumerate(nb.cells):
                self.preprocess_cell(cell, resources, index)
            gradebook.db.commit()
        return nb, resources
