"""The report on a class: right numbers, and nothing that students can smuggle in."""

import csv

import browsers
import kernels
import numpy as np
import pytest
from small_course import ASSIGNMENT, TESTS, make_course, run, submit

from courseai_helpers.grading.gradebook.ledger import Entry
from courseai_helpers.grading.lms.tables import write_table
from courseai_helpers.grading.report.items import analyze_items
from courseai_helpers.grading.report.page import ClassResults, make_page, make_rows


@pytest.fixture
def results() -> ClassResults:
    """Three students, two cells, a message that is not to be trusted."""
    evil = {"cause": "wrong answer", "message": "<script>alert(1)</script> got 17"}
    same = {"cause": "wrong answer", "message": "<script>alert(1)</script> got 4.5"}
    flood = {"cause": "output flood", "message": "<img src=x onerror=alert(2)>"}
    return ClassResults(
        ["=cmd()", "ada", "<b>ben</b>"],
        ["test_one", "test_two"],
        np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]),
        np.array([1.0, 2.0]),
        {
            "=cmd()": Entry("1", seconds=2.0, failures={"test_one": evil}),
            "ada": Entry("2", seconds=61.5, failures={"test_one": same}),
            "<b>ben</b>": Entry("3", failures={"test_two": flood}),
            "cem": Entry("4", refused="<i>torn</i>"),
        },
    )


def test_difficulty_and_discrimination_can_be_redone_on_paper():
    points = np.array([[1, 2, 0], [1, 0, 1], [0, 0, 1], [1, 2, 0]], float)
    easy, hard, odd = analyze_items(points, np.array([1.0, 2.0, 1.0]), list("abc"))
    assert easy.difficulty == 0.75 and hard.difficulty == 0.5
    # 1, 1, 0, 1 against the others' 2, 1, 1, 2: covariance .125 over the root of
    # .1875 times .25.
    assert easy.discrimination == pytest.approx(0.5 / np.sqrt(0.75))
    # 0, 1, 1, 0 against 3, 1, 0, 3.
    assert odd.discrimination == pytest.approx(-2.5 / np.sqrt(1 * 6.75))


def test_a_cell_that_all_pass_discriminates_nothing():
    points = np.array([[0.5, 1.0], [0.5, 0.0], [0.5, 0.3]])
    all_pass, other = analyze_items(points, np.array([0.5, 1.0]), ["a", "b"])
    assert all_pass.difficulty == 1 and all_pass.discrimination is None
    assert other.discrimination is None


def test_the_page_needs_nothing_else_and_runs_nothing(results):
    page = make_page("lesson", results, [])
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    for smuggled in "<b>ben", "<img src=x", "<i>torn":
        assert smuggled not in page
    assert "&lt;i&gt;torn" in page and "&lt;b&gt;ben" in page
    assert page.count("<img") == 2 and page.count(' alt="') == 2


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    with browsers.open_browser() as browser:
        yield browser


@browsers.needs_browser
@pytest.mark.parametrize("width", browsers.WIDTHS)
def test_axe_finds_nothing_that_keeps_anybody_out(results, browser, tmp_path, width):
    long = "AssertionError: expected_a_very_long_name_without_any_space_in_it " * 3
    results.entries["ada"].failures["test_two"] = {"cause": "error", "message": long}
    results.entries["cem"].notes = [long]
    change = ["cem", "heat_inside", "test_two", "0", "1", "<i>torn", long]
    page = tmp_path / "page.html"
    page.write_text(make_page("visualizing_features", results, [change]))
    browsers.require_accessible(browser, page.as_uri(), width)


def test_messages_are_counted_across_students_whatever_their_numbers(results):
    page = make_page("lesson", results, [])
    row = '<td class="number">2</td><td>test_one</td><td>&lt;script&gt;'
    assert row in page and "17" not in page.split("Messages")[1].split("<h2>")[0]


def test_the_table_holds_numbers_and_no_formulas(results, tmp_path):
    write_table(tmp_path / "table.csv", make_rows(results))
    rows = list(csv.reader((tmp_path / "table.csv").open()))
    assert rows[0] == ["student", "total", "seconds", "test_one", "test_two"]
    assert rows[1] == ["'=cmd()", "3", "2.0", "1", "2"]
    assert rows[2] == ["ada", "0", "61.5", "0", "0"]


@kernels.needs_sandbox
def test_the_report_of_a_graded_class(tmp_path):
    course = make_course(tmp_path / "course")
    early = run(course, "courseai_helpers.cli", "report", ASSIGNMENT)
    assert early.returncode == 1 and "courseai grade small" in early.stdout
    submit(course, "ada")
    submit(course, "ben", double="def double(x):\n    return x")
    run(course, "courseai_helpers.cli", "grade", ASSIGNMENT)
    result = run(course, "courseai_helpers.cli", "report", ASSIGNMENT)
    assert result.returncode == 0 and "Wrote reports/small.html" in result.stdout
    page = (course / "reports" / "small.html").read_text()
    assert "2 submissions" in page and "mean 2.0" in page
    assert "one, doubled, is two" in page
    rows = list(csv.DictReader((course / "reports" / "small.csv").open()))
    assert [row["total"] for row in rows] == ["3", "1"]
    assert list(rows[0])[3:] == list(TESTS)
