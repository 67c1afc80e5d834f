"""CSV tables that any spreadsheet opens, with their content unchanged."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courseai_helpers.grading.lms.tables import guard, read_table, unguard, write_table

cells = st.text("x=+-@\uff1d\uff0b\uff0d\uff20;,|\t\n\"' é1", max_size=12)
# How spreadsheets take a cell for a formula; some look behind spaces and quotes.
FORMULA = re.compile(r"[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
@settings(max_examples=150, deadline=None)
@given(name=cells, other=cells)
def test_no_spreadsheet_finds_a_formula(
    tmp_path_factory, separator, quoting, name, other
):
    text = write([["a", name, other, "b"]], tmp_path_factory)
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, quoting=quoting
    )
    found = [cell for line in lines for cell in line if FORMULA.match(cell)]
    assert found == []


def write(rows: list[list[str]], folders) -> str:
    """Returns the text of a table in a file."""
    path: Path = folders.getbasetemp() / "table.csv"
    write_table(path, rows)
    return path.read_text(encoding="utf-8")


@settings(max_examples=500, deadline=None)
@given(cells.filter(lambda cell: not cell.startswith('="')))
def test_what_was_guarded_is_read_as_it_was(cell):
    assert unguard(guard(cell)) == cell


@settings(max_examples=100, deadline=None)
@given(st.text("x=-;,\"' é", min_size=1, max_size=9).map(str.strip).filter(bool))
def test_a_table_of_ours_is_read_as_it_was(tmp_path_factory, name):
    if name.startswith('="'):
        return
    path = tmp_path_factory.getbasetemp() / "table.csv"
    write_table(path, [["id", "name"], ["ada", name]])
    assert read_table(path) == (["id", "name"], [["ada", name]])


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("x;=cmd|'/c calc'!A0", "x;'=cmd|'/c calc'!A0"),
        ('x";"=1', 'x";\'"=1'),
        ("a\n- b", "a\n'- b"),
        ("\x1b[2Ja\r=1", "[2Ja=1"),
        ("Anne-Marie O'Neil, Jr.", "Anne-Marie O'Neil, Jr."),
        ("ada+lab@example.org", "ada+lab@example.org"),
        ("12.5", "12.5"),
    ],
)
def test_only_what_could_be_a_formula_is_changed(cell, written):
    assert guard(cell) == written
