"""Cleans what a student's kernel sends: its messages may be forged or malformed."""

import json
from typing import Any

from nbformat import NotebookNode, ValidationError, from_dict, validate
from nbformat.v4 import new_output

from courseai_helpers.grading.submissions.outputs import drop_twins

# What reading a malformed message raises: the signature, the JSON or a part is wrong. A
# kernel sends such a message only if its code does so on purpose.
UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, RecursionError, ValidationError
)  # fmt: skip

CELL: dict[str, Any] = {
    "cell_type": "code",
    "id": "cell",
    "metadata": {},
    "source": "",
    "execution_count": None,
}
NOTEBOOK: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}


def clean_cell(cell: NotebookNode) -> None:
    """Removes the outputs that a file can't hold, and second forms of figures."""
    if cell.cell_type != "code":
        return
    if not are_fine(cell.outputs):
        cleaned = [clean_output(output) for output in cell.outputs]
        cell.outputs = [output for output in cleaned if output is not None]
    for output in cell.outputs:
        if "data" in output:
            output.data = NotebookNode(drop_twins(output.data))
    if type(cell.execution_count) is not int or cell.execution_count < 0:
        cell.execution_count = None


def are_fine(outputs: list[NotebookNode]) -> bool:
    """Tells whether a file can hold all these outputs as they are.

    A whole notebook is validated by compiled code, an output by itself is not.
    """
    try:
        text = json.dumps(outputs, ensure_ascii=False, allow_nan=False)
        text.encode()  # half a character (a lone surrogate) has none
        cell = CELL | {"outputs": json.loads(text)}
        validate(from_dict(NOTEBOOK | {"cells": [cell]}))
    except UNREADABLE:
        return False
    return all(isinstance(output.get("text", ""), str) for output in outputs)


def clean_output(output: NotebookNode) -> NotebookNode | None:
    """Returns an output as a file can hold it, or None if it is no output.

    An error stays one, whatever it says: points depend on it.
    """
    try:
        # Half a character (a lone surrogate) can be read from JSON, but not written.
        text = json.dumps(output, ensure_ascii=False).encode(errors="replace")
        cleaned = from_dict(json.loads(text))
        validate(cleaned, ref="output", version=4, version_minor=5)
    except UNREADABLE:
        is_error = isinstance(output, dict) and output.get("output_type") == "error"
        return new_output("error", ename="Error") if is_error else None
    return cleaned if isinstance(cleaned.get("text", ""), str) else None
