"""Attacks on the person who opens a submission: real pages in a real browser.

The server that shows them is the instructor's own and would open a terminal for every
script that asks.
"""

import contextlib
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import browsers
import hostile_pages
import kernels
import nbformat
import pytest
import small_course
from browsers import MINUTE
from hostile_pages import (
    CLICKED,
    MARKDOWN,
    MESSAGES,
    METADATA,
    OUTPUTS,
    SENT,
    Canary,
    draw,
    fill,
)
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader.api import Gradebook
from small_course import ASSIGNMENT

from courseai_helpers._common.printing import is_command
from courseai_helpers.grading.authoring.nbgrader_commands import make_environment

pytestmark = [browsers.needs_browser, kernels.needs_sandbox]

COLORS = ("red", "green", "blue")
MARKUP = "<img src=x onerror=FIRE>"
ALL = {
    "words": [*MARKDOWN, "attachment"],
    "clicks": [*CLICKED],
    "outputs": [*OUTPUTS, *METADATA],
    "messages": [*MESSAGES],
    "names": ["names"],
    "settings": [hostile_pages.SETTINGS],  # last: it leads the Formgrader away
}
# Where nothing protects, these do nothing either: nbconvert, nbgrader's template or
# the browser stops them. They stay, for the day that one of these changes.
HELD_ANYWAY = {
    "attachment", "cdata", "definition", "entities", "formula", "image cut short",
    "object", "slash in place of a space", "text of an image", "title of a link",
    "title of an image", "file names", "jpeg that is none", "latex", "mermaid",
    "png that is none", "svg as an output", "text", "text of the picture", "unknown",
    "widget",
    *MESSAGES,
}  # fmt: skip
# These run nothing, but reveal that, when and where a submission is read.
CALLS = {title for title in (*MARKDOWN, *OUTPUTS) if "elsewhere" in title}
CALLS.add("redirection")
GUARD = "courseai_helpers.grading.sanitize.formgrader"  # an extension of the server
# Names that command a terminal, or a gradebook's page.
COMMAND = "\x1b]0;owned\x07\x9b2J\u202e"


def name_attack(student: str, title: str) -> str:
    """Returns the name by which an attack calls the canary."""
    return f"{student}.{re.sub(r'[^a-z0-9]+', '-', title.lower())}"


def write_words(student: str, canary: Canary) -> list:
    """Returns cells with attacks in Markdown, and the figures of an honest answer."""
    red, green, blue = (draw(color) for color in COLORS)
    written = (
        f"Here <b>edges</b>: <img src='data:image/png;base64,{red}' alt='red' width=24>"
        f"\n\n![green](data:image/png;base64,{green})\n\n![blue](attachment:f (1).png)"
        "\n\nif a<b then | x | < 3"
    ).replace("f (1)", "f")
    answer = new_markdown_cell(written, id="written")
    answer.attachments = {"f.png": {"image/png": blue}}
    odd = new_markdown_cell("![x](attachment:odd)")
    script = fill(["FIRE"], name_attack(student, "attachment"), canary)[0]
    odd.attachments = {"odd": {f'image/png" onerror="{script}': "x"}}
    cells = [answer, odd]
    for title, text in MARKDOWN.items():
        cells.append(new_markdown_cell(fill(text, name_attack(student, title), canary)))
    return cells


def write_clicks(student: str, canary: Canary) -> list:
    """Returns cells with attacks that need a click."""
    return [
        new_markdown_cell(fill(text, name_attack(student, title), canary))
        for title, text in CLICKED.items()
    ]


