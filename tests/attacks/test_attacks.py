"""Attacks on grading: real submissions in the real pipeline, judged from outside."""

import hashlib
import html
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import kernels
import nbformat
import pytest
from conftest import ASSIGNMENT
from hostile_course import (
    ATTACKED,
    DESERVED,
    HONEST,
    KINDS,
    NOTEBOOK,
    ROOT,
    Attack,
    HostileCourse,
    copy_course,
    make_course,
    plant_key,
    read_attacks,
    read_points,
    serve_secrets,
    submit,
    submit_all,
)

from courseai_helpers.grading.examiner.kernel import is_test

pytestmark = kernels.needs_sandbox

PACKAGE = ROOT / "courseai_helpers"
OWN_MARKER = re.compile(
    "marker-of-(?:the-network|a-traced-process|a-stolen-file|root|the-machine)"
)
# Those that plain nbgrader has to withstand, too: one of each kind.
SAMPLE = (
    "the reference solutions",
    "a float that is near to every number",
    "messages without a valid signature",
    "the function ends its kernel",
    "Test cells that only pass",
)
ATTACKS = read_attacks(always=SAMPLE)
NAMES = [str(attack) for attack in ATTACKS]
# These do not depend on our protection, or need a kernel to attack.
UNCONTROLLED = {
    "a name that only a name server of the attacker's knows": "a name server",
    "every network interface": "a network",
    "the link to the examiner, read ahead": "a kernel",
    "the kernel's own connection file and channels": "a kernel",
    "what the kernel was asked to run": "a kernel",
    "what the parts of the grader that are loaded know": "loaded parts with secrets",
    "shared memory segments and queues": "a segment of the grader's",
    "the memory of the other processes": "a process of the grader's",
    "a debugger on the first process and on the parent": "the same",
    "the process at the other end of the link": "the same",
    "the mounts that hide the grader": "mounts",
    "programs that run with more rights": "a way to become root",
    "the machine's memory and messages": "rights that we may not have",
    "its own memory, before the tests": "tests that ran before",
}


@dataclass
class Result:
    """What a run over all the submissions left.

    Attributes:
        course: The course.
        runs: The finished `courseai grade` and `nbgrader generate_feedback`.
        points: The points of each student for each test cell.
        before: The digests of the course's files before the run.
        after: The same after it.
        quiet: Whether nothing is left running.
    """

    course: HostileCourse
    runs: list[subprocess.CompletedProcess]
    points: dict[str, dict[str, float]]
    before: dict[str, str]
    after: dict[str, str]
    quiet: bool


def compute_digests(course: HostileCourse) -> dict[str, str]:
    """Returns the digest of every file that grading must not change."""
    places = ("source", "release", "submitted", "nbgrader_config.py", "secret.txt")
    paths = [
        path
        for place in places
        for path in ((course.path / place), *(course.path / place).rglob("*"))
    ]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    """One run over the attackers and three honest students."""
    course = make_course(tmp_path_factory.mktemp("hostile"))
    with serve_secrets(course):
        submit_all(course, ATTACKS)
        before = compute_digests(course)
        runs = [
            course.run("courseai_helpers.cli", "grade", ASSIGNMENT, "--jobs=2"),
            course.run("nbgrader", "generate_feedback", ASSIGNMENT),
        ]
        quiet = kernels.wait_for_processes("^sleep 98766$", 0)
    points = read_points(course)
    return Result(course, runs, points, before, compute_digests(course), quiet)


def read_texts(course: HostileCourse, student: str) -> list[str]:
    """Returns all that a student could get to see: outputs, messages and the page."""
    texts = []
    path = find_graded(course, student)
    if path.exists():
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if is_test(cell):  # the rest is for instructors
                    output.pop("traceback", None)
                texts.append(re.sub(r"\\n", "\n", json.dumps(output)))
    page = find_page(course, student)
    return [*texts, html.unescape(page.read_text())] if page.exists() else texts


def find_graded(course: HostileCourse, student: str) -> Path:
    """Returns where the autograded notebook of a student is."""
    return course.path / "autograded" / student / ASSIGNMENT / NOTEBOOK.name


def find_page(course: HostileCourse, student: str) -> Path:
    """Returns where the feedback page of a student is."""
    return course.path / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"


def find_leaks(course: HostileCourse, attack: Attack) -> list[str]:
    """Returns what an attacker got to see that is secret."""
    text = "\n".join(read_texts(course, attack.student))
    secret = list(course.markers.values())
    own = course.path / "submitted" / attack.student / ASSIGNMENT / NOTEBOOK.name
    cells = json.loads(own.read_text())["cells"]
    known = "\n".join("".join(cell["source"]) for cell in cells)
    secret += [line for line in read_secret_lines() if line not in known]
    found = [part for part in secret if part in text]
    # Some print one of their own if they get through; the code has it in two parts.
    return found + OWN_MARKER.findall(text)


def read_secret_lines() -> set[str]:
    """Returns the long lines of the oracles and of the reference solutions."""
    names = (
        "grading/examiner/oracles/__init__.py",
        "reference/visualizing_features.py",
    )
    lines = "\n".join((PACKAGE / name).read_text() for name in names).splitlines()
    return {line.strip() for line in lines if len(line.strip()) > 40}


