"""The guides in docs/: their commands work as they stand there, one after the other."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from conftest import ASSIGNMENT, copy_course, drop_figures
from kernels import needs_sandbox
from markdown_it import MarkdownIt
from markdown_it.token import Token

from courseai_helpers.grading.authoring.demo import fill_in, read_answers

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
LISTED = subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True)
PAGES = [ROOT / name for name in LISTED.splitlines()]
NOTEBOOK = f"{ASSIGNMENT}.ipynb"


def list_commands(text: str) -> list[str]:
    """Returns the commands of a text, one a line."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines()]


def list_texts(page: Path, kind: str) -> list[Token]:
    """Returns what a page has of a kind within its paragraphs, headings and tables."""
    tokens = MarkdownIt().enable("table").parse(page.read_text())
    return [t for token in tokens for t in token.children or [] if t.type == kind]


def find_links(page: Path) -> list[str]:
    """Returns what in this repository a page links to or shows."""
    found = [token.attrs["href"] for token in list_texts(page, "link_open")]
    found += [token.attrs["src"] for token in list_texts(page, "image")]
    return [unquote(target) for target in found if not urlsplit(target).scheme]


def list_headings(page: Path) -> list[str]:
    """Returns the names by which GitHub links to a page's headings."""
    pairs = itertools.pairwise(MarkdownIt().parse(page.read_text()))
    texts = [text.content for mark, text in pairs if mark.type == "heading_open"]
    return [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts]


class Person:
    """Somebody with a folder, an id, and the course's commands on the path."""

    def __init__(self, name: str, folder: Path, exchange: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        settings = folder / ".settings"
        settings.mkdir()
        (settings / "nbgrader_config.py").write_text(
            f"c = get_config()\nc.Exchange.root = {str(exchange)!r}\n"
        )
        self.environment = os.environ | {
            "JUPYTERHUB_USER": name,
            "JUPYTER_CONFIG_DIR": str(settings),
            "JUPYTER_DATA_DIR": str(settings / "data"),
            "NBGRADER_EXECUTION": "",
            "COURSEAI_OFFLINE": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def do(self, command: str) -> str:
        """Runs a command of a guide; it has to work."""
        result = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, f"{command}:\n{result.stdout}"
        return result.stdout


def shorten(path: Path) -> None:
    """Takes the exercise out that needs the laboratory, which is not there."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id != "find_shortcut"]
    nbformat.write(notebook, path)


@needs_sandbox
def test_instructor_and_student_follow_their_guides(tmp_path):
    exchange = tmp_path / "exchange"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    instructor = Person("instructor", tmp_path / "course", exchange)
    copy_course(ROOT, instructor.folder)
    source = instructor.folder / "source" / ASSIGNMENT / NOTEBOOK
    answers = read_answers(source)
    drop_figures(source)
    shorten(source)
    student = Person("s01", tmp_path / "s01", exchange)
    guide = (ROOT / "docs" / "instructors.md").read_text()
    (roster,) = re.findall(r"```csv\n(.*?)```", guide, re.S)
    (instructor.folder / "roster.csv").write_text(roster)
    theirs = list_commands((ROOT / "docs" / "students.md").read_text())
    fetch, lab, submit, fetch_feedback = theirs
    assert lab == f"jupyter lab {ASSIGNMENT}/{NOTEBOOK}"
    said = {}
    for command in list_commands(guide):
        said[command] = instructor.do(command)
        if command == f"nbgrader release_assignment {ASSIGNMENT}":
            student.do(fetch)
            fill_in(student.folder / ASSIGNMENT / NOTEBOOK, answers)
            student.do(submit)
    student.do(fetch_feedback)
    assert "1 graded" in said[f"courseai grade {ASSIGNMENT} --jobs 2"]
    assert "1 graded" in said[f"courseai grade {ASSIGNMENT} --force"]
    assert "s01" in (instructor.folder / "grades.csv").read_text()
    (page,) = (student.folder / ASSIGNMENT / "feedback").rglob("*.html")
    assert "normalize filters" in page.read_text()


@pytest.mark.long
def test_authors_judge_and_build_as_their_guide_says():
    commands = list_commands((ROOT / "docs" / "authors.md").read_text())
    bank = [c.split() for c in commands if c.startswith("python tests/")]
    assert len(bank) == 4 and commands[4:] == [
        "courseai build",
        "courseai build --check",
    ]
    for _, *arguments in bank:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=LISTED.splitlines())
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in find_links(page):
        name, _, heading = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not heading or heading in list_headings(linked), target


@pytest.mark.parametrize("page", PAGES, ids=LISTED.splitlines())
def test_no_heading_was_swallowed_by_a_paragraph(page):
    texts = [token.content for token in list_texts(page, "text")]
    assert [text for text in texts if re.search(r"(^|\s)#{1,6} ", text)] == []


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_pictures_have_a_description(path):
    for text, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(), re.S):
        assert len(text) > 20