def list_bundles(student: str, canary: Canary) -> list[tuple[dict, dict]]:
    """Returns data and metadata of hostile outputs, and of a figure."""
    png = {"image/png": draw("red")}
    page = f"<img alt='figure' src='data:image/png;base64,{draw('green')}'>"
    bundles = [(png, {"image/png": {"width": 48}}), ({"text/html": page}, {})]
    for title, data in OUTPUTS.items():
        bundles.append((fill(data, name_attack(student, title), canary), {}))
    for title, metadata in METADATA.items():
        name = name_attack(student, title)
        data = {"text/html": "<script>FIRE</script>"} if title == "isolation" else png
        bundles.append((fill(data, name, canary), fill(metadata, name, canary)))
    return bundles


def write_outputs(student: str, canary: Canary) -> list:
    """Returns code cells whose code and stored outputs are hostile."""
    cells = []
    for data, metadata in list_bundles(student, canary):
        source = (
            "from IPython.display import display\n"
            f"display({data!r}, metadata={metadata!r}, raw=True)"
        )
        output = new_output("display_data", data=data, metadata=metadata)
        cells.append(new_code_cell(source, outputs=[output]))
    return cells


def write_messages(student: str, canary: Canary) -> list:
    """Returns answers that fail with a message."""
    return [
        new_code_cell(fill(text, name_attack(student, title), canary), id=name)
        for name, (title, text) in zip(
            ("double", "triple"), MESSAGES.items(), strict=True
        )
    ]


def write_settings(student: str, canary: Canary) -> list:
    """Returns a cell that makes the Formgrader load settings of the submission."""
    return [new_markdown_cell(hostile_pages.LOADED)]


WRITERS = {
    "words": write_words,
    "clicks": write_clicks,
    "outputs": write_outputs,
    "messages": write_messages,
    "names": lambda student, canary: [],
    "settings": write_settings,
}


@dataclass
class Class:
    """A course in which everybody attacks.

    Attributes:
        course: Its folder.
        canary: The server that a successful attack calls.
        graded: What `courseai grade` said.
    """

    course: Path
    canary: Canary
    graded: str = ""

    def find_page(self, student: str) -> str:
        """Returns the address of a submission in the Formgrader."""
        with open_gradebook(self.course) as gradebook:
            found = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, student)
            return f"formgrader/submissions/{found.id}/"


@pytest.fixture(scope="module")
def everybody(tmp_path_factory) -> Iterator[Class]:
    """A class of which each attack was graded, and put into autograded/ as it is."""
    with hostile_pages.keep_canary() as canary:
        course = make_course(tmp_path_factory.mktemp("page") / "course")
        found = Class(course, canary)
        for kind, write in WRITERS.items():
            for way in ("graded", "raw"):
                student = f"{way}-{kind}"
                hand_in(found, way, student, write(student, canary))
        for student in ("graded-names", "raw-names"):
            script = fill(["FIRE"], name_attack(student, "names"), canary)[0]
            with open_gradebook(course) as gradebook:
                gradebook.update_or_create_student(
                    student,
                    first_name=MARKUP.replace("FIRE", script),
                    last_name=f"<script>{script}</script>",
                )
        script = hostile_pages.fire_briefly("id", canary)
        for student in (MARKUP.replace("FIRE", script), f"eve{COMMAND}"):
            hand_in(found, "graded", student, [])
        found.graded = small_course.grade(course).stdout
        yield found


def make_course(course: Path) -> Path:
    """Makes the small course with an answer that a person has to grade."""
    written = new_markdown_cell("Write.", id="written")
    written.metadata["nbgrader"] = {
        "schema_version": 3, "grade_id": "written", "solution": True, "grade": True,
        "locked": False, "task": False, "points": 2, "cell_type": "markdown",
    }  # fmt: skip
    return small_course.make_course(course, written)


def open_gradebook(course: Path) -> Gradebook:
    """Opens a course's gradebook."""
    return Gradebook(f"sqlite:///{course / 'gradebook.db'}", "courseai")


