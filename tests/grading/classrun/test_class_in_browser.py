"""A class of one in JupyterLab, in a real browser: from release to feedback.

The student and the instructor have a JupyterLab each and share only the exchange. With
COURSEAI_SCREENSHOTS=1 the pictures in docs/ are taken again.
"""

import re
import shutil
from pathlib import Path

import browsers
import kernels
import nbformat
import pytest
from browsers import MINUTE
from conftest import ASSIGNMENT, copy_course, drop_figures
from PIL import Image
from playwright import sync_api as playwright

from courseai_helpers.grading.authoring.demo import MISTAKEN, fill_in, read_answers
from courseai_helpers.grading.authoring.nbgrader_commands import make_environment

pytestmark = [browsers.needs_browser, kernels.needs_sandbox]

NOTEBOOK = f"{ASSIGNMENT}.ipynb"
EXERCISE = "normalize_filters"
MESSAGE = "expected values from 0 to 1, got"  # of the visible test of that exercise
ANSWER = "I see edges in conv1 and blobs in layer4."
COMMENT = "Which channels show that?"


class Role:
    """Someone with a JupyterLab and a browser of their own."""

    def __init__(self, folder: Path, page, pictures: Path):
        self.folder, self.page, self.pictures = folder, page, pictures

    def open(self, command: str) -> None:
        """Opens one of nbgrader's panels from the menu."""
        self.page.get_by_role("menuitem", name="Nbgrader", exact=True).click()
        self.page.get_by_role("menuitem", name=command, exact=True).click()

    def take_picture(self, name: str, of=None) -> None:
        """Takes a picture of the page, or a part of it, as WebP in few bytes."""
        path = self.pictures / f"{name}.png"
        (of or self.page).screenshot(path=path)
        with Image.open(path) as shot:
            shot.convert("RGB").save(path.with_suffix(".webp"), quality=60, method=6)
        path.unlink()


