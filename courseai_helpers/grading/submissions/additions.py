"""Finds what a student has added to a cell that is put back as it was handed out.

An import that was added to a setup cell is needed by what the student wrote elsewhere.
It is code of the student's own, and runs where all of that does.
"""

import ast

from IPython.core.inputtransformer2 import TransformerManager

LONGEST = 20_000  # characters; parsing what is longer may take its time


def find_additions(handed_out: str, handed_in: str, *, imports_only: bool) -> str:
    """Returns the statements that were added to a cell, whole, as code.

    If the rest of the cell does not stand any more, only imports are taken over: what
    else is new may be in the place of what is put back.

    Args:
        handed_out: The cell's code as it was.
        handed_in: The cell's code as it is.
        imports_only: Whether nothing else is taken over in any case.
    """
    if len(handed_in) > LONGEST:
        return ""
    try:
        before, after = (parse(source) for source in (handed_out, handed_in))
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return ""
    known = {dump for _, dump, _ in before}
    stands = known <= {dump for _, dump, _ in after}
    added = [
        text
        for statement, dump, text in after
        if dump not in known and (is_import(statement) or (stands and not imports_only))
    ]
    return "\n".join(added)


def parse(source: str) -> list[tuple[ast.stmt, str, str]]:
    """Returns each statement of a cell, magics included, its meaning and its text."""
    code = translate_magics(source)
    return [
        (statement, ast.dump(statement), ast.get_source_segment(code, statement) or "")
        for statement in ast.parse(code).body
    ]


def translate_magics(source: str) -> str:
    """Returns the Python that IPython makes of a cell's code."""
    return TransformerManager().transform_cell(source)


def is_import(statement: ast.stmt) -> bool:
    """Tells whether a statement imports something."""
    return isinstance(statement, ast.Import | ast.ImportFrom)
