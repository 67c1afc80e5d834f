"""Removes each assertion of the hidden tests in turn: is it needed?

`python tests/mutations.py [exercise ...]` lists those that no entry of the bank needs,
and ends with 1 if there are any. The hidden tests are for work that was made to pass
the visible ones, by whatever means. So they are judged by themselves: an assertion is
needed if, without the visible part, it alone keeps its cell from accepting some wrong
entry.
"""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bank import (
    EXERCISES,
    Entry,
    find_mark,
    judge,
    prepare,
    read_cells,
    read_entries,
)


@dataclass(frozen=True)
class Assertion:
    """One assertion of a test cell.

    Attributes:
        cell: The id of its cell.
        first: Its first line in the cell.
        last: Its last line.
        text: What it asserts.
        hidden: Whether it belongs to the hidden part.
    """

    cell: str
    first: int
    last: int
    text: str
    hidden: bool

    def __str__(self) -> str:
        return f"{self.cell}, line {self.first}: assert {self.text}"


def find_assertions(cells: dict[str, str], exercise: str) -> Iterator[Assertion]:
    """Finds the assertions in an exercise's test cells."""
    for cell, source in cells.items():
        if cell.startswith(f"test_{exercise}_"):
            mark = find_mark(source)
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Assert):
                    text, hidden = ast.unparse(node.test), node.lineno > mark
                    yield Assertion(cell, node.lineno, node.end_lineno, text, hidden)


def remove(assertion: Assertion, cells: dict[str, str]) -> dict[str, str]:
    """Returns the cells without an assertion; every other line keeps its number."""
    lines = cells[assertion.cell].split("\n")
    indent = len(lines[assertion.first - 1]) - len(lines[assertion.first - 1].lstrip())
    gone = [" " * indent + "pass"] * (assertion.last - assertion.first + 1)
    lines[assertion.first - 1 : assertion.last] = gone
    return cells | {assertion.cell: "\n".join(lines)}


def find_redundant(
    cells: dict[str, str], namespace: dict, entries: list[Entry]
) -> Iterator[Assertion]:
    """Yields the hidden assertions that no entry needs, the visible part left out.

    Args:
        cells: The code cells of the authored notebook.
        namespace: What `prepare` made.
        entries: The bank.
    """
    for exercise in dict.fromkeys(entry.exercise for entry in entries):
        hidden = []
        for assertion in find_assertions(cells, exercise):
            if assertion.hidden:
                hidden.append(assertion)
            else:
                cells = remove(assertion, cells)
        wrong = [e for e in entries if e.exercise == exercise and e.caught_by]
        verdicts = list(judge(wrong, cells, namespace))
        for assertion in hidden:
            short = assertion.cell.removeprefix(f"test_{exercise}_")
            stopped = [
                verdict.entry
                for verdict in verdicts
                if assertion.first <= verdict.lines.get(short, 0) <= assertion.last
            ]
            fewer = remove(assertion, cells)
            again = judge(stopped, fewer, namespace)
            if all(short in verdict.messages for verdict in again):
                yield assertion


def main(exercises: list[str]) -> int:
    """Looks for redundant assertions in the hidden tests."""
    cells = read_cells()
    namespace = prepare(cells)
    entries = [entry for name in exercises or EXERCISES for entry in read_entries(name)]
    redundant = list(find_redundant(cells, namespace, entries))
    print(*redundant, f"{len(redundant)} assertions are redundant", sep="\n")
    return 1 if redundant else 0


if __name__ == "__main__":
    os.environ.update(COURSEAI_OFFLINE="1", MPLBACKEND="Agg", OMP_NUM_THREADS="1")
    sys.exit(main(sys.argv[1:]))
