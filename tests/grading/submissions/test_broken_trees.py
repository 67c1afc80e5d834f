"""One broken submission, however it is broken, costs nobody else a point."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kernels
import pytest
import sqlalchemy
from broken_trees import NEED_RIGHTS, NOTED, REFUSED
from small_course import (
    ASSIGNMENT,
    TESTS,
    copy_course,
    make_course,
    read_points,
    run,
    submit,
)

from courseai_helpers.grading.gradebook.ledger import Entry, create_table, read_entries

pytestmark = kernels.needs_sandbox

FULL = dict.fromkeys(TESTS, 1.0)
# Root reads what has no rights; without these two capabilities it can't, either.
MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
MORTAL *= os.geteuid() == 0
GRADE = ("-m", "courseai_helpers.cli", "grade", ASSIGNMENT)
GRADED = {name: way for name, way in NOTED.items() if name not in NEED_RIGHTS}
SAMPLE = 9  # one of so many of those is graded in the default run
# Takes submissions as far as one can without a kernel, which has to read Python itself.
SANITISE = f"""
import json
from pathlib import Path
from courseai_helpers.grading.classrun.run import prepare, choose
from courseai_helpers.grading.gradebook.ledger import create_table
from courseai_helpers.grading.steps.failures import AUDIT
from courseai_helpers.grading.submissions.folders import SubmissionError

run = prepare(Path.cwd(), {ASSIGNMENT!r}, sandbox=True)
create_table(run.engine)
found = {{}}
for student in choose(run, force=True):
    try:
        (content,) = run.converter.sanitize(student).notebooks.values()
        notes = json.loads(content)["metadata"][AUDIT]
        found[student] = "noted", " ".join(notes)
    except SubmissionError as error:
        found[student] = "refused", str(error)
found |= {{name: ("refused", why) for name, why in run.outcome.refused.items()}}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A course without submissions."""
    return make_course(tmp_path_factory.mktemp("broken") / "course")


@pytest.fixture
def course(made, tmp_path) -> Path:
    """A course of the test's own."""
    return copy_course(made, tmp_path / "course")


