"""Reads the settings that nbgrader would use in a course directory, for all commands.

They come from the site's and the user's folders (`/etc/jupyter`, `~/.jupyter` and more,
see `jupyter --paths`), in Jupyter's order, and from the course's own
`nbgrader_config.py`, which wins. Each of these files is a program: `courseai doctor`
looks at who may change them.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from nbgrader.api import Assignment, Gradebook, MissingEntry
from nbgrader.apps import NbGrader
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SAWarning

from courseai_helpers._common.errors import CourseError


def require_course(course: Path) -> None:
    """Returns if this is the top of a course directory.

    Raises:
        CourseError: if not.
    """
    if not (course / "nbgrader_config.py").is_file():
        raise CourseError(
            f"{course} has no nbgrader_config.py, so it is not the top of a course "
            "directory. Change to the directory that you cloned and try again."
        )


def list_assignments(course: Path) -> list[str]:
    """Returns the names of the assignments under source/.

    Raises:
        CourseError: if there are none, or if this is not the top of a course directory.
    """
    require_course(course)
    found = sorted({path.parent.name for path in course.glob("source/*/*.ipynb")})
    if not found:
        raise CourseError(
            f"{course / 'source'} holds no assignment. The bundle for students comes "
            "without it; instructors work in a clone of the whole repository."
        )
    return found


def read_settings(course: Path) -> NbGrader:
    """Returns an nbgrader application that has read the course's and the site's files.

    Args:
        course: The top of the course directory, which has to be the working directory:
            nbgrader looks for its settings there.

    Raises:
        CourseError: if it is not the top of a course directory, or if a file can't be
            read: without it, grades could go to another gradebook.
    """
    require_course(course)
    # nbgrader's own and harmless; a class would see them a thousand times.
    warnings.simplefilter("ignore", SAWarning)
    application = NbGrader(log_level=logging.WARNING)
    application.raise_config_file_errors = True
    try:
        application.initialize([], root=str(course))
    except Exception as error:  # the files are programs, which may raise anything
        raise CourseError(
            f"The settings can't be read ({type(error).__name__}: {error}). Correct "
            f"them. They are read from {course} and from these folders: "
            f"{', '.join(application.config_file_paths)}."
        ) from error
    return application


def open_gradebook(application: NbGrader, url: str = "") -> Gradebook:
    """Opens the course's gradebook, or the same one by another URL."""
    directory = application.coursedir
    return Gradebook(url or directory.db_url, directory.course_id)


def find_assignment(gradebook: Gradebook, assignment: str) -> Assignment:
    """Returns what the gradebook knows of an assignment.

    Raises:
        CourseError: if it knows nothing of it.
    """
    try:
        return gradebook.find_assignment(assignment)
    except MissingEntry:
        raise CourseError(
            f"The gradebook has no assignment {assignment!r}. `nbgrader "
            f"generate_assignment {assignment}` puts it there."
        ) from None


def has_gradebook(application: NbGrader) -> bool:
    """Tells whether there is a gradebook, without creating one."""
    url = make_url(application.coursedir.db_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def require_gradebook(application: NbGrader) -> None:
    """Makes sure that there is a gradebook.

    Raises:
        CourseError: if not.
    """
    if not has_gradebook(application):
        raise CourseError(
            f"There is no gradebook at {application.coursedir.db_url} yet. `nbgrader "
            "generate_assignment ASSIGNMENT` makes one."
        )


@contextlib.contextmanager
def explain_database(application: NbGrader) -> Iterator[None]:
    """Turns a database's error into a paragraph with the next step."""
    try:
        yield
    except DBAPIError as error:
        url = make_url(application.coursedir.db_url).render_as_string()  # no password
        reason = str(error.orig).strip().partition("\n")[0]
        raise CourseError(
            f"The gradebook at {url} can't be used ({reason}), and nothing in it was "
            "changed. If it is being graded into, wait until that is done; if not, "
            "`courseai doctor` looks what is wrong with it."
        ) from error
