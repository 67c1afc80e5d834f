"""Leaves in a stored solution what can be seen without running it."""

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

VIEW = "application/vnd.jupyter.widget-view+json"


class DropWidgets(NbGraderPreprocessor):
    """Removes widgets that have a picture beside them.

    A widget lives in its kernel. JupyterLab shows "Error displaying widget" in the
    place of a stored one, and not the picture that stands in for it.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Removes them from the outputs of a cell."""
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data.pop(VIEW, None)
        return cell, resources