def run_program(course: Path, *command: str, rights: tuple[str, ...] = ()) -> str:
    """Runs a Python program in the course directory; returns what it said."""
    result = subprocess.run(
        [*rights, sys.executable, *command],
        cwd=course,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "Traceback" not in result.stdout, result.stdout
    return result.stdout


def hand_in(course: Path, good: int, broken: dict) -> list[str]:
    """Hands in good and broken work; returns whose is good."""
    names = [f"good{number}" for number in range(good)]
    for name in names:
        submit(course, name)
    for name, (break_it, _) in broken.items():
        break_it(submit(course, name))
    return names


def check_grading(course: Path, good: int, noted: dict) -> None:
    """Grades good work among broken work and looks at each of them."""
    refused = {n: way for n, way in REFUSED.items() if n not in NEED_RIGHTS}
    names = hand_in(course, good, refused | noted)
    output = run_program(course, *GRADE, "--jobs=2")
    assert f"{good + len(noted)} graded, 0 graded before" in output
    points = read_points(course)
    assert points == dict.fromkeys([*names, *noted], FULL)
    for name, (_, reason) in refused.items():
        line = rf"^{name} can't be graded: .*{re.escape(reason)}"
        assert re.search(line, output, re.M), (line, output)
    run_program(course, "-m", "courseai_helpers.cli", "report", ASSIGNMENT)
    report = html.unescape((course / "reports" / f"{ASSIGNMENT}.html").read_text())
    for name, (_, note) in noted.items():
        line = rf"^{name}: .*{re.escape(note)}"
        assert not note or re.search(line, output, re.M), (line, output)
        assert note in report


def test_good_work_among_broken_work_has_its_points_and_the_rest_its_reason(course):
    check_grading(course, 4, dict(list(GRADED.items())[::SAMPLE]))


@pytest.mark.long
def test_twenty_good_ones_among_all_that_is_broken(course):
    assert len(REFUSED | NOTED) > 100
    check_grading(course, 20, GRADED)


def test_each_broken_one_is_refused_or_noted_as_it_should_be(course):
    hand_in(course, 0, REFUSED | NOTED)
    output = run_program(course, "-c", SANITISE, rights=MORTAL)
    found = json.loads(output.splitlines()[-1])
    wanted = {name: ["refused", reason] for name, (_, reason) in REFUSED.items()}
    wanted |= {name: ["noted", note] for name, (_, note) in NOTED.items()}
    assert found.keys() == wanted.keys()
    for name, (kind, text) in found.items():
        assert kind == wanted[name][0] and wanted[name][1] in text, (name, kind, text)


def test_a_copy_that_was_worked_on_is_graded_and_said_to_be(course):
    solved = (submit(course, "solved") / f"{ASSIGNMENT}.ipynb").read_bytes()
    released = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    for student, copy in (
        ("jupyter", f"{ASSIGNMENT}-Copy1.ipynb"),
        ("macos", f"{ASSIGNMENT} copy 2.ipynb"),
        ("folders", f"work/{ASSIGNMENT}.ipynb"),
    ):
        path = submit(course, student) / copy
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(solved)
        (path.parents[copy.count("/")] / released.name).write_bytes(
            released.read_bytes()
        )
    alone = submit(course, "alone") / released.name
    alone.rename(alone.with_suffix(".ipynb.txt"))
    output = run_program(course, *GRADE, "--jobs=2")
    assert "5 graded" in output
    assert set(map(str, read_points(course).values())) == {str(FULL)}
    was = f"{ASSIGNMENT}.ipynb (it is as it was handed out)"
    assert f"jupyter: {ASSIGNMENT}-Copy1.ipynb was taken, not {was}." in output
    assert f"folders: work/{ASSIGNMENT}.ipynb was taken, not {was}." in output
    assert f"alone: {ASSIGNMENT}.ipynb.txt was taken: there is no" in output
    assert "solved:" not in output


def test_a_ledger_of_an_earlier_version_gets_the_column_it_lacks(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'gradebook.db'}")
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "CREATE TABLE courseai_submissions (assignment VARCHAR(128), student "
                "VARCHAR(128), fingerprint VARCHAR(64), refused TEXT, seconds FLOAT, "
                "failures TEXT, PRIMARY KEY (assignment, student))"
            )
        )
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO courseai_submissions VALUES ('a', 'ada', 'f', '', 1, '{}')"
            )
        )
    for _ in range(2):
        create_table(engine)
        assert read_entries(engine, "a") == {"ada": Entry("f", seconds=1.0)}


def test_plain_nbgrader_names_what_is_broken_and_grades_the_rest(course):
    refused = (
        "half_a_file",
        "merge_conflict",
        "a_notebook_of_300_mb",
        "a_link_for_a_notebook",
        "deep_lists",
    )
    noted = ("a_link", "utf_16", "format_3", "a_file_of_300_mb", "null_sources")
    # nbgrader copies all files before anybody looks at them, so these are refused.
    copied = ("a_link_to_nowhere", "a_pipe", "a_pipe_for_a_time", "a_time_that_is_none")
    ways = REFUSED | NOTED
    names = hand_in(course, 2, {n: ways[n] for n in (*refused, *noted, *copied)})
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    points = read_points(course)
    graded = [*names, *noted]
    assert {name: points[name] for name in graded} == dict.fromkeys(graded, FULL)
    for name in (*refused, *copied):
        assert f"for student '{name}'" in result.stdout
        assert None in points.get(name, {"": None}).values()
    for name in (*refused, "a_link"):
        assert ways[name][1] in result.stdout, name
    for reason in (
        "data.csv is a symbolic link. Take it away, or grade with",
        "pipe is no file. Take it away",
        "timestamp.txt is no file. Take it away",
        "timestamp.txt has no time in it. Take it away",
    ):
        assert reason in result.stdout
    left = [path.name for path in course.glob("autograded/*/*/*")]
    assert "big.bin" not in left and "data.csv" not in left
