"""Reads what a handed-in cell shows, as far as it is text or a plain picture."""

import re
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode

LONGEST = 5 * 2**20  # characters of all that a cell shows
# How pictures begin, in base64.
PICTURES = {"image/png": "iVBORw0KGgo", "image/jpeg": "/9j/", "image/webp": "UklGR"}
# A picture with its description, as the lesson's figures go out: see plots/figure.py.
DESCRIBED = re.compile(
    r'<img alt="[^"<>]*" src="data:(image/\w+);base64,([A-Za-z0-9+/=]+)">'
)


def read_outputs(found: object) -> list[NotebookNode]:
    """Returns the outputs of a cell anew, nothing of them that is not plain.

    Args:
        found: What the file has for them, which may be anything.
    """
    outputs, size = [], 0
    for output in found if isinstance(found, list) else []:
        for plain in read_output(output) if isinstance(output, dict) else ():
            size += sum(map(len, plain.get("data", {"": plain.get("text")}).values()))
            if size <= LONGEST:
                outputs.append(plain)
    return outputs


def read_output(output: dict[str, Any]) -> Iterator[NotebookNode]:
    """Returns one output, none if there is nothing plain in it."""
    if output.get("output_type") == "stream":
        if text := join(output.get("text")):
            yield NotebookNode(output_type="stream", name="stdout", text=text)
    elif isinstance(data := output.get("data"), dict):
        texts = {kind: join(content) for kind, content in data.items()}
        if kept := {k: v for k, v in texts.items() if v and is_plain(k, v)}:
            data = NotebookNode(drop_twins(kept))
            yield NotebookNode(output_type="display_data", data=data, metadata={})


def is_plain(kind: str, content: str) -> bool:
    """Tells whether what has this kind is a text or a picture."""
    if kind == "text/html":
        found = DESCRIBED.fullmatch(content)
        return found is not None and is_plain(*found.groups())
    start = "" if kind == "text/plain" else PICTURES.get(kind)
    return start is not None and content.startswith(start)


def drop_twins(data: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the second form of a figure that is there with its description.

    It is for exports to PDF and Word, and as large again as the first.
    """
    shown = data.get("text/html")
    if not isinstance(shown, str) or not DESCRIBED.fullmatch(shown):
        return data
    return {kind: v for kind, v in data.items() if kind not in PICTURES}


def has_picture(outputs: list[NotebookNode]) -> bool:
    """Tells whether there is a picture among outputs that `read_outputs` returned."""
    return any({*output.get("data", {})} - {"text/plain"} for output in outputs)


def join(content: object) -> str:
    """Returns a text, which may be a list of lines, as a file can hold it."""
    if isinstance(content, list):
        content = "".join(line for line in content if isinstance(line, str))
    # Half a character (a lone surrogate) can be read from JSON, but not written.
    text = content if isinstance(content, str) else ""
    return text.encode(errors="replace").decode()
