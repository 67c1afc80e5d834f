"""What others have written commands no terminal, whichever command prints it."""

import io
import os
import random
import shutil
import string
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lms_course import (
    ASSIGNMENT,
    NOTEBOOK,
    add_student,
    give_points,
    make_course,
    make_notebook,
    open_gradebook,
)
from small_course import run

from courseai_helpers._common.printing import make_lines_printable, make_printable
from courseai_helpers.cli.main import main

COMMANDS = ("\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\x90q\x9c", "\x08", "\x7f", "\r",
            "\u202e", "\u2066", "\u2028", "\u200e", "\ufeff", "\U000e0041")  # fmt: skip


def is_harmless(text: str) -> bool:
    """Tells whether a terminal would only show a text."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and c not in "\n\u200d"
        for c in text
    )


def make_names(number: int) -> list[str]:
    """Returns names with commands anywhere in them, the same in every run."""
    chosen = random.Random(number)
    return [
        "".join(
            chosen.choice([*COMMANDS, *string.ascii_letters]) for _ in range(number)
        )
        + COMMANDS[place % len(COMMANDS)]
        + str(place)
        for place in range(number)
    ]


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("\x1b[]0;m\u202e\n", min_size=1))
def test_any_text_becomes_harmless(text):
    assert is_harmless(make_printable(text)) and "\n" not in make_printable(text)
    assert is_harmless(make_lines_printable(text))
    assert make_printable(make_printable(text)) == make_printable(text)


@pytest.mark.parametrize(
    "text",
    ["Öz", "O'Neil, Jr.", "李\u3000明", "می\u200cخواهم", "a\u00a0b", "👩\u200d🎓"],
)
def test_names_stay_as_they_are(text):
    assert make_printable(text) == text


def test_commands_are_shown_as_in_a_string():
    assert make_printable("a\x1b]0;b\x07\n\u202e") == r"a\x1b]0;b\x07\n\u202e"


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """The working directory, of a course whose gradebook holds hostile names."""
    course = make_course(tmp_path / "course")
    with open_gradebook(course) as gradebook:
        for place, name in enumerate(make_names(12)):
            add_student(gradebook, f"s{place}", name, name, str(200 + place))
    monkeypatch.chdir(course)
    return course


def read_output(capsys) -> str:
    """Returns what was printed, on both channels."""
    said = capsys.readouterr()
    assert said.out or said.err
    return said.out + said.err


def test_import_roster_prints_no_command(course, capsys):
    rows = [f'"{name}","{name}","{name}@x.org",' for name in make_names(13)]
    ids = [f"t{place}" for place in range(len(rows))]
    lines = [f"{i},{row}" for i, row in zip(ids, rows, strict=True)]
    header = "id,first_name,last_name,email,lms_user_id"
    Path("good.csv").write_text("\n".join([header, *lines]), newline="")
    assert main(["import", "roster", "good.csv"]) == 0
    for name in make_names(5):
        for text in (f'{header}\n"{name}",a,b,,', f'"{name}",x\n1,2'):
            Path("bad.csv").write_text(text, newline="")
            assert main(["import", "roster", "bad.csv"]) == 1
    assert is_harmless(read_output(capsys))
    with open_gradebook(course) as gradebook:
        found = [s for s in gradebook.students if s.id in ids]
        assert len(found) == len(ids)
        assert all(is_harmless(s.first_name + s.last_name) for s in found)


def test_import_submissions_prints_no_command(course, capsys):
    with zipfile.ZipFile("download.zip", "w") as archive:
        for place, name in enumerate(make_names(12)):
            archive.writestr(f"ada/{name}", "x")
            archive.writestr(f"{name}.ipynb", "x")
            archive.writestr(f"../{name}", "x")
            archive.writestr(f"x_{200 + place}_1_{name}.ipynb", make_notebook(name))
    assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 1
    assert main(["import", "submissions", "\x1b[2J.zip", ASSIGNMENT]) == 1
    assert is_harmless(read_output(capsys))


def test_export_prints_no_command(course, capsys):
    for place in range(3):
        give_points(course, f"s{place}", 3, None, comment="\x1b[2J")
    Path("roster.csv").write_text("id,last_name\ns0,\x1b[2J\n")
    options = ["--unfinished", "--roster", "roster.csv", "-o", "\x1b[2J.csv"]
    assert main(["export", "moodle", "\x1b[2J"]) == 1
    assert main(["export", "canvas", *options]) == 0
    assert is_harmless(read_output(capsys))


def test_grade_and_report_print_no_command(course, capsys):
    for name in make_names(12):
        folder = course / "submitted" / name / ASSIGNMENT
        folder.mkdir(parents=True)
        (folder / NOTEBOOK).write_text(make_notebook("x"))
    assert main(["grade", ASSIGNMENT, "--no-sandbox"]) == 0
    assert main(["grade", "\x1b[2J"]) == 1
    assert main(["report", "\x1b[2J"]) == 1
    said = read_output(capsys)
    assert is_harmless(said) and said.count("can't be graded") == 12
    with open_gradebook(course) as gradebook:
        assert len(gradebook.students) == 3 + 12  # none came from a folder


def test_doctor_prints_no_command(tmp_path):
    folder = tmp_path / "\x1b[2J\u202e"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[2] / "nbgrader_config.py", folder)
    (folder / "source" / "a").mkdir(parents=True)
    (folder / "source" / "a" / "a.ipynb").write_text(make_notebook("x"))
    result = run(folder, "courseai_helpers.cli", "doctor")
    assert "source" not in result.stdout.partition("Traceback")[2]
    assert r"\x1b[2J" in result.stdout and is_harmless(result.stdout)


def test_plain_nbgrader_logs_no_command(course):
    for name in make_names(4):
        folder = course / "submitted" / name / ASSIGNMENT
        folder.mkdir(parents=True)
        (folder / NOTEBOOK).write_text(make_notebook("x"))
        (folder / f"{name}.txt").touch()
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert "Copying" in result.stdout and r"\x1b]0;owned\x07" in result.stdout
    assert is_harmless(result.stdout)


def test_what_a_terminal_cannot_show_ends_no_command(course):
    Path("roster.csv").write_text("id,first_name\nx,李\n")
    environment = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(os, "environ", environment)
        result = run(course, "courseai_helpers.cli", "import", "roster", "roster.csv")
    assert result.returncode == 0 and "1 new" in result.stdout


def test_the_stream_may_be_of_any_kind():
    from courseai_helpers._common.printing import say

    stream = io.StringIO()
    say("a\x1b\nb", stream)
    assert stream.getvalue() == "a\\x1b\nb\n"
