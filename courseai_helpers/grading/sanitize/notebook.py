"""Makes notebooks harmless to open, before they are stored or shown.

One step does it twice: at the end of autograding, so that the notebook on the disk is
harmless in every viewer, and when the Formgrader shows a notebook, which others may
have written.
"""

import html
import re
from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from courseai_helpers.grading.sanitize.html import clean_html, disarm_markdown
from courseai_helpers.grading.steps.failures import AUDIT, CAUSES

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
# A picture in a page can't run what is in it, and an untrusted one is not shown at all.
SHOWN = (*PICTURES, "image/svg+xml", "text/html", "text/markdown", "text/latex")
# What a student or an LMS may have chosen, of what the Formgrader puts into its page.
CHOSEN = ("student", "first_name", "last_name", "notebook_path")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class HarmlessNotebook(NbGraderPreprocessor):
    """Removes from a notebook what could act in a browser."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Cleans a notebook in place, and escapes the student's name."""
        for cell in nb.cells:
            clean_cell(cell)
        kept = {key: nb.metadata[key] for key in (AUDIT, CAUSES) if key in nb.metadata}
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        language = {"name": "python", "pygments_lexer": "ipython3"}
        nb.metadata = NotebookNode(kernelspec=spec, language_info=language, **kept)
        for key in CHOSEN:
            if isinstance(resources.get(key), str):
                resources[key] = html.escape(resources[key])
        return nb, resources


def clean_cell(cell: NotebookNode) -> None:
    """Makes a cell harmless, in place."""
    marks = cell.metadata.get("nbgrader")
    cell.metadata = NotebookNode(
        {key: cell.metadata[key] for key in (AUDIT,) if key in cell.metadata}
    )
    if isinstance(marks, dict) and _NAME.fullmatch(str(marks.get("grade_id"))):
        cell.metadata["nbgrader"] = marks
    if cell.cell_type == "code":
        cell.outputs = [clean_output(output) for output in cell.outputs]
        return
    pictures = {
        name: kept
        for name, bundle in cell.pop("attachments", {}).items()
        if (kept := keep_pictures(bundle))
    }
    if pictures:
        cell.attachments = NotebookNode(pictures)
    if cell.cell_type == "markdown":
        cell.source = disarm_markdown(cell.source, pictures)


def clean_output(output: NotebookNode) -> NotebookNode:
    """Returns an output with no more than text, harmless markup and pictures."""
    if "data" not in output:
        return output
    data = output.data
    kept = keep_pictures(data)
    for kind in SHOWN:
        if kind not in PICTURES and isinstance(data.get(kind), str):
            kept[kind] = data[kind]
    if "text/html" in kept:
        kept["text/html"] = clean_html(kept["text/html"])
    if "text/markdown" in kept:
        kept["text/markdown"] = disarm_markdown(kept["text/markdown"])
    text = data.get("text/plain")
    if isinstance(text, str):
        kept["text/plain"] = text
    elif not kept:
        kept["text/plain"] = f"Not shown: {', '.join(data)}"
    output.data = NotebookNode(kept)
    output.metadata = NotebookNode(
        {kind: sizes for kind in kept if (sizes := keep_sizes(output.metadata, kind))}
    )
    return output


def keep_pictures(bundle: dict[str, Any]) -> dict[str, str]:
    """Returns what of a bundle of data is a picture, by its kind."""
    return {
        kind: bundle[kind]
        for kind in PICTURES
        if isinstance(bundle.get(kind), str) and _BASE64.fullmatch(bundle[kind])
    }


def keep_sizes(metadata: dict[str, Any], kind: str) -> dict[str, int]:
    """Returns the width and the height of a picture, if they are numbers."""
    found = metadata.get(kind)
    sizes = {**metadata, **(found if isinstance(found, dict) else {})}
    return {
        key: sizes[key] for key in ("width", "height") if type(sizes.get(key)) is int
    }
