"""Removes each assertion of the hidden tests in turn: is it needed?

`python tests/mutations.py [exercise ...]` lists those whose removal leaves the whole
bank judged rightly, and ends with 1 if there are any. Only an entry that an assertion
rejected can be misjudged without it, so that no other entry has to be run again.
"""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bank import EXERCISES, Verdict, judge, prepare, read_cells, read_entries

MARK = "### BEGIN HIDDEN TESTS"


@dataclass(frozen=True)
class Assertion:
    """One assertion of the hidden tests.

    Attributes:
        cell: The id of its cell.
        first: Its first line in the cell.
        last: Its last line.
        text: What it asserts.
    """

    cell: str
    first: int
    last: int
    text: str

    def __str__(self) -> str:
        return f"{self.cell}, line {self.first}: assert {self.text}"


def find_assertions(cells: dict[str, str], exercise: str) -> Iterator[Assertion]:
    """Finds the assertions in the hidden part of an exercise's test cells."""
    for cell, source in cells.items():
        if cell.startswith(f"test_{exercise}_") and MARK in source:
            mark = source[: source.index(MARK)].count("\n") + 1
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Assert) and node.lineno > mark:
                    text = ast.unparse(node.test)
                    yield Assertion(cell, node.lineno, node.end_lineno, text)


def remove(assertion: Assertion, cells: dict[str, str]) -> dict[str, str]:
    """Returns the cells without an assertion; every other line keeps its number."""
    lines = cells[assertion.cell].split("\n")
    indent = len(lines[assertion.first - 1]) - len(lines[assertion.first - 1].lstrip())
    gone = [" " * indent + "pass"] * (assertion.last - assertion.first + 1)
    lines[assertion.first - 1 : assertion.last] = gone
    return cells | {assertion.cell: "\n".join(lines)}


def find_redundant(
    cells: dict[str, str], namespace: dict, verdicts: list[Verdict]
) -> Iterator[Assertion]:
    """Yields the assertions without which every entry is judged as before.

    Args:
        cells: The code cells of the authored notebook.
        namespace: What `prepare` made.
        verdicts: What all the cells say about the bank.
    """
    for exercise in EXERCISES:
        for assertion in find_assertions(cells, exercise):
            short = assertion.cell.removeprefix(f"test_{exercise}_")
            rejected = [
                verdict.entry
                for verdict in verdicts
                if verdict.entry.exercise == exercise
                and assertion.first <= verdict.lines.get(short, 0) <= assertion.last
            ]
            fewer = remove(assertion, cells)
            if not any(v.trouble for v in judge(rejected, fewer, namespace)):
                yield assertion


def main(exercises: list[str]) -> int:
    """Looks for redundant assertions in the hidden tests."""
    cells = read_cells()
    namespace = prepare(cells)
    entries = [entry for name in exercises or EXERCISES for entry in read_entries(name)]
    verdicts = list(judge(entries, cells, namespace))
    if exercises:
        cells = {
            name: source
            for name, source in cells.items()
            if any(name.startswith((f"test_{e}_", e)) for e in exercises)
        }
    redundant = list(find_redundant(cells, namespace, verdicts))
    print(*redundant, f"{len(redundant)} assertions are redundant", sep="\n")
    return 1 if redundant else 0


if __name__ == "__main__":
    os.environ.update(COURSEAI_OFFLINE="1", MPLBACKEND="Agg", OMP_NUM_THREADS="1")
    sys.exit(main(sys.argv[1:]))
