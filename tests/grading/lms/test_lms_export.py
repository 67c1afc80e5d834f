"""`courseai export`: grades as Canvas and Moodle import them."""

import csv
import shutil
from pathlib import Path

import pytest
from lms_course import ASSIGNMENT, add_student, give_points, make_course, open_gradebook
from small_course import run

from courseai_helpers.cli.main import main

IDENTITY = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Visualizing Features (9001),Total\r\n"
    "    Points Possible,,,,,5,(read only)\r\n"
    '"Müller, Ada",101,S1,ada@uni,"Lab 1, Monday",,0\r\n'
    '"O\'Neil, Jr., Ben",102,S2,ben@uni,Lab 2,,0\r\n'
    '"=""=1+1""",103,S3,cem@uni,Lab 2,,0\r\n'
    '"Student, Test",999,,0123456789012345678901234567890123456789,Lab 1,,0\r\n'
)
MOODLE = (
    "First name,Last name,ID number,Email address,Visualizing Features (Real)\n"
    "Ada,Müller,4711,ada@example.org,-\n"
    'Ben,"O\'Neil, Jr.",4712,BEN@example.org,-\n'
    "Cem,Öz,4713,cem@example.org,-\n"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Path:
    """A course with three students, one of them without a submission."""
    course = make_course(tmp_path_factory.mktemp("graded") / "course")
    give_points(course, "ada", 3, 1.5, extra=2, comment="=well done")
    give_points(course, "ben", 2, 1, penalty=0.5)
    (course / "canvas.csv").write_text(CANVAS, newline="")
    (course / "moodle.csv").write_text(MOODLE)
    return course


@pytest.fixture
def course(graded, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the working directory."""
    course = shutil.copytree(graded, tmp_path / "course")
    monkeypatch.chdir(course)
    return course


def read(path: str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_canvas_gets_its_columns_ids_and_possible_points(course, capsys):
    assert main(["export", "canvas", "--roster=canvas.csv", "-o", "out.csv"]) == 0
    assert read("out.csv") == [
        [*IDENTITY, "Visualizing Features (9001)"],
        ["    Points Possible", "", "", "", "", "5"],
        ["Müller, Ada", "101", "S1", "ada@uni", "Lab 1, Monday", "6.5"],
        ["O'Neil, Jr., Ben", "102", "S2", "ben@uni", "Lab 2", "2.5"],
    ]
    assert "Wrote the grades of 2 students to out.csv" in capsys.readouterr().out


def test_canvas_finds_students_by_the_gradebook_alone(course, capsys):
    assert main(["export", "canvas", ASSIGNMENT]) == 0
    assert read("grades.csv")[2] == ["Müller, Ada", "101", "", "", "", "6.5"]
    assert read("grades.csv")[0][-1] == ASSIGNMENT
    assert "The id in Canvas is not known of" in capsys.readouterr().out
    main(["export", "canvas", ASSIGNMENT, "--title", "Lab 3 (77)"])
    assert read("grades.csv")[0][-1] == "Lab 3 (77)"


def test_moodle_gets_one_column_to_find_users_by_and_one_of_grades(course, capsys):
    assert main(["export", "moodle", "--roster=moodle.csv", "--title=Lab 3"]) == 0
    assert read("grades.csv") == [
        ["ID number", "First name", "Last name", "Lab 3"],
        ["4711", "Ada", "Müller", "6.5"],
        ["4712", "Ben", "O'Neil, Jr.", "2.5"],
    ]
    assert "more than all points: ada" in capsys.readouterr().out
    assert main(["export", "moodle"]) == 0
    assert [row[0] for row in read("grades.csv")] == [
        "Email address",
        "ada@example.org",
        "ben@example.org",
    ]


def test_moodle_gets_comments_only_when_asked_and_never_as_a_formula(course):
    assert main(["export", "moodle", "--feedback"]) == 0
    header, ada, ben = read("grades.csv")
    assert header[-1] == f"{ASSIGNMENT} (feedback)"
    assert ada[-1] == "written: =well done" and ben[-1] == ""
    assert main(["export", "canvas", "--feedback"]) == 1


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ('=cmd|"/c"!A', """'=cmd|"/c"!A"""),
        ("x;=1", "x;'=1"),
        ("\uff1d1", "'\uff1d1"),
    ],
)
def test_no_name_becomes_a_formula(course, name, written):
    with open_gradebook(course) as gradebook:
        gradebook.update_or_create_student("ada", first_name="", last_name=name)
    for form, place in (("canvas", 0), ("moodle", 2)):
        assert main(["export", form]) == 0
        cells = {cell for row in read("grades.csv") for cell in row}
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells)
        assert written in {row[place] for row in read("grades.csv")}


