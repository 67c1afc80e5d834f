"""Writes and reads the replies of those who execute submissions.

A reply is JSON: the outputs of each cell in their order, and why cells failed. Its
sender decides nothing else: whose work it is, its notebooks, cells and tests are those
that were sent. A reply of any other form raises ReplyError.
"""

import json
import math
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from nbformat import NotebookNode, from_dict, reads

from courseai_helpers.grading.examiner.kernel import is_test
from courseai_helpers.grading.steps import failures
from courseai_helpers.grading.steps.messages import clean_cell
from courseai_helpers.grading.submissions.reading import name_cell

MAX_REPLY = 2**27  # bytes
MAX_MESSAGE = 10_000  # characters of an error's message

CELL = {
    "type": "object",
    "properties": {
        "outputs": {"type": "array", "items": {"type": "object"}},
        "execution_count": {"type": ["integer", "null"]},
    },
    "required": ["outputs", "execution_count"],
    "additionalProperties": False,
}
FAILURE = {
    "type": "object",
    "properties": {
        "cause": {"enum": [cause.value for cause in failures.Cause]},
        "message": {"type": "string"},
    },
    "required": ["cause", "message"],
    "additionalProperties": False,
}
NOTEBOOK = {
    "type": "object",
    "properties": {
        "cells": {"type": "array", "items": CELL},
        "causes": {"type": "object", "additionalProperties": FAILURE},
    },
    "required": ["cells", "causes"],
    "additionalProperties": False,
}
REPLY = Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "seconds": {"type": "number", "minimum": 0, "maximum": 1e6},
            "notebooks": {"type": "object", "additionalProperties": NOTEBOOK},
        },
        "required": ["seconds", "notebooks"],
        "additionalProperties": False,
    }
)
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}


class ReplyError(Exception):
    """Says why a submission was not executed, or why its reply is not taken."""


class RefusedReplyError(ReplyError):
    """Says what is wrong with a reply."""

    def __str__(self) -> str:
        return f"a reply was refused, since {super().__str__()}"


def write_reply(executed: dict[str, NotebookNode], seconds: float) -> bytes:
    """Returns the reply for executed notebooks.

    If the outputs are too long for a reply, only those that decide about points are
    kept.
    """
    reply = json.dumps(make_reply(executed, seconds)).encode()
    if len(reply) > MAX_REPLY:
        for cell in list_code_cells(executed):
            cell.outputs = cell.outputs if is_test(cell) else []
        reply = json.dumps(make_reply(executed, seconds)).encode()
    return reply


def list_code_cells(notebooks: dict[str, NotebookNode]) -> list[NotebookNode]:
    """Returns the code cells of all notebooks."""
    cells = [cell for notebook in notebooks.values() for cell in notebook.cells]
    return [cell for cell in cells if cell.cell_type == "code"]


def make_reply(executed: dict[str, NotebookNode], seconds: float) -> dict[str, Any]:
    """Returns what a reply says, as JSON can hold it."""
    notebooks = {}
    for name, notebook in executed.items():
        cells = [
            {"outputs": cell.outputs, "execution_count": cell.execution_count}
            for cell in list_code_cells({name: notebook})
        ]
        notebooks[name] = {"cells": cells, "causes": notebook.metadata[failures.CAUSES]}
    return {"seconds": seconds, "notebooks": notebooks}


def write_error(message: str) -> bytes:
    """Returns the reply of a worker that could not execute a submission."""
    return json.dumps({"error": message[:MAX_MESSAGE]}).encode()


def read_reply(
    data: bytes, sent: dict[str, str]
) -> tuple[dict[str, NotebookNode], float]:
    """Puts the outputs of a reply into the notebooks that were sent.

    Args:
        data: The reply, which may be anything.
        sent: Name and content (JSON) of each notebook that was sent.

    Returns:
        The notebooks that were sent with the outputs in them, and the seconds that
        their execution took.

    Raises:
        ReplyError: if it does not answer what was sent, or reports an error.
    """
    reply = parse(data)
    if isinstance(reply, dict) and isinstance(message := reply.get("error"), str):
        raise ReplyError(make_printable(message))
    try:
        REPLY.validate(reply)
    except ValidationError as error:
        raise RefusedReplyError(f"it has no valid {error.json_path}") from None
    if reply["notebooks"].keys() != sent.keys():
        raise RefusedReplyError("it is about other notebooks than those that were sent")
    notebooks = {
        name: fill_in(reads(content, as_version=4), reply["notebooks"][name])
        for name, content in sent.items()
    }
    return notebooks, float(reply["seconds"])


def parse(data: bytes) -> Any:
    """Reads JSON from a sender who is not trusted."""
    if len(data) > MAX_REPLY:
        raise RefusedReplyError(f"it has {len(data)} bytes")
    try:
        return json.loads(data, parse_constant=read_number, parse_float=read_number)
    except (ValueError, RecursionError):
        raise RefusedReplyError("it is not JSON") from None


def read_number(text: str) -> float | None:
    """Returns a number, or None for NaN and what is infinite."""
    number = float(text)
    return number if math.isfinite(number) else None


def fill_in(notebook: NotebookNode, reply: dict[str, Any]) -> NotebookNode:
    """Puts outputs and causes into a notebook that was sent without them."""
    cells = list_code_cells({"": notebook})
    names = {name_cell(cell) for cell in cells}
    if len(reply["cells"]) != len(cells) or not reply["causes"].keys() <= names:
        raise RefusedReplyError("it is about other cells than those that were sent")
    for cell, result in zip(cells, reply["cells"], strict=True):
        cell.outputs = [from_dict(output) for output in result["outputs"]]
        cell.execution_count = result["execution_count"]
        clean_cell(cell)
    notebook.metadata["language_info"] = dict(LANGUAGE)
    notebook.metadata[failures.CAUSES] = {
        name: failure | {"message": make_storable(failure["message"])}
        for name, failure in reply["causes"].items()
    }
    return notebook


def make_storable(text: str) -> str:
    """Returns a text of limited length without half characters (lone surrogates)."""
    return text[:MAX_MESSAGE].encode(errors="replace").decode()


def make_printable(text: str) -> str:
    """Returns a text as one line without terminal commands."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_MESSAGE])
