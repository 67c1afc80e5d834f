"""Runs nbgrader's autograding in three steps: sanitise, execute, record.

The first and the last, which are here, use the gradebook and happen where it is; the
one between needs nothing but the submission, and can happen anywhere.
"""

import glob
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import find_all_files
from traitlets.utils.importstring import import_item

from courseai_helpers.grading.course import CourseError
from courseai_helpers.grading.execute import SandboxedExecute
from courseai_helpers.grading.executing import Submission
from courseai_helpers.grading.harmless import HarmlessNotebook
from courseai_helpers.grading.repair import SubmissionError, refuse_odd_files
from courseai_helpers.grading.sandbox import Limits

STEP = ".grading"  # the folder where a graded submission waits for its place
MAX_FILES = Limits.disk  # bytes
# The steps without which nothing is graded, and what would happen then.
REQUIRED = {
    SandboxedExecute: "student code would run without a sandbox",
    HarmlessNotebook: "student code would run in the browser of who looks at it",
}


class StagedAutograde(Autograde):
    """nbgrader's autograding of one submission at a time, step by step."""

    def __init__(self, coursedir: CourseDirectory, **options):
        super().__init__(coursedir=coursedir, **options)
        self.assignment = coursedir.assignment_id
        self.exporter = self.exporter_class(parent=self, config=self.config)
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
        place = r"(?P<student>[^/]*)"
        pattern = self._format_source(self.assignment, place, escape=True)
        folders = sorted(glob.glob(self._format_source(self.assignment, "*")))
        found = {re.fullmatch(pattern, name)["student"]: Path(name) for name in folders}
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
            try:
                gradebook.find_assignment(self.assignment)
            except MissingEntry:
                raise CourseError(
                    f"The gradebook has no assignment {self.assignment!r}. "
                    f"`nbgrader generate_assignment {self.assignment}` puts it there."
                ) from None

    def sanitise(self, student: str) -> Submission:
        """Returns a submission as it is to be executed.

        Raises:
            SubmissionError: if it is none.
        """
        folder = self.find(student)
        files = self.collect_files(folder)
        self.exporter._preprocessors = []
        for step in self.first_steps:
            self.exporter.register_preprocessor(step)
        notebooks = {}
        for path in self.list_notebooks(folder):
            resources = self.init_single_notebook_resources(str(path))
            try:
                content, _ = self.exporter.from_filename(str(path), resources=resources)
            except SubmissionError:
                raise
            except Exception as error:  # nbformat, JSON, nbgrader: each has its own
                reason = f"{type(error).__name__}: {error}"
                raise SubmissionError(f"{path.name} can't be read: {reason}") from error
            notebooks[path.stem] = content
        return Submission(student, notebooks, files)

    def list_notebooks(self, folder: Path) -> list[Path]:
        """Returns the submitted notebooks that belong to the assignment."""
        with self.open_gradebook() as gradebook:
            assignment = gradebook.find_assignment(self.assignment)
            wanted = [notebook.name for notebook in assignment.notebooks]
        paths = [folder / f"{name}.ipynb" for name in wanted]
        found = [path for path in paths if path.is_file()]
        if not found:
            names = ", ".join(path.name for path in paths)
            raise SubmissionError(f"There is no notebook by the name of {names}.")
        return found

    def open_gradebook(self) -> Gradebook:
        """Opens the gradebook with nbgrader's own class."""
        return Gradebook(self.coursedir.db_url, self.coursedir.course_id)

    def collect_files(self, folder: Path) -> dict[str, bytes]:
        """Reads what a kernel gets to see beside the notebook.

        Raises:
            SubmissionError: if a file must not be read, or if it is too much.
        """
        refuse_odd_files(folder)
        ignored = [*self.coursedir.ignore, "*.ipynb"]
        source = Path(
            self.coursedir.format_path(
                self.coursedir.source_directory, ".", self.assignment
            )
        )
        paths = {
            str(Path(name).relative_to(root)): Path(name)
            for root in (folder, source)  # the instructor's come last and win
            for name in find_all_files(str(root), ignored)
        }
        if sum(path.stat().st_size for path in paths.values()) > MAX_FILES:
            raise SubmissionError(f"Its files have more than {MAX_FILES} bytes.")
        return {name: path.read_bytes() for name, path in paths.items()}

    def record(self, submission: Submission, db_url: str) -> Path:
        """Writes an executed submission's scores to the gradebook, its files to STEP.

        Args:
            submission: What `execute` returned.
            db_url: The gradebook's URL.

        Returns:
            The folder to put in the place of the autograded submission.
        """
        student, assignment = submission.student, self.assignment
        folder = self.find(student)
        usual_url, self.coursedir.db_url = self.coursedir.db_url, db_url
        try:
            staged = Path(self._format_dest(assignment, student))
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            self.notebooks = [str(folder / f"{n}.ipynb") for n in submission.notebooks]
            self.init_assignment(assignment, student)
            for path in self.notebooks:
                self.record_notebook(path, submission, staged)
            self.set_permissions(assignment, student)
        finally:
            self.coursedir.db_url = usual_url
        return staged

    def record_notebook(self, path: str, submission: Submission, staged: Path) -> None:
        """Takes one executed notebook through the last of nbgrader's steps."""
        resources = self.init_single_notebook_resources(path)
        name = resources["unique_key"]
        notebook = nbformat.reads(submission.notebooks[name], as_version=4)
        for step in self.last_steps:
            notebook, resources = step(parent=self)(notebook, resources)
        nbformat.write(notebook, staged / f"{name}.ipynb")


def compute_fingerprint(folder: Path) -> str:
    """Returns a hash of all that a student submitted, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = b"" if path.is_symlink() else path.read_bytes()
        name = str(path.relative_to(folder))
        digest.update(json.dumps([name, len(content)]).encode() + content)
    return digest.hexdigest()


def put_in_place(staged: Path, destination: Path) -> None:
    """Moves a folder to where an older version may be."""
    old = staged.with_name(f"{staged.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        os.rename(destination, old)
    os.rename(staged, destination)
    shutil.rmtree(old, ignore_errors=True)