def test_an_identifier_that_is_a_formula_is_refused(course, capsys):
    with open_gradebook(course) as gradebook:
        gradebook.update_or_create_student("ada", email="=ada@example.org")
    assert main(["export", "moodle"]) == 1
    assert "would run as a formula" in capsys.readouterr().err
    assert not Path("grades.csv").exists()


def test_who_has_not_submitted_is_left_out_unless_asked_for(course):
    main(["export", "canvas"])
    assert len(read("grades.csv")) == 4
    main(["export", "canvas", "--missing-as-zero"])
    assert read("grades.csv")[-1][1] == "103" and read("grades.csv")[-1][-1] == "0"


def test_a_penalty_never_takes_more_than_there_is(course):
    give_points(course, "cem", 1, 0, penalty=2)
    main(["export", "canvas"])
    assert read("grades.csv")[-1][-1] == "0"


def test_what_is_not_finally_graded_is_not_exported_unless_asked_for(course, capsys):
    give_points(course, "cem", 1, None)
    assert main(["export", "canvas"]) == 1
    error = capsys.readouterr().err
    assert "Not finally graded: cem (visualizing_features)" in error
    assert "--unfinished" in error and not Path("grades.csv").exists()
    assert main(["export", "canvas", "--unfinished"]) == 0
    assert "Their points so far were exported" in capsys.readouterr().out
    assert read("grades.csv")[-1][-1] == "1"


def test_students_that_the_lms_does_not_know_are_named(course, capsys):
    with open_gradebook(course) as gradebook:
        add_student(gradebook, "dee", "Dee", "Gone", "104")
    give_points(course, "dee", 1)
    assert main(["export", "moodle", "--roster=moodle.csv"]) == 0
    assert "moodle.csv does not have them: dee" in capsys.readouterr().out
    assert len(read("grades.csv")) == 3


def test_a_student_whom_the_lms_could_not_find_is_refused(course, capsys):
    with open_gradebook(course) as gradebook:
        gradebook.update_or_create_student("ada", lms_user_id="", email="")
    assert main(["export", "canvas"]) == 1
    assert "can't find ada" in capsys.readouterr().err
    assert main(["export", "moodle"]) == 1
    assert "none at all for ada" in capsys.readouterr().err


def test_several_assignments_have_a_column_each(course):
    with open_gradebook(course) as gradebook:
        gradebook.add_assignment("second")
        gradebook.add_notebook("second", "second")
    main(["export", "canvas"])
    assert read("grades.csv")[0][5:] == ["second", ASSIGNMENT]
    assert [row[5:] for row in read("grades.csv")[1:]] == [
        ["0", "5"],
        ["", "6.5"],
        ["", "2.5"],
    ]
    assert main(["export", "canvas", "--title=Both (1)"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unknown"], "no assignment 'unknown', only visualizing_features"),
        (["--roster=nowhere.csv"], "nowhere.csv can't be read"),
        (["--to=gradebook.db/grades.csv"], "Name another"),
        (["--roster=gradebook.db"], "is not a CSV file"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(course, capsys, arguments, message):
    assert main(["export", "canvas", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_looking_for_grades_makes_no_gradebook(course, capsys):
    Path("gradebook.db").unlink()
    assert main(["export", "canvas"]) == 1
    assert "There is no gradebook" in capsys.readouterr().err
    assert not Path("gradebook.db").exists()


def test_plain_nbgrader_exports_with_the_same_classes(course):
    place = "courseai_helpers.grading.lms.exporters"
    options = ["export", f"--exporter={place}.CanvasExporter", "--to=plain.csv"]
    result = run(course, "nbgrader", *options, "--CanvasExporter.roster=canvas.csv")
    assert result.returncode == 0, result.stdout
    assert main(["export", "canvas", "--roster=canvas.csv"]) == 0
    assert read("plain.csv") == read("grades.csv")
    give_points(course, "cem", 1, None)
    options[1] = f"--exporter={place}.MoodleExporter"
    result = run(course, "nbgrader", *options)
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "--MoodleExporter.unfinished=True" in result.stdout


def test_the_command_works_from_outside(course):
    result = run(course, "courseai_helpers.cli", "export", "canvas")
    assert result.returncode == 0, result.stdout
    assert len(read("grades.csv")) == 4