def find_gains(result: Result, attack: Attack) -> list[str]:
    """Says which points an attacker got that are not deserved."""
    points = result.points.get(attack.student, {})
    given = {name: score for name, score in points.items() if score}
    gains = [f"{name}: {score}" for name, score in given.items() if ATTACKED in name]
    return gains + ([f"{given}"] if sum(given.values()) > DESERVED else [])


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_an_attack_learns_nothing_and_gains_nothing(result, attack):
    assert find_leaks(result.course, attack) == [], attack.holds
    assert find_gains(result, attack) == [], attack.holds


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_an_attack_is_judged_or_refused_with_a_reason(result, attack):
    output = result.runs[0].stdout
    refused = f"{attack.student} can't be graded: " in output
    assert find_graded(result.course, attack.student).exists() != refused, output


@pytest.mark.parametrize("student", HONEST)
def test_the_others_get_their_points(result, student):
    heat = HONEST[student][1]
    points = result.points[f"honest-{student}"]
    assert sum(points.values()) == DESERVED + heat, result.runs[0].stdout
    assert points["test_heat_inside_share"] == 0.5


def test_the_run_ends_well(result):
    for run in result.runs:
        assert run.returncode == 0, run.stdout
        assert "Traceback" not in run.stdout, run.stdout
    assert "by no fault of theirs" not in result.runs[0].stdout


def test_nothing_is_left_running_nobody_called_and_no_file_has_changed(result):
    assert result.quiet
    assert result.course.hits == []
    assert result.before == result.after
    assert not (result.course.path / "attacked").exists()
    for path in PACKAGE.rglob("*.py"):  # what several attacks write
        assert "builtins.abs = lambda" not in path.read_text()


class Elements(HTMLParser):
    """Collects what an HTML page holds that could act."""

    def __init__(self):
        super().__init__()
        self.active: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "img", "svg", "iframe", "object", "embed", "a", "base"):
            self.active.append(tag)
        for name, value in attrs:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.active.append(f"{tag} {name}")


@pytest.mark.parametrize("attack", ATTACKS, ids=NAMES)
def test_no_page_has_anything_of_an_attacker_that_acts(result, attack):
    page = find_page(result.course, attack.student)
    assert page.exists() == find_graded(result.course, attack.student).exists()
    if page.exists():
        elements = Elements()
        elements.feed(page.read_text())
        assert elements.active == []


def test_the_table(result, show_table):
    harmed = sum(
        sum(result.points[f"honest-{name}"].values()) != DESERVED + heat
        for name, (_, heat) in HONEST.items()
    )
    lines, total = [], [0, 0, 0]
    for kind in (*KINDS, "notebooks"):
        attacks = [attack for attack in ATTACKS if attack.kind == kind]
        leaks = sum(bool(find_leaks(result.course, a)) for a in attacks)
        gains = sum(bool(find_gains(result, a)) for a in attacks)
        row = (len(attacks), leaks, gains)
        total = [a + b for a, b in zip(total, row, strict=True)]
        lines.append("{:16} {:8} {:8} {:15}".format(kind, *row))
    lines.append("{:16} {:8} {:8} {:15}".format("all", *total))
    header = f"{'':16} {'attacks':>8} {'leaks':>8} {'points gained':>15}"
    harm = f"{harmed} other submissions harmed"
    show_table("\n".join([header, *lines, harm]))
    assert total[1:] == [0, 0] and harmed == 0


@pytest.mark.long
def test_plain_nbgrader_withstands_a_sample(result, tmp_path):
    course = copy_course(result.course, tmp_path)
    attacks = [attack for attack in ATTACKS if attack.title in SAMPLE]
    submit_all(course, attacks)
    run = course.run("nbgrader", "autograde", ASSIGNMENT)
    assert run.returncode == 0, run.stdout
    points = read_points(course)
    for attack in attacks:
        assert points[attack.student] == result.points[attack.student]
        assert find_graded(course, attack.student).exists()
        assert find_leaks(course, attack) == [], attack.holds
    for student, (_, heat) in HONEST.items():
        assert sum(points[f"honest-{student}"].values()) == DESERVED + heat


def test_what_is_found_where_nothing_is_protected(result, tmp_path):
    course = copy_course(result.course, tmp_path)
    attacks = [
        attack
        for attack in ATTACKS
        if attack.kind == "confidentiality" and attack.title not in UNCONTROLLED
    ]
    submit(course, "other", f"# {course.markers['another-student']}")
    folder = course.path / "submitted" / "attacker" / ASSIGNMENT
    folder.mkdir(parents=True)
    notebook = nbformat.read(
        course.path / "source" / ASSIGNMENT / NOTEBOOK.name, as_version=4
    )
    (folder / NOTEBOOK.name).write_text(course.markers["hidden-tests"])
    cells = {cell.id: cell.source for cell in notebook.cells}
    request = tmp_path / "request.json"
    with serve_secrets(course), open(course.path / "secret.txt") as secret_file:
        content = {
            "setup": [cells["setup_imports"]],
            "tests": [cells["test_heat_inside_share"]],
            "attacks": {a.title: course.adapt(a.code) for a in attacks},
        }
        request.write_text(json.dumps(content))
        program = [sys.executable, str(ROOT / "tests/unprotected.py")]
        subprocess.run(
            [*program, str(request)],
            cwd=folder,
            env=course.environment,
            check=True,
            stdin=secret_file,  # an open file of the grader's
            preexec_fn=lambda: plant_key(course.markers["keyring"]),
        )
    found = json.loads(request.read_text())
    secret = [*course.markers.values(), *read_secret_lines()]
    blind = {
        title: text[-500:]
        for title, text in found.items()
        if not any(part in text for part in secret)
    }
    assert not blind
