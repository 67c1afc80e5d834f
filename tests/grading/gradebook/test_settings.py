"""A setting holds for every command, whichever file it is in."""

import json
from pathlib import Path

import pytest
from lms_course import ASSIGNMENT, make_course
from nbgrader.api import Gradebook

from courseai_helpers.cli.main import main
from courseai_helpers.grading.classrun.run import configure, prepare
from courseai_helpers.grading.cluster.execution import Submission
from courseai_helpers.grading.gradebook.settings import read_settings
from courseai_helpers.grading.machine.doctor import check_course
from courseai_helpers.machine.doctor import describe

PLACES = ("the site's", "the user's", "the course's")
OTHER = "only_elsewhere"  # an assignment that the usual gradebook does not know


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course, as the working directory, with a gradebook where it usually is."""
    course = make_course(tmp_path / "course")
    monkeypatch.chdir(course)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "site"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "user"))
    return course


def add_setting(course: Path, place: str, line: str) -> Path:
    """Adds a line to the settings of the site, of the user or of the course."""
    above = course.parent
    folders = dict(zip(PLACES, (above / "site", above / "user", course), strict=True))
    path = folders[place] / "nbgrader_config.py"
    path.parent.mkdir(exist_ok=True)
    old = path.read_text() if path.exists() else "c = get_config()\n"
    path.write_text(f"{old}\n{line}\n")
    return path


@pytest.fixture(params=PLACES)
def elsewhere(request, course) -> Path:
    """Another gradebook, named in one of the places, with an assignment of its own."""
    path = course.parent / "elsewhere.db"
    with Gradebook(f"sqlite:///{path}", "courseai") as gradebook:
        gradebook.add_assignment(OTHER)
        gradebook.add_notebook(OTHER, OTHER)
        gradebook.add_student("zoe", first_name="Zoe", last_name="Elsewhere")
    add_setting(course, request.param, f"c.CourseDirectory.db_url = 'sqlite:///{path}'")
    return path


def run(capsys, *arguments: object) -> str:
    """Runs a command and returns all that it prints."""
    main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return " ".join((output.out + output.err).split())


def test_all_commands_use_the_gradebook_that_any_of_the_files_names(
    course, elsewhere, capsys
):
    before = (course / "gradebook.db").read_bytes()
    said = run(capsys, "grade", OTHER)
    assert f"There are no submissions of {OTHER}" in said
    assert f"no assignment '{ASSIGNMENT}'" in run(capsys, "grade", ASSIGNMENT)

    assert f"No submission of {OTHER} is graded" in run(capsys, "report", OTHER)
    assert f"no assignment '{ASSIGNMENT}'" in run(capsys, "report", ASSIGNMENT)

    (course.parent / "download").mkdir()
    send = ("import", "submissions", course.parent / "download")
    assert "has no file in it" in run(capsys, *send, OTHER)
    assert f"no assignment '{ASSIGNMENT}'" in run(capsys, *send, ASSIGNMENT)

    roster = course.parent / "roster.csv"
    roster.write_text(
        "id,first_name,last_name,email\nzoe,Zoe,Elsewhere,z@example.org\n"
    )
    said = run(capsys, "import", "roster", roster)
    assert "zoe" in said
    with Gradebook(f"sqlite:///{elsewhere}", "courseai") as gradebook:
        assert gradebook.find_student("zoe").email == "z@example.org"

    said = run(capsys, "export", "canvas", ASSIGNMENT)
    assert f"no assignment '{ASSIGNMENT}', only {OTHER}" in said

    said = describe([*check_course(course)])
    assert f"sqlite:///{elsewhere}" in said and "sqlite:///gradebook.db" not in said
    assert (course / "gradebook.db").read_bytes() == before


@pytest.mark.parametrize("place", PLACES)
def test_a_time_out_in_any_of_the_files_reaches_those_who_execute(course, place):
    add_setting(course, place, "c.SandboxedExecute.least_timeout = 77")
    run = prepare(course, ASSIGNMENT, sandbox=True)
    sent = configure(run, Submission("ada", {})).config
    assert sent["SandboxedExecute"]["least_timeout"] == 77
    assert read_settings(course).config.SandboxedExecute.least_timeout == 77
    assert json.loads(json.dumps(sent["ExecutePreprocessor"]))["timeout"] == 180


def test_the_course_s_file_wins_over_jupyter_s_path_and_that_over_the_user_s(course):
    for number, place in enumerate(("the user's", "the site's", "the course's")):
        add_setting(course, place, f"c.SandboxedExecute.least_timeout = {number}")
        found = read_settings(course).config.SandboxedExecute
        assert found.least_timeout == number


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("line", ["1 / 0", "c.CourseDirectory."])
def test_settings_that_cannot_be_read_stop_every_command(course, place, line, capsys):
    path = add_setting(course, place, line)
    download = course.parent
    for command in (
        ("grade", ASSIGNMENT),
        ("report", ASSIGNMENT),
        ("import", "submissions", download, ASSIGNMENT),
        ("import", "roster", download / "roster.csv"),
        ("export", "moodle"),
    ):
        said = run(capsys, *command)
        assert "The settings can't be read" in said and str(path.parent) in said
        assert "Traceback" not in said
    said = describe([*check_course(course)])
    assert "problem  settings" in said and str(path.parent) in said


@pytest.mark.parametrize("place", PLACES)
def test_the_doctor_sees_who_else_may_change_the_settings(course, place):
    path = add_setting(course, place, "c.SandboxedExecute.least_timeout = 7")
    path.chmod(0o644)
    problem = f"others can change {path}"
    assert problem not in describe([*check_course(course)])
    path.chmod(0o646)
    assert problem in describe([*check_course(course)])
