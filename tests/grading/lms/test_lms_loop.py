"""From a download to a file of grades, with nbgrader's own grading in between."""

import csv
import io

import kernels
import nbformat
from lms_course import open_gradebook
from small_course import ASSIGNMENT, SOLUTIONS, make_course, run
from test_lms_submissions import LATE, pack

pytestmark = kernels.needs_sandbox
ROSTER = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Small (7)\n"
    '"Ö, Ada",1,S1,ada,Lab,\n"B, Ben",2,S2,ben,Lab,\n"C, Cem",3,S3,cem,Lab,\n'
)


def test_late_work_is_graded_with_its_penalty_and_missing_work_is_left_out(tmp_path):
    course = make_course(tmp_path / "course")
    with (course / "nbgrader_config.py").open("a") as settings:
        settings.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    with open_gradebook(course) as gradebook:
        gradebook.update_or_create_assignment(ASSIGNMENT, duedate="2026-11-01 12:00")
    (course / "roster.csv").write_text(ROSTER)
    release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(release, as_version=4)
    for cell in notebook.cells:
        cell.source = SOLUTIONS.get(cell.id, cell.source)
    content = nbformat.writes(notebook)
    files = {"ada_1_8_small-2.ipynb": content, "bben_LATE_2_9_small.ipynb": content}
    (course / "all.zip").write_bytes(pack(files, LATE))
    for command in (
        ["courseai_helpers.cli", "import", "roster", "roster.csv"],
        ["courseai_helpers.cli", "import", "submissions", "all.zip", ASSIGNMENT],
        ["nbgrader", "autograde", ASSIGNMENT],
        ["courseai_helpers.cli", "export", "canvas", "--roster=roster.csv"],
    ):
        result = run(course, *command)
        assert result.returncode == 0, result.stdout
    text = (course / "grades.csv").read_text(encoding="utf-8")
    assert list(csv.reader(io.StringIO(text))) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Small (7)"],
        ["    Points Possible", "", "", "", "", "3"],
        ["Ö, Ada", "1", "S1", "ada", "Lab", "3"],
        ["B, Ben", "2", "S2", "ben", "Lab", "0"],
    ]
