"""The page that a student sees after grading: what it says, and what it keeps quiet."""

import re
from html import unescape
from pathlib import Path

import browsers
import kernels
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from small_course import ASSIGNMENT, SOLUTIONS, TESTS, make_course, run, submit

from courseai_helpers.grading.steps.feedback import list_exercises

pytestmark = kernels.needs_sandbox

ATTACK = "</code></pre><script>window.owned = 1</script><img src=x onerror='owned=1'>"
HOSTILE = f"""# {ATTACK}
from IPython.display import HTML, SVG, Javascript, Markdown, display
def double(x):
    for kind in (HTML, Markdown, Javascript):
        display(kind({ATTACK!r}))
    raise ValueError({ATTACK!r} + '\\x1b[31m red')"""
SPY = """def double(x):
    raise ValueError(get_ipython().user_ns['In'][-1])"""


MISSING = """import not_at_home, math
def double(x):
    return 2 * x"""
MISSING_INSIDE = """def triple(x):
    import neither_at_home
    return 3 * x"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The feedback pages of four students, by plain nbgrader commands."""
    course = make_course(tmp_path_factory.mktemp("feedback") / "course")
    submit(course, "right")
    submit(course, "spy", double=SPY, triple="def triple(x):\n    return 4 * x")
    submit(course, "missing", double=MISSING, triple=MISSING_INSIDE)
    folder = submit(course, "hostile", double=HOSTILE)
    path = folder / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["title"] = notebook.metadata["authors"] = ATTACK
    notebook.cells += [new_markdown_cell(ATTACK), new_code_cell(f"raise {ATTACK!r}")]
    notebook.cells[0].metadata["nbgrader"]["comment"] = ATTACK
    nbformat.write(notebook, path)
    for command in ("autograde", "generate_feedback"):
        result = run(course, "nbgrader", command, ASSIGNMENT)
        assert result.returncode == 0, result.stdout
    return {
        student: course / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"
        for student in ("right", "spy", "hostile", "missing")
    }


def test_it_says_for_each_property_what_it_gave_and_why(pages):
    text = re.sub(r"\s+", " ", pages["spy"].read_text())
    assert "<strong>0 of 3 points</strong>" in text
    assert '<h2 id="exercise-2">triple: 0 of 1 points</h2>' in text
    assert "two, tripled, is six" in text
    assert "Your code raised ValueError" in text
    assert "3 of 3 points" in pages["right"].read_text()


def test_an_import_that_fails_is_told_in_plain_words(pages):
    text = unescape(re.sub(r"\s+", " ", pages["missing"].read_text()))
    assert "graded:</strong> No module named 'not_at_home'. The cell that imp" in text
    assert "Your code imports what is not there when work is graded: No mod" in text
    assert text.count("No module named 'neither_at_home'") == 1  # at its test cell
    for student in ("right", "spy", "hostile"):
        assert "Not there when work is graded" not in pages[student].read_text()


def test_hidden_tests_and_tracebacks_are_not_in_it(pages):
    for page in pages.values():
        text = page.read_text()
        assert "Traceback" not in text and "-----" not in text
        for check in TESTS.values():
            assert check not in text
            assert check.split(",")[0] not in text
    # What a spy finds is its own cell: the tests run elsewhere.
    assert "raise ValueError(get_ipython()" in pages["spy"].read_text()


def test_nothing_from_a_submission_is_markup(pages):
    text = pages["hostile"].read_text()
    assert "window.owned" in text
    assert "<script" not in text and "<img" not in text
    assert "\x1b" not in text


def test_a_student_reads_the_property_that_the_test_cell_states():
    notebook = nbformat.read(
        "solutions/visualizing_features/visualizing_features.ipynb", as_version=4
    )
    exercises = list_exercises(notebook)
    properties = [p for exercise in exercises for p in exercise["properties"]]
    assert sum(p["points"] for p in properties) == 18
    for found in properties:
        assert found["text"] or found["name"] == "Your written answer"
    assert exercises[0]["title"] == "normalize filters"
    assert len(exercises[0]["properties"]) == 3


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    with browsers.open_browser() as browser:
        yield browser


@browsers.needs_browser
@pytest.mark.parametrize("student", ["right", "spy", "hostile"])
def test_a_browser_runs_nothing_and_asks_nobody(browser, pages, student):
    page = browser.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(pages[student].as_uri())
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.scripts.length") == 0
    assert asked == [pages[student].as_uri()] and said == []
    page.close()


@browsers.needs_browser
@pytest.mark.parametrize("width", browsers.WIDTHS)
@pytest.mark.parametrize("student", ["right", "hostile", "missing"])
def test_axe_finds_nothing_that_keeps_anybody_out(browser, pages, student, width):
    browsers.require_accessible(browser, pages[student].as_uri(), width)


@browsers.needs_browser
def test_it_fits_a_phone_and_speaks_to_a_screen_reader(browser, pages):
    page = browser.new_page(viewport={"width": 360, "height": 640})
    page.goto(pages["hostile"].as_uri())
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == "Feedback: small"
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("heading", level=2).count() == len(SOLUTIONS)
    assert page.get_by_role("listitem").count() == len(TESTS)
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.get_by_label("What you handed in for double").is_visible()
    page.close()
