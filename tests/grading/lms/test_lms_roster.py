"""`courseai import roster`: who is in the class, entered whole or not at all."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from lms_course import ASSIGNMENT, make_course, open_gradebook
from small_course import run

from courseai_helpers.cli.main import main

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lab (1)\n"
    ",,,,,Manual Posting\n"
    "    Points Possible,,,,,5\n"
    '"Müller, Ada",101,S1,ada@uni.example,Lab 1,3\n'
    '"Öztürk, Dee ""D""",104,S4,dee,"Lab 1, Lab 2",\n'
    '"=""=HYPERLINK(1)""",105,S5,eve,Lab 2,\n'
    '"Student, Test",999,,0123456789abcdef0123456789abcdef01234567,Lab 1,\n'
)
MOODLE = (
    "Identifier;Full name;Email address;Status;Grade;Last modified (submission)\n"
    "Participant 77;Ada Müller;ADA@example.org;Submitted;;Sunday, 1 November 2026\n"
    "Participant 78;Fay van Dyk;fay@example.org;No submission;;-\n"
)
OWN = "id,first_name,last_name,email,lms_user_id\nada,Ada,Lovelace,,\nguy,Guy,Poe,,\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_course(tmp_path_factory.mktemp("made") / "course")


@pytest.fixture
def course(made, tmp_path, monkeypatch) -> Path:
    """The working directory, with three students: ada, ben and cem."""
    course = shutil.copytree(made, tmp_path / "course")
    monkeypatch.chdir(course)
    return course


def import_roster(text: str, *options: str, encoding: str = "utf-8") -> int:
    Path("roster.csv").write_text(text, encoding=encoding, newline="")
    return main(["import", "roster", "roster.csv", *options])


def read_students(course: Path) -> dict[str, tuple]:
    with open_gradebook(course) as gradebook:
        return {
            s.id: (s.first_name, s.last_name, s.email, s.lms_user_id)
            for s in gradebook.students
        }


def test_canvas_adds_those_who_are_new_and_knows_the_others_by_their_id(course, capsys):
    before = read_students(course)
    assert import_roster(CANVAS) == 0
    after = read_students(course)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"dee", "eve"}
    assert after["dee"] == ('Dee "D"', "Öztürk", None, "104")
    assert after["eve"][1] == "=HYPERLINK(1)" and after["eve"][3] == "105"
    assert "2 new, 0 changed, 1 unchanged." in capsys.readouterr().out
    assert import_roster(CANVAS) == 0
    assert "0 new, 0 changed, 3 unchanged." in capsys.readouterr().out


def test_moodle_knows_students_by_their_address(course, capsys):
    assert import_roster(MOODLE) == 0
    students = read_students(course)
    assert students["ada"][2] == "ADA@example.org"
    assert students["fay@example.org"][:2] == ("Fay van", "Dyk")
    assert "1 new, 1 changed, 0 unchanged." in capsys.readouterr().out


def test_our_own_form_updates_and_an_empty_field_erases_nothing(course, capsys):
    assert import_roster(OWN) == 0
    students = read_students(course)
    assert students["ada"] == ("Ada", "Lovelace", "ada@example.org", "101")
    assert students["guy"][:2] == ("Guy", "Poe")
    out = capsys.readouterr().out
    assert "changed  ada: last_name 'Müller' -> 'Lovelace'" in out
    assert "new      guy: first_name 'Guy', last_name 'Poe'" in out


def test_a_dry_run_says_the_same_and_changes_nothing(course, capsys):
    before = (course / "gradebook.db").read_bytes()
    assert import_roster(CANVAS, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "2 new" in out and "nothing was changed" in out
    assert (course / "gradebook.db").read_bytes() == before
    (course / "gradebook.db").unlink()
    assert import_roster(CANVAS, "--dry-run") == 0
    assert "3 new" in capsys.readouterr().out
    assert not (course / "gradebook.db").exists()


def test_the_ids_can_come_from_another_column(course):
    assert import_roster(CANVAS, "--id-column", "SIS User ID") == 0
    assert {"S4", "S5"} <= read_students(course).keys()


def test_a_file_from_an_old_spreadsheet_is_read_as_well(course):
    assert import_roster(MOODLE.replace("Fay", "Zoë"), encoding="cp1252") == 0
    assert read_students(course)["fay@example.org"][0] == "Zoë van"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "zed,Z,Z,ben@example.org,\n", "ben@example.org belongs to ben and zed"),
        (OWN + "zed,Z,Z,,102\n", "Canvas id 102 belongs to ben and zed"),
        (OWN + "guy,Guy,Other,,\n", "guy is in the roster twice"),
        (
            "ID number,Username,Email address\n1,zed,ben@example.org\n"
            "2,zoe,BEN@example.org\n",
            "ben is in the roster twice",
        ),
    ],
)
def test_conflicts_are_named_and_nothing_is_written(course, capsys, text, message):
    before = (course / "gradebook.db").read_bytes()
    assert import_roster(text) == 1
    assert message in capsys.readouterr().err
    assert (course / "gradebook.db").read_bytes() == before


