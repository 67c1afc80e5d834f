"""Finds and reads the notebook in a submission's folder, for nbgrader's autograding."""

import os
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import parse_utc
from traitlets import default

from courseai_helpers._common.printing import make_printable
from courseai_helpers.grading.submissions.copies import (
    Copy,
    choose_copy,
    find_copies,
    is_notebook,
)
from courseai_helpers.grading.submissions.folders import (
    Contents,
    SubmissionError,
    select_beside,
    survey,
)
from courseai_helpers.grading.submissions.originals import Handout, read_handout
from courseai_helpers.grading.submissions.reading import NotebookError, read_notebook

NOTES = "courseai_notes"  # the key in nbconvert's resources


TIMESTAMP = "timestamp.txt"
LONGEST_TIME = 1000  # bytes; a longer file holds no time


class MissingNotebookError(SubmissionError):
    """Says that a notebook is not there at all."""


class SubmissionExporter(NotebookExporter):
    """Reads whatever students hand in, not only what Jupyter writes."""

    @default("optimistic_validation")
    def _validate_once(self) -> bool:
        """Returns that a notebook is looked at after all steps, not after each."""
        return True

    def from_filename(
        self, filename: str, resources: Any = None, **options: Any
    ) -> tuple[Any, ...]:
        """Takes the notebook of that name through nbgrader's steps, or a copy of it.

        Raises:
            SubmissionError: if there is none that can be read.
        """
        path, names = Path(filename), resources["nbgrader"]
        contents = survey(path.parent)
        ignored = CourseDirectory(config=self.config).ignore
        files, notes = select_beside(contents, ignored)
        self.remove_others(files, contents, names)
        copies = list_copies(path, contents, ignored, names)
        if not copies:
            raise MissingNotebookError(describe_missing(path, contents))
        chosen, note = copies[0], ""
        if len(copies) > 1:
            chosen, note = choose_copy(copies, self.read_handout(names))
        elif not chosen.named:
            note = f"{chosen.name} was taken: there is no {path.name}"
        try:
            notebook = read_notebook(chosen.path)
        except NotebookError as error:
            raise SubmissionError(f"{chosen.name} can't be read. {error}") from error
        if TIMESTAMP in files and read_time(path.parent) is None:
            notes.append(f"{TIMESTAMP} has no time in it, so it counts as in time.")
        resources[NOTES] = [f"{note}.", *notes] if note else notes
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        return self.from_notebook_node(notebook, resources, **options)

    def remove_others(
        self, files: dict[str, Any], contents: Contents, names: dict[str, Any]
    ) -> None:
        """Removes the files that nbgrader has copied without checking them."""
        place = self.parent._format_dest(  # type: ignore[union-attr]
            names["assignment"], names["student"]
        )
        for name in (contents.files | contents.left_out).keys() - files.keys():
            if not is_notebook(name):
                Path(place, name).unlink(missing_ok=True)

    def read_handout(self, names: dict[str, Any]) -> Handout:
        """Reads what students got."""
        with Gradebook(names["db_url"]) as gradebook:
            wanted = (names["notebook"], names["assignment"])
            return read_handout(gradebook, *wanted, self.config)


def list_copies(
    path: Path, contents: Contents, ignored: list[str], names: dict[str, Any]
) -> list[Copy]:
    """Returns the files that may be the notebook of this name."""
    with Gradebook(names["db_url"]) as gradebook:
        assignment = gradebook.find_assignment(names["assignment"])
        wanted = [notebook.name for notebook in assignment.notebooks]
    copies = [
        Copy(make_printable(name), found, named=found == path)
        for name, found in contents.files.items()
        if not any(fnmatch(p, i) for p in Path(name).parts for i in ignored)
    ]
    return find_copies(copies, path.stem, wanted, lambda copy: copy.path.name)


def describe_missing(path: Path, contents: Contents) -> str:
    """Says that there is no notebook, and what was found instead."""
    again = "Ask the student to submit it again."
    if reason := contents.left_out.get(path.name):
        return f"{path.name} {reason}. {again}"
    if path.is_dir():
        return f"{path.name} is a folder, not a notebook. {again}"
    others = ", ".join(
        sorted(make_printable(n) for n in contents.files if is_notebook(n))
    )
    there = f"; there is {others}" if others else ""
    return f"There is no notebook by the name of {path.name}{there}. {again}"


def read_time(folder: Path) -> datetime | None:
    """Returns when a submission was handed in, or None if that is not known."""
    path = folder / TIMESTAMP
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_TIME:
            return None
        return parse_utc(path.read_text(encoding="utf-8").strip())
    except (ArithmeticError, OSError, TypeError, ValueError):
        return None


def refuse_what_stops_nbgrader(
    assignment: str, student: str, notebooks: list[str]
) -> None:
    """Is called by plain `nbgrader autograde` before it copies a submission.

    nbgrader copies all files, and fails without a clear reason at one that can't be.

    Args:
        assignment: The assignment's name.
        student: The students' ids, as a pattern.
        notebooks: The paths of the submission's notebooks.

    Raises:
        SubmissionError: if the submission has a file that can't be copied or, as the
            time when it was handed in, something else.
    """
    folder = Path(notebooks[0]).parent
    for name, reason in survey(folder).left_out.items():
        path = folder / name
        if not path.is_dir() and not (path.is_file() and os.access(path, os.R_OK)):
            raise SubmissionError(
                f"{make_printable(name)} {reason}. Take it away, or grade with "
                "`courseai grade`, which leaves it out."
            )
    time = folder / TIMESTAMP
    if time.exists() and time.stat().st_size and read_time(folder) is None:
        raise SubmissionError(
            f"{TIMESTAMP} has no time in it. Take it away, or grade with `courseai "
            "grade`, which takes such work to be in time."
        )