def hand_in(to: Class, way: str, student: str, cells: list) -> None:
    """Submits cells; or puts them where the Formgrader looks, as no grading would."""
    folder = small_course.submit(to.course, student)
    path = folder / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    own = {cell.id: cell for cell in cells}
    for place, cell in enumerate(notebook.cells):
        if cell.id in own:
            notebook.cells[place] = own.pop(cell.id)
            notebook.cells[place].metadata = cell.metadata
    notebook.cells += own.values()
    shown = to.course / "autograded" / student / ASSIGNMENT
    path.write_text(json.dumps(notebook).replace("FOLDER", quote(str(shown))))
    script = fill(["FIRE"], name_attack(student, hostile_pages.PAGE), to.canary)[0]
    (folder / "page.html").write_text(f"<script>{script}</script>")
    name = name_attack(student, hostile_pages.SETTINGS)
    address = f"http://127.0.0.1:{to.canary.port}/{name}"
    (folder / "nbgrader_config.py").write_text(
        f"import urllib.request\nurllib.request.urlopen({address!r})"
    )
    if way == "raw":
        shown.parent.parent.mkdir(exist_ok=True)
        shutil.move(folder.parent, shown.parent)
        with open_gradebook(to.course) as gradebook:
            gradebook.add_student(student)
            gradebook.add_submission(ASSIGNMENT, student)