def test_a_student_who_seems_to_be_two_is_a_conflict(course, capsys):
    with open_gradebook(course) as gradebook:
        gradebook.update_or_create_student("cem", email="x@example.org")
    text = "Student,ID,SIS Login ID,Section\n"
    assert import_roster(text + '"Öz, Cem",103,cem,1\n') == 0
    rows = "Student,ID,SIS User ID,SIS Login ID,Section\n"
    assert import_roster(rows + '"Öz, Cem",103,,../cem,1\n') == 1
    assert "can't name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "roster.csv is empty"),
        ("Name,Points\nAda,3\n", [], "no roster that we know"),
        ("id,first_name\n", [], "has no student in it"),
        ("id,first_name\n,Ada\n", [], "Ada in roster.csv has no id"),
        ("id,first_name\n../x,Ada\n", [], "can't name a folder"),
        ("id,first_name\nx/y,Ada\n", [], "can't name a folder"),
        ("PK\0\0", [], "save it as CSV"),
        (OWN, ["--id-column=SIS"], "has no column 'SIS'"),
    ],
)
def test_a_roster_that_can_not_be_used_says_why(course, capsys, text, options, message):
    assert import_roster(text, *options) == 1
    assert message in capsys.readouterr().err


def test_what_fails_half_way_leaves_nothing_behind(course, monkeypatch, capsys):
    before = read_students(course)
    from nbgrader.api import Gradebook

    usual, calls = Gradebook.update_or_create_student, []

    def fail(self, *arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return usual(self, *arguments, **options)

    monkeypatch.setattr(Gradebook, "update_or_create_student", fail)
    assert import_roster(CANVAS) == 1 and len(calls) == 2
    assert "No space left" in capsys.readouterr().err
    assert read_students(course) == before


def test_a_gradebook_that_is_locked_or_broken_is_said_to_be_so(course, capsys):
    with sqlite3.connect(course / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        settings = course / "nbgrader_config.py"
        url = f"sqlite:///{course / 'gradebook.db'}?timeout=0"
        with settings.open("a") as file:
            file.write(f"c.CourseDirectory.db_url = {url!r}\n")
        assert import_roster(CANVAS) == 1
        assert "can't be used (database is locked)" in capsys.readouterr().err
        other.execute("ROLLBACK")
    (course / "gradebook.db").write_bytes(b"no database " * 1000)
    for command in (
        ["import", "roster", "roster.csv"],
        ["import", "submissions", "source", ASSIGNMENT],
        ["export", "canvas"],
    ):
        assert main(command) == 1
        assert "courseai doctor" in capsys.readouterr().err


def test_the_command_works_from_outside(course):
    Path("roster.csv").write_text(CANVAS)
    result = run(course, "courseai_helpers.cli", "import", "roster", "roster.csv")
    assert result.returncode == 0 and "2 new" in result.stdout, result.stdout
    Path("nbgrader_config.py").unlink()
    result = run(course, "courseai_helpers.cli", "import", "roster", "roster.csv")
    assert result.returncode == 1 and "not the top of a course" in result.stdout


def test_a_login_may_have_an_apostrophe(course):
    text = (
        "Student,ID,SIS User ID,SIS Login ID,Section\n"
        "\"O'Brien, Pat\",201,u1,pat.o'brien@example.edu,S1\n"
        '"Lee, Ann",202,u2,ann lee,S1\n'
    )
    assert import_roster(text) == 0
    assert {"pat.o'brien@example.edu", "ann lee"} <= read_students(course).keys()


@pytest.mark.parametrize("bad", ["../x", "x/y", "*", "a?b", " ", ".x", "-x", "a[b]"])
def test_an_id_that_nbgrader_would_not_find_is_refused(course, capsys, bad):
    assert import_roster(f'id,first_name\n"{bad}",Ada\n') == 1
    assert "can't name a folder" in capsys.readouterr().err or not bad.strip()


def test_an_lms_s_login_is_the_same_in_any_case(course, capsys):
    before = read_students(course).keys()
    text = "Student,ID,SIS Login ID,Section\n"
    assert import_roster(text + '"Müller, Ada",,ADA,1\n') == 0
    assert read_students(course).keys() == before


def test_an_id_that_differs_in_case_only_is_pointed_at(course, capsys):
    assert import_roster("id,first_name\nBen,Ben\n") == 0
    assert "Ben is a new student, although there is ben" in capsys.readouterr().out
