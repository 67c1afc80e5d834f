"""Runs nbgrader's autograding in three steps: sanitize, execute, record.

The first and the last, which are here, use the gradebook and happen where it is; the
step between needs only the submission, and can happen anywhere.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import sqlalchemy
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files
from traitlets.utils.importstring import import_item

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.cluster.execution import Executed, Submission
from courseai_helpers.grading.gradebook.settings import find_assignment
from courseai_helpers.grading.sanitize.notebook import HarmlessNotebook
from courseai_helpers.grading.steps.execute import SandboxedExecute
from courseai_helpers.grading.submissions.folders import (
    SubmissionError,
    select_beside,
    survey,
)
from courseai_helpers.grading.submissions.notebook import (
    MissingNotebookError,
    SubmissionExporter,
    read_time,
)

STEP = ".grading"  # the folder where a graded submission waits for its place


# The steps that grading can't do without, and what would happen without them.
REQUIRED = {
    SandboxedExecute: "student code would run without a sandbox",
    HarmlessNotebook: "student code would run in the browser of who looks at it",
}


class LenientCourseDirectory(CourseDirectory):
    """Treats a file without a time in it as missing: students write it."""

    def get_existing_timestamp(self, dest_path: str) -> datetime | None:
        """Returns when a submission was handed in, None if that is not known."""
        return read_time(Path(dest_path))


class StagedAutograde(Autograde):
    """nbgrader's autograding of one submission at a time, step by step."""

    def __init__(self, coursedir: CourseDirectory, **options: Any):
        super().__init__(coursedir=coursedir, **options)
        self.assignment = coursedir.assignment_id
        self.exporter = SubmissionExporter(parent=self, config=self.config)
        names = self.autograde_preprocessors
        steps = [import_item(name) if isinstance(name, str) else name for name in names]
        for step, harm in REQUIRED.items():
            if step not in steps:
                raise CourseError(
                    f"nbgrader_config.py does not name {step.__module__}."
                    f"{step.__name__} among c.Autograde.autograde_preprocessors, so "
                    f"that {harm}. Take that line from the course's own "
                    "nbgrader_config.py."
                )
        place = steps.index(SandboxedExecute)
        self.first_steps = [*self.sanitize_preprocessors, *steps[:place]]
        self.last_steps = steps[place + 1 :]

    @property
    def _output_directory(self) -> str:
        return STEP

    def find(self, student: str) -> Path:
        """Returns the folder of a student's submission."""
        return Path(self._format_source(self.assignment, student))

    def find_destination(self, student: str) -> Path:
        """Returns the folder where nbgrader looks for it when it is graded."""
        step, assignment = self.coursedir.autograded_directory, self.assignment
        return Path(self.coursedir.format_path(step, student, assignment))

    def list_submissions(self) -> dict[str, Path]:
        """Returns the folders of all submissions, by the students' ids.

        Raises:
            CourseError: if there are none.
        """
        above, _, below = self._format_source(self.assignment, "*").rpartition("*")
        names = sorted(os.listdir(above)) if os.path.isdir(above) else []
        found = {
            name: Path(above + name + below)
            for name in names
            if not name.startswith(".") and may_exist(above + name, below)
        }
        if not found:
            raise CourseError(
                f"There are no submissions of {self.assignment} in {self.find('*')}. "
                "`nbgrader collect` fetches them; or put them there yourself."
            )
        return found

    def require_assignment(self) -> None:
        """Makes sure that the gradebook knows the assignment.

        Raises:
            CourseError: if not.
        """
        with self.open_gradebook() as gradebook:
            find_assignment(gradebook, self.assignment)

    @contextlib.contextmanager
    def using(self, db_url: str) -> Iterator[None]:
        """Lets all steps open the gradebook by another URL, as of a transaction."""
        usual, self.coursedir.db_url = self.coursedir.db_url, db_url
        try:
            yield
        finally:
            self.coursedir.db_url = usual

    def sanitize(self, student: str) -> Submission:
        """Returns a submission as it is to be executed.

        Raises:
            SubmissionError: if it can't be graded.
        """
        missing = SubmissionError("The assignment has no notebook.")
        folder = self.find(student)
        files = self.collect_files(folder)
        self.exporter._preprocessors = []
        for step in self.first_steps:
            self.exporter.register_preprocessor(step)
        notebooks = {}
        for name in self.list_notebooks():
            path = str(folder / f"{name}.ipynb")
            resources = self.init_single_notebook_resources(path)
            try:
                content, _ = self.exporter.from_filename(path, resources=resources)
            except MissingNotebookError as error:
                missing = error
            except (CourseError, sqlalchemy.exc.SQLAlchemyError):
                raise
            except Exception as error:  # nbgrader's steps and ours: each has its own
                reason = f"{type(error).__name__}: {error}"
                raise SubmissionError(
                    f"{name}.ipynb can't be read: {reason}"
                ) from error
            else:
                notebooks[name] = content
        if not notebooks:
            raise missing
        return Submission(student, notebooks, files)

    def list_notebooks(self) -> list[str]:
        """Returns the names of the assignment's notebooks."""
        with self.open_gradebook() as gradebook:
            assignment = gradebook.find_assignment(self.assignment)
            return [notebook.name for notebook in assignment.notebooks]

    def open_gradebook(self) -> Gradebook:
        """Opens the gradebook with nbgrader's class."""
        return Gradebook(self.coursedir.db_url, self.coursedir.course_id)

    def collect_files(self, folder: Path) -> dict[str, bytes]:
        """Reads what a kernel gets to see beside the notebook.

        Raises:
            SubmissionError: if the folder or a file can't be read.
        """
        ignored = self.coursedir.ignore
        paths, _ = select_beside(survey(folder), ignored)
        source = self.coursedir.format_path(
            self.coursedir.source_directory, ".", self.assignment
        )
        theirs = self.exclude_overwriting.get(self.assignment, [])
        for path in find_all_files(source, [*ignored, "*.ipynb"]):
            if (name := os.path.relpath(path, source)) not in theirs:
                paths[name] = Path(path)  # the instructor's files win
        try:
            return {name: path.read_bytes() for name, path in paths.items()}
        except OSError as error:
            raise SubmissionError(
                f"{error.filename} can't be read ({error.strerror}). Grade again."
            ) from error

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Does what nbgrader does, but copies only what a kernel gets to see."""
        usual, self.coursedir.ignore = self.coursedir.ignore, ["*"]
        try:
            super().init_assignment(assignment_id, student_id)
        finally:
            self.coursedir.ignore = usual
        staged = Path(self._format_dest(assignment_id, student_id))
        for name, content in self.collect_files(self.find(student_id)).items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(content)

    def record(self, submission: Executed) -> Path:
        """Writes an executed submission's scores to the gradebook, its files to STEP.

        Args:
            submission: What came back.

        Returns:
            The folder to put in the place of the autograded submission.
        """
        student, assignment = submission.student, self.assignment
        folder = self.find(student)
        staged = Path(self._format_dest(assignment, student))
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        self.notebooks = [str(folder / f"{n}.ipynb") for n in submission.notebooks]
        self.init_assignment(assignment, student)
        for path in self.notebooks:
            self.record_notebook(path, submission, staged)
        self.set_permissions(assignment, student)
        return staged

    def record_notebook(self, path: str, submission: Executed, staged: Path) -> None:
        """Takes one executed notebook through the last of nbgrader's steps."""
        resources = self.init_single_notebook_resources(path)
        name = resources["unique_key"]
        notebook = submission.notebooks[name]
        for step in self.last_steps:
            notebook, resources = step(parent=self)(notebook, resources)
        nbformat.write(notebook, staged / f"{name}.ipynb")


def may_exist(folder: str, below: str) -> bool:
    """Tells whether a student's folder has a submission, or can't be searched for one.

    Args:
        folder: The student's folder.
        below: The rest of the submission's path.
    """
    try:
        os.lstat(folder + below)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.islink(folder) and not os.path.exists(folder)
    except OSError:  # no right to look, or a network that is gone
        return True
    return True