@contextlib.contextmanager
def start_server(folder: Path, private: Path, *, guarded: bool) -> Iterator[str]:
    """Runs an instructor's JupyterLab; yields its address, with a / at the end."""
    extension = f"--ServerApp.jpserver_extensions={GUARD}={guarded}"
    environment = make_environment(private) | {
        "JUPYTER_DATA_DIR": str(private / "data"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
    }
    with browsers.start_lab(folder, environment, extension) as address:
        yield address.removesuffix("lab")


@dataclass
class Visit:
    """What happened when an instructor opened all submissions of one kind.

    Attributes:
        called: The names of the attacks that succeeded.
        terminals: How many terminals the server has opened.
        figures: The descriptions of the pictures that can be seen.
        work: What the Formgrader lists on a student's page.
    """

    called: set[str]
    terminals: int
    figures: set[str] = field(default_factory=set)
    work: set[str] = field(default_factory=set)


@contextlib.contextmanager
def open_private_page(browser) -> Iterator:
    """Opens an empty page that reaches this machine only, and closes it."""
    context = browser.new_context(viewport={"width": 1180, "height": 1000})
    context.set_default_timeout(3 * MINUTE)
    context.route(
        lambda url: not url.startswith(("http://127.0.0.1:", "file:")),
        lambda route: route.abort(),
    )
    with contextlib.closing(context):
        yield context.new_page()


def visit(browser, address: str, to: Class, way: str) -> Visit:
    """Opens every submission of one way, and clicks what there is to click."""
    to.canary.called.clear()
    figures = set()
    for kind in ALL:
        if f"{way}-{kind}" not in list_shown(to):
            continue
        with open_private_page(browser) as page:
            page.goto(address + to.find_page(f"{way}-{kind}"), wait_until="networkidle")
            figures |= set(page.evaluate(SEEN))
            if kind == "clicks":
                click_all(page)
            page.wait_for_load_state("networkidle")
    return Visit(set(to.canary.called), len(list_terminals(address)), figures)


def click_all(page) -> None:
    """Clicks what can be clicked in a student's words; the last leads to a page."""
    links = page.locator(".text_cell_render").locator("a:visible, button:visible")
    if not (count := links.count()):
        return
    for place in range(count - 1):
        links.nth(place).click(no_wait_after=True)
    with page.expect_event("load"):
        links.last.click()
    page.wait_for_url("**/page.html")


SEEN = """[...document.querySelectorAll('#notebook-container img')]
    .filter(image => image.naturalWidth && image.offsetWidth).map(image => image.alt)"""


def follow_links(browser, address: str, to: Class) -> Visit:
    """Opens the addresses that somebody may send, the one of a folder last."""
    to.canary.called.clear()
    before = len(list_terminals(address))
    folder = to.course / "autograded" / "raw-settings" / ASSIGNMENT
    links = [
        f"formgrader/{quote(fill(text, name_attack('sent', title), to.canary))}"
        for title, text in SENT.items()
    ]
    for link in [*links, f"formgrader?path={quote(str(folder))}"]:
        with open_private_page(browser) as page:
            page.goto(address + link, wait_until="networkidle")
    return Visit(set(to.canary.called), len(list_terminals(address)) - before)


def list_work(browser, address: str, student: str) -> set[str]:
    """Returns the assignments on a student's page, which its scripts have to list."""
    with open_private_page(browser) as page:
        page.goto(f"{address}formgrader/manage_students/{student}")
        links = page.locator("#main-table td.name")
        links.first.wait_for(timeout=MINUTE)
        return set(links.all_inner_texts())


def list_shown(to: Class) -> set[str]:
    """Returns the students whose work the Formgrader can show."""
    return {path.parent.name for path in to.course.glob(f"autograded/*/{ASSIGNMENT}")}


def list_terminals(address: str) -> list:
    """Asks the server which terminals it has opened."""
    with urllib.request.urlopen(f"{address}api/terminals") as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def chromium():
    with browsers.open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def visits(everybody, chromium, tmp_path_factory) -> dict[str, Visit]:
    """What happened on servers with and without the course's settings."""
    private = tmp_path_factory.mktemp("private")
    found = {}
    with start_server(everybody.course, private, guarded=True) as address:
        for way in ("graded", "raw"):
            found[f"{way}, settings"] = visit(chromium, address, everybody, way)
        raw = ("raw-words", "raw-outputs")
        found["lab"] = visit_lab(chromium, address, everybody, "graded-words")
        found["lab, raw"] = visit_lab(chromium, address, everybody, *raw)
        found["links"] = follow_links(chromium, address, everybody)
        found["links"].work = list_work(chromium, address, "graded-words")
    # A server started elsewhere has not read the course's settings when it makes what
    # shows submissions.
    with start_server(everybody.course.parent, private, guarded=False) as address:
        with open_private_page(chromium) as page:
            page.goto(f"{address}formgrader?path=course")
        for way in ("graded", "raw"):
            found[f"{way}, none"] = visit(chromium, address, everybody, way)
        found["links, none"] = follow_links(chromium, address, everybody)
    return found


def visit_lab(browser, address: str, to: Class, *students: str) -> Visit:
    """Opens the same notebooks in JupyterLab, as the Formgrader's link does."""
    to.canary.called.clear()
    for student in students:
        path = f"lab/tree/autograded/{student}/{ASSIGNMENT}/{ASSIGNMENT}.ipynb"
        with open_private_page(browser) as page:
            page.goto(address + path)
            page.locator(".jp-Notebook .jp-Cell").last.wait_for(timeout=3 * MINUTE)
            page.wait_for_load_state("networkidle")
    return Visit(set(to.canary.called), len(list_terminals(address)))


def list_succeeded(found: Visit, way: str) -> dict[str, bool]:
    """Says of each attack whether it succeeded."""
    return {
        title: name_attack(f"{way}-{kind}", title) in found.called
        for kind, titles in ALL.items()
        for title in titles
    }


def test_the_attacks_work_where_nothing_protects(visits):
    succeeded = list_succeeded(visits["raw, none"], "raw")
    assert {title for title, done in succeeded.items() if not done} == HELD_ANYWAY
    assert visits["raw, none"].terminals


@pytest.mark.parametrize("where", ["graded, settings", "graded, none", "lab"])
def test_what_was_graded_does_nothing_wherever_it_is_opened(visits, where):
    assert visits[where].called == set()
    assert visits[where].terminals == 0


def test_the_formgrader_shows_harmlessly_also_what_no_grading_has_cleaned(visits):
    assert visits["raw, settings"].called == set()
    assert visits["raw, settings"].terminals == 0


def test_jupyterlab_runs_nothing_of_it(visits):
    pictures = {name for name in visits["lab, raw"].called if "elsewhere" in name}
    assert visits["lab, raw"].called - pictures <= {"raw-words.redirection"}
    assert visits["lab, raw"].terminals == 0


def name_links() -> set[str]:
    """Returns the names by which the links call that somebody sent."""
    sent = {name_attack("sent", title) for title in SENT}
    return sent | {name_attack("raw-settings", hostile_pages.SETTINGS)}


def test_links_to_the_formgrader_act_where_nothing_guards_it(visits):
    assert visits["links, none"].called == name_links()
    assert visits["links, none"].terminals >= len(SENT)


def test_links_to_the_guarded_formgrader_do_nothing(visits, show_table):
    assert visits["links"].called == set()
    assert visits["links"].terminals == 0
    assert visits["links"].work == {ASSIGNMENT}  # and its pages work
    rows = [f"{'a link that was sent':50}unguarded  guarded"]
    for name in sorted(name_links()):
        got = "a shell" if name in visits["links, none"].called else "-"
        rows.append(f"{name:50}{got:9}  -")
    show_table("\n".join(rows))


@pytest.mark.parametrize("where", ["graded, settings", "graded, none"])
def test_figures_of_an_honest_answer_stay(visits, where):
    assert visits[where].figures >= {"red", "green", "blue", "figure"}


def test_the_table_of_attacks(visits, show_table):
    columns = {
        "unprotected": ("raw, none", "raw"),
        "cleaned when graded": ("graded, none", "graded"),
        "cleaned when shown": ("raw, settings", "raw"),
        "both": ("graded, settings", "graded"),
    }
    got = {name: list_succeeded(visits[w], way) for name, (w, way) in columns.items()}
    lines = [f"{'attack':40}" + "  ".join(columns)]
    for title in got["both"]:
        loot = "a call" if title in CALLS else "a shell"
        cells = [f"{loot if got[n][title] else '-':{len(n)}}" for n in columns]
        lines.append(f"{title:40}" + "  ".join(cells))
    show_table("\n".join(lines))


def test_markup_and_commands_in_ids_and_names_are_refused(everybody):
    said = everybody.graded
    assert "A student's id can't have < >" in said
    assert "eve\\x1b]0;owned" in said
    assert "The gradebook has '<img src=x" in said and "Manage Students" in said
    assert list_commands(said) == []
    assert list_odd_students(everybody) == []


def test_plain_nbgrader_refuses_them_as_well(everybody):
    result = small_course.run(everybody.course, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode == 1
    assert "A student's id can't have < >" in result.stdout
    assert "The gradebook has '<img src=x" in result.stdout
    assert list_commands(result.stdout) == []
    assert list_odd_students(everybody) == []


def list_commands(said: str) -> list[str]:
    """Returns the lines that command the terminal on which they are printed."""
    return [line for line in said.split("\n") if any(map(is_command, line))]


def list_odd_students(to: Class) -> list[str]:
    """Returns the ids in the gradebook, and of what can be shown, that are odd."""
    with open_gradebook(to.course) as gradebook:
        found = {student.id for student in gradebook.students}
    return [
        name for name in found | list_shown(to) if not re.fullmatch(r"[\w-]+", name)
    ]


def test_the_report_runs_nothing(everybody, chromium):
    arguments = ("courseai_helpers.cli", "report", ASSIGNMENT)
    result = small_course.run(everybody.course, *arguments)
    assert result.returncode == 0, result.stdout
    everybody.canary.called.clear()
    path = everybody.course / "reports" / f"{ASSIGNMENT}.html"
    with open_private_page(chromium) as page:
        page.goto(path.as_uri(), wait_until="networkidle")
        assert MARKUP[:10] in page.inner_text("body")
    assert everybody.canary.called == set()
