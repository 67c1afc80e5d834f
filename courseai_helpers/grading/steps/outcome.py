"""Makes the outcome of a test cell alone decide about its points."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

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