@pytest.fixture(scope="module")
def chromium():
    with browsers.open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def exchange(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exchange")
    folder.chmod(0o777)  # as nbgrader wants it
    return folder


@pytest.fixture(scope="module")
def make_role(chromium, exchange, root, tmp_path_factory):
    """Gives someone a JupyterLab that knows the exchange, and a page that shows it."""
    pictures = browsers.choose_pictures(root, tmp_path_factory.mktemp("pictures"))

    def make(name: str, *settings: str):
        folder = tmp_path_factory.mktemp(name)
        private = tmp_path_factory.mktemp("private")
        environment = make_environment(private) | {
            "JUPYTER_DATA_DIR": str(private / "data"),
            "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        }
        site = [
            "c = get_config()",
            f"c.Exchange.root = {str(exchange)!r}",
            "c.CourseDirectory.course_id = 'courseai'",
            "c.ExecutePreprocessor.timeout = 180",
            *settings,
        ]
        config = Path(environment["JUPYTER_CONFIG_DIR"])
        asking = config / "lab/user-settings/@jupyterlab/apputils-extension"
        asking.mkdir(parents=True)
        (asking / "notification.jupyterlab-settings").write_text(
            '{"fetchNews": "false"}'  # or it asks on top of every picture
        )
        (config / "nbgrader_config.py").write_text("\n".join(site) + "\n")
        return folder, browsers.start_lab(folder, environment), pictures

    return make


@pytest.fixture(scope="module")
def instructor(make_role, chromium, root):
    folder, lab, pictures = make_role(
        "course",
        # Both are one user of this machine, so that the owner says nothing.
        "c.ExchangeCollect.check_owner = False",
    )
    drop_figures(copy_course(root, folder) / "source" / ASSIGNMENT / NOTEBOOK)
    with lab as address:
        yield Role(folder, browsers.open_page(chromium, address, 1400, 720), pictures)


@pytest.fixture(scope="module")
def student(make_role, chromium):
    folder, lab, pictures = make_role("home", "c.CourseDirectory.student_id = 'ada'")
    with lab as address:
        yield Role(folder, browsers.open_page(chromium, address), pictures)


def get_formgrader(instructor: Role):
    """Opens the Formgrader's list of assignments; returns what is in its frame."""
    instructor.open("Formgrader")
    frame = instructor.page.frame_locator("#formgrader iframe")
    frame.get_by_role("link", name="Manage Assignments").first.click()
    frame.locator("td.name").get_by_text(ASSIGNMENT).wait_for()
    return frame


def press(frame, column: str) -> str:
    """Presses the button in a column; returns the log that comes with success."""
    frame.locator(f"td.{column} a").click()
    log = frame.locator(".modal.in").filter(has_text="Success")
    log.wait_for(timeout=15 * MINUTE)
    text = log.inner_text()
    log.get_by_role("button", name="Close").first.click()
    frame.locator(".modal-backdrop").wait_for(state="detached")
    return text


@pytest.fixture(scope="module")
def released(instructor) -> dict[str, str]:
    """What the Formgrader says when the lesson is generated, viewed and released."""
    frame = get_formgrader(instructor)
    said = {"generate": press(frame, "assign")}
    frame.locator("td.preview a").click()
    files = instructor.page.locator(".jp-DirListing-item")
    files.filter(has_text=NOTEBOOK).wait_for()
    said["preview"] = files.all_inner_texts()[0]
    said["release"] = press(frame, "release")
    frame.locator("td.status").get_by_text("released").wait_for()
    instructor.take_picture("formgrader_assignments")
    return said


def list_assignments(student: Role):
    """Opens the Assignment List; returns its locator."""
    student.open("Assignment List")
    panel = student.page.locator("#nbgrader-assignment-list")
    panel.locator("#course_list_default").get_by_text("courseai").wait_for()
    return panel


def unfold(page) -> None:
    """Shows the code of the cells that the lesson folds away: set-up and tests."""
    page.get_by_role("menuitem", name="View", exact=True).click()
    page.get_by_role("menuitem", name="Expand All Code").click()
    find_cell(page, "import torch.nn.functional as F").wait_for()


def find_cell(page, text: str):
    """Returns the first code cell with this text."""
    return page.locator(".jp-CodeCell").filter(has_text=text).first


def write(page, text: str, source: str) -> None:
    """Replaces the text of a cell."""
    activate(find_cell(page, text))
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(source)


def run_cell(page, text: str) -> None:
    """Runs a cell, and waits until it has run."""
    cell = find_cell(page, text)
    activate(cell)
    page.keyboard.press("Control+Enter")
    prompt = cell.locator(".jp-InputPrompt")
    playwright.expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=3 * MINUTE)


def activate(cell) -> None:
    """Puts the cursor into a cell; what is typed earlier goes to another one."""
    cell.locator(".cm-content").click()
    playwright.expect(cell).to_have_class(re.compile("jp-mod-active"))
    playwright.expect(cell.locator(".cm-content")).to_be_focused()


def validate(page, take_picture) -> str:
    """Presses Validate; returns what the dialog says."""
    page.locator(".validate-button jp-button, .validate-button button").first.click()
    dialog = page.locator(".jp-Dialog").filter(has_text="Validation Results")
    dialog.wait_for(timeout=10 * MINUTE)
    text = dialog.inner_text()
    if MESSAGE in text:
        dialog.get_by_text(MESSAGE).last.scroll_into_view_if_needed()
        take_picture("validate")
    dialog.get_by_role("button", name="OK").click()
    dialog.wait_for(state="detached")
    return text


@pytest.fixture(scope="module")
def answers(root) -> dict[str, str]:
    found = read_answers(root / "source" / ASSIGNMENT / NOTEBOOK)
    return found | {"reflect_hierarchy": ANSWER}


@pytest.fixture(scope="module")
def answered(student, released, answers) -> dict[str, str]:
    """What the student reads after a wrong answer, and after the right one.

    The other exercises are written before, so that Validate can succeed in the end.
    """
    panel = list_assignments(student)
    panel.get_by_role("button", name="Fetch", exact=True).click()
    panel.get_by_role("button", name="Submit", exact=True).wait_for()
    student.take_picture("assignment_list")
    others = {name: text for name, text in answers.items() if name != EXERCISE}
    fill_in(student.folder / ASSIGNMENT / NOTEBOOK, others)
    panel.locator(".assignment-notebooks-link").click()
    panel.get_by_role("link", name=ASSIGNMENT, exact=True).click()
    page = student.page
    # What is run before the kernel is connected is forgotten.
    page.get_by_text(re.compile(r"\| Idle$")).wait_for(timeout=3 * MINUTE)
    unfold(page)
    run_cell(page, "import torch.nn.functional as F")
    write(page, f"def {EXERCISE}(", MISTAKEN[EXERCISE])
    run_cell(page, f"def {EXERCISE}(")
    test = "Every filter runs from 0 to 1"
    run_cell(page, test)
    said = {"cell": find_cell(page, test).locator(".jp-OutputArea").inner_text()}
    said["wrong"] = validate(page, student.take_picture)
    write(page, f"def {EXERCISE}(", answers[EXERCISE])
    said["right"] = validate(page, student.take_picture)
    return said


@pytest.fixture(scope="module")
def submitted(student, answered) -> str:
    """The time of the submission, as the Assignment List shows it."""
    panel = list_assignments(student)
    panel.get_by_role("button", name="Submit", exact=True).click()
    line = panel.locator("#submitted_assignments_list .nested_list_item")
    line.wait_for()
    return line.inner_text()


@pytest.fixture(scope="module")
def graded(instructor, submitted) -> dict[str, str]:
    """What the Formgrader says at collecting, autograding and grading by hand."""
    frame = get_formgrader(instructor)
    said = {"collect": press(frame, "collect")}
    frame.locator("td.num-submissions a").click()
    frame.locator("td.student-id").get_by_text("ada").wait_for()
    said["autograde"] = press(frame, "autograde")
    frame.locator("td.status").get_by_text("needs manual grading").wait_for()
    instructor.take_picture("formgrader_submissions")
    said["before"] = frame.locator("td.score").inner_text()
    frame.get_by_role("link", name="Manual Grading").first.click()
    for link in (ASSIGNMENT, ASSIGNMENT, "Submission #1"):
        frame.get_by_role("link", name=link, exact=True).click()
    # What is typed before the points are loaded is lost.
    frame.locator("input#reflect_hierarchy").wait_for()
    (inner,) = [f for f in instructor.page.frames if "/submissions/" in f.url]
    inner.wait_for_function("formgrader.grades.loaded && formgrader.comments.loaded")
    for field, text in (
        ("stretch_wrong_prediction", "0"),
        ("reflect_context", "2"),
        ("reflect_hierarchy-comment", COMMENT),
        ("reflect_hierarchy", "1.5"),
    ):
        saved = re.compile("/formgrader/api/(grade|comment)/")
        with instructor.page.expect_response(saved):
            frame.locator(f"#{field}").fill(text)
            frame.locator(f"#{field}").blur()
    instructor.take_picture("formgrader_grading")
    frame.get_by_role("link", name="Manual Grading").click()
    frame.get_by_role("link", name=ASSIGNMENT, exact=True).first.wait_for()
    return said


@pytest.fixture(scope="module")
def returned(instructor, student, graded) -> dict[str, str]:
    """What the student reads in the feedback that the instructor released."""
    frame = get_formgrader(instructor)
    press(frame, "generate-feedback")
    press(frame, "release-feedback")
    panel = list_assignments(student)
    panel.locator("#refresh_assignments_list").click()
    panel.get_by_text("(feedback available to fetch)").wait_for()
    panel.get_by_role("button", name="Fetch Feedback").click()
    panel.get_by_text("(view feedback)").click()
    page = student.page
    listed = page.locator(".jp-DirListing-item").filter(has_text=".html")
    listed.dblclick()
    viewer = page.locator(".jp-HTMLViewer")
    viewer.wait_for()
    feedback = viewer.frame_locator("iframe").locator("main")
    feedback.wait_for()
    student.take_picture("feedback")
    return {"text": feedback.inner_text()}


def test_the_instructor_generates_previews_and_releases(released, exchange):
    assert "Successfully created the student version" in released["generate"]
    assert "Successfully released" in released["release"]
    assert NOTEBOOK in released["preview"]
    text = (exchange / "courseai" / "outbound" / ASSIGNMENT / NOTEBOOK).read_text()
    assert "This exercise is still to be written" in text
    assert "HIDDEN TESTS" not in text


def test_the_student_reads_in_the_notebook_and_from_validate_what_is_wrong(answered):
    assert MESSAGE in answered["cell"]
    assert "The following cell failed" in answered["wrong"]
    assert MESSAGE in answered["wrong"]
    assert answered["wrong"].count("The following cell failed") == 1


def test_the_right_answer_validates(answered):
    assert "Success! Your notebook passes all the tests." in answered["right"]


def test_what_is_submitted_is_what_was_typed(submitted, exchange, answers):
    assert re.search(r"\d{4}-\d\d-\d\d", submitted)
    (path,) = (exchange / "courseai" / "inbound").glob(f"ada+*/{NOTEBOOK}")
    cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
    assert cells[EXERCISE].source == answers[EXERCISE]
    assert cells[EXERCISE].metadata.nbgrader.grade_id == EXERCISE


def test_the_instructor_collects_and_autogrades_in_the_formgrader(graded):
    assert "Collecting submission: ada" in graded["collect"]
    assert "Successfully autograded" in graded["autograde"]
    assert graded["before"] == "14 / 18"


def test_the_student_reads_points_and_comment_in_the_feedback(returned):
    assert "17.5 of 18 points" in returned["text"]
    assert COMMENT in returned["text"]


def test_the_pictures_are_small_and_show_something(student, returned):
    names = {
        "assignment_list",
        "validate",
        "formgrader_assignments",
        "formgrader_submissions",
        "formgrader_grading",
        "feedback",
    }
    for name in names:
        path = student.pictures / f"{name}.webp"
        assert path.stat().st_size < 150_000
        with Image.open(path) as shot:
            assert len(shot.convert("L").getcolors()) > 50


def test_only_the_lesson_went_to_the_student(student, released, answered):
    files = {
        path.name
        for path in (student.folder / ASSIGNMENT).rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }
    assert NOTEBOOK in files and shutil.which("bwrap")
    assert files <= {NOTEBOOK, f"{ASSIGNMENT}.html"}
