"""Every command that docs/lms.md and docs/before_a_class.md show does what they say."""

import re
import shlex
from datetime import datetime
from pathlib import Path

import pytest
from lms_course import (
    ASSIGNMENT,
    NOTEBOOK,
    ROOT,
    give_points,
    make_course,
    make_notebook,
)
from small_course import run
from test_lms_export import CANVAS, MOODLE
from test_lms_submissions import pack

from courseai_helpers.cli.main import main, make_parser

WORKSHEET = (
    "Identifier,Full name,Email address,Last modified (submission)\n"
    "Participant 77,Ben O'Neil,ben@example.org,2026-10-31T08:00:00Z\n"
)


def list_commands(document: str) -> list[str]:
    """Returns the commands of a document, one a line."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines()]


def prepare(course: Path) -> None:
    """Provides the files that the guide says to download."""
    make_course(course)
    (course / "canvas_gradebook.csv").write_text(CANVAS, newline="")
    (course / "moodle_participants.csv").write_text(MOODLE)
    (course / "moodle_worksheet.csv").write_text(WORKSHEET)
    canvas = {f"mllerada_101_9_{NOTEBOOK}": make_notebook("a")}
    moodle = {f"B_77_assignsubmission_file_/{NOTEBOOK}": make_notebook("b")}
    time = datetime(2026, 10, 31)
    (course / "canvas_submissions.zip").write_bytes(pack(canvas, time))
    (course / "moodle_submissions.zip").write_bytes(pack(moodle, time))
    for student in ("ada", "ben"):
        give_points(course, student, 2, 1)


def test_the_guide_to_the_lms_works_command_by_command(tmp_path, monkeypatch, capsys):
    course = tmp_path / "course"
    prepare(course)
    monkeypatch.chdir(course)
    commands = list_commands("lms.md")
    assert len(commands) == 9
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "courseai":
            assert main(arguments) == 0, capsys.readouterr()
        else:
            assert program == "nbgrader"
            result = run(course, program, *arguments)
            assert result.returncode == 0, result.stdout
    submitted = course / "submitted"
    assert {path.name for path in submitted.iterdir()} == {"ada", "ben"}
    for student, content in (("ada", "a"), ("ben", "b")):
        path = submitted / student / ASSIGNMENT / NOTEBOOK
        assert path.read_text() == make_notebook(content)
    assert "Müller" in (course / "canvas.csv").read_text()
    assert "Müller" in (course / "moodle.csv").read_text()


@pytest.mark.parametrize("document", ["lms.md", "before_a_class.md"])
def test_the_guides_name_no_option_that_is_not_there(document, capsys):
    text = (ROOT / "docs" / document).read_text()
    known = ""
    for command in (["fetch"], ["doctor"], ["import", "roster"], ["export"]):
        with pytest.raises(SystemExit):
            make_parser().parse_args([*command, "--help"])
        known += capsys.readouterr().out
    with pytest.raises(SystemExit):
        make_parser().parse_args(["import", "submissions", "--help"])
    known += capsys.readouterr().out
    ours = re.sub(r"nbgrader .*", "", text)
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", ours):
        assert option in known, option


def test_the_guide_for_before_a_class_shows_what_other_tests_run():
    assert list_commands("before_a_class.md") == [
        "courseai doctor",
        "courseai doctor --student",
        "courseai fetch",
        "courseai fetch --pack room.zip",
        "courseai fetch --from room.zip",
    ]
