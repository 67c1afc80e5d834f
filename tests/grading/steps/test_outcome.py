"""Scores are saved as nbgrader saves them."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry
from nbgrader.preprocessors import SaveAutoGrades
from small_course import ASSIGNMENT, make_course

from courseai_helpers.grading.steps.outcome import SaveScores


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course with a written answer, and a submission in its gradebook."""
    marks = {
        "schema_version": 3,
        "grade_id": "written",
        "solution": True,
        "grade": True,
        "locked": False,
        "task": False,
        "points": 2,
    }
    written = new_markdown_cell("Why?", id="written", metadata={"nbgrader": marks})
    course = make_course(tmp_path_factory.mktemp("outcome") / "course", written)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission(ASSIGNMENT, "ada")
        grade = gradebook.find_grade("test_triple", ASSIGNMENT, ASSIGNMENT, "ada")
        grade.manual_score = 0.5  # a person was here before
        gradebook.db.commit()
    return course


def save(step: type, course: Path, folder: Path, *, answered: bool) -> list[tuple]:
    """Saves the scores of a submission to a copy; returns all that it then says."""
    path = shutil.copy(course / "gradebook.db", folder / f"{step.__name__}.db")
    release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(release, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["test_double_text"].outputs = [new_output("error", ename="E", evalue="")]
    if answered:
        cells["written"].source = cells["double"].source = "1"
    names = {"notebook": ASSIGNMENT, "assignment": ASSIGNMENT, "student": "ada"}
    resources = {"nbgrader": names | {"db_url": f"sqlite:///{path}"}}
    step()(notebook, resources)
    with Gradebook(f"sqlite:///{path}") as gradebook:
        return sorted(
            [
                (g.name, g.auto_score, g.manual_score, g.needs_manual_grade)
                for g in gradebook.db.query(Grade)
            ]
            + [(c.name, c.auto_comment) for c in gradebook.db.query(Comment)],
            key=repr,
        )


@pytest.mark.parametrize("answered", [True, False])
def test_all_is_saved_that_nbgrader_s_own_step_saves(course, tmp_path, answered):
    wanted = save(SaveAutoGrades, course, tmp_path, answered=answered)
    assert save(SaveScores, course, tmp_path, answered=answered) == wanted
    found = {row[0]: row[1:] for row in wanted if len(row) == 4}
    assert found["test_double_one"] == (1, None, False)
    assert found["test_double_text"] == (0, None, False)
    assert found["test_triple"] == (1, 0.5, True)
    assert found["written"] == ((None, None, True) if answered else (0, None, False))


def test_a_cell_that_the_gradebook_does_not_know_is_an_error(course, tmp_path):
    class Renaming(SaveScores):
        def preprocess_cell(self, cell, resources, index):
            cell.metadata.setdefault("nbgrader", {})["grade_id"] = "other"
            return super().preprocess_cell(cell, resources, index)

    with pytest.raises(MissingEntry, match="no cell 'other'"):
        save(Renaming, course, tmp_path, answered=True)
