"""Reads the notebooks that students hand in, whatever wrote or damaged them.

Grading and importing read them here and nowhere else, so that they agree on what is a
notebook. Of outputs only texts and plain pictures are read: see `outputs.py`.
"""

import json
import re
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict
from nbformat.corpus.words import generate_corpus_id
from nbformat.v4 import new_notebook

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.submissions.outputs import join, read_outputs

MAX_BYTES = 100 * 2**20  # as much as nbgrader's exchange takes
MAX_DEPTH = 6  # of what is nested in metadata; nbgrader's own has 2
CONFLICT = re.compile(rb"^(<{7}|>{7}) ", re.M)
AGAIN = "Ask the student to open it in Jupyter, save it and submit it again."


class NotebookError(CourseError):
    """Says why a file can't be read as a notebook, and what to do."""


def name_cell(cell: NotebookNode) -> str:
    """Returns the name of a cell: its grade_id, or its id."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.get("id", "")


def read_notebook(path: Path) -> NotebookNode:
    """Reads a notebook of any format, in any encoding of Unicode.

    Whatever is missing in it is taken for empty.

    Raises:
        NotebookError: if it is not a notebook, or can't be read.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise NotebookError(
                f"It has {size / 2**20:.0f} MiB, and {MAX_BYTES >> 20} MiB is the most "
                "that is read. Most of that will be outputs: ask the student to clear "
                "them (Edit, Clear Outputs of All Cells), save and submit again."
            )
        data = path.read_bytes()
    except OSError as error:
        raise NotebookError(
            f"It can't be read ({error.strerror}). Make it readable and grade again, "
            "or ask the student to submit it again."
        ) from error
    return make_notebook(parse(data))


def parse(data: bytes) -> dict[str, Any]:
    """Returns the content of a JSON file that should be a notebook."""
    if not data.strip(b"\0 \t\r\n"):
        raise NotebookError(f"It is empty. {AGAIN}")
    try:
        try:
            content = json.loads(data)  # it tells UTF-8, UTF-16 and UTF-32 apart
        except UnicodeDecodeError:
            content = json.loads(data.decode("cp1252", errors="replace"))
    except RecursionError as error:
        raise NotebookError(f"It is nested too deeply. {AGAIN}") from error
    except ValueError as error:
        if CONFLICT.search(data):
            raise NotebookError(
                "It has the marks of a merge in Git that was never finished (<<<<<<<). "
                "Ask the student to decide between the versions and to submit again."
            ) from error
        raise NotebookError(f"It is not in JSON: {error}. {AGAIN}") from error
    if not isinstance(content, dict) or not isinstance(find_cells(content), list):
        raise NotebookError(f"It has no list of cells, as notebooks have. {AGAIN}")
    return content


def find_cells(content: dict[str, Any]) -> list[Any] | None:
    """Returns a notebook's cells; before format 4, they were in worksheets."""
    sheets = content.get("worksheets")
    if "cells" in content or not isinstance(sheets, list):
        return content.get("cells")
    found = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
    return [cell for cells in found if isinstance(cells, list) for cell in cells]


def make_notebook(content: dict[str, Any]) -> NotebookNode:
    """Makes a notebook of today's format of what was read."""
    cells = [
        make_cell(cell) for cell in find_cells(content) or [] if isinstance(cell, dict)
    ]
    metadata = read_dict(content, "metadata")
    metadata.pop("language", None)  # nbconvert fails if it is not a text
    notebook = new_notebook()
    notebook.cells, notebook.metadata = cells, metadata  # repairing it makes it valid
    return notebook


def make_cell(found: dict[str, Any]) -> NotebookNode:
    """Makes a cell of today's format of what was read.

    nbformat's own functions look at each cell for what is not valid; that takes long.
    """
    kind = found.get("cell_type")
    source = join(found.get("source", found.get("input")))  # the latter in format 3
    if kind == "heading":
        level = found.get("level")
        source = f"{'#' * level if isinstance(level, int) else '#'} {source}"
    kinds = {"code": "code", "markdown": "markdown", "heading": "markdown"}
    kind = kinds.get(kind, "raw") if isinstance(kind, str) else "raw"
    name = found.get("id")
    cell = NotebookNode(
        cell_type=kind,
        id=name if isinstance(name, str) else generate_corpus_id(),
        metadata=read_dict(found, "metadata"),
        source=source,
    )
    if kind == "code":
        outputs = read_outputs(found.get("outputs"))
        cell.update(outputs=outputs, execution_count=None)
    elif attachments := read_dict(found, "attachments"):
        cell.attachments = attachments
    return cell


def read_dict(content: dict[str, Any], key: str) -> NotebookNode:
    """Returns what is under a key, nothing if it is no dictionary."""
    found = content.get(key)
    return from_dict(prune(found, MAX_DEPTH) if isinstance(found, dict) else {})


def prune(value: object, depth: int) -> object:
    """Returns a value without what is nested too deeply to be copied safely."""
    if isinstance(value, dict):
        return {k: prune(v, depth - 1) for k, v in value.items()} if depth else {}
    if isinstance(value, list):
        return [prune(v, depth - 1) for v in value] if depth else []
    return value
