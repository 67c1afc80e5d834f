"""Checks before a class that a machine has what an instructor needs."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from nbgrader.apps import NbGrader
from nbgrader.exchange import ExchangeFactory
from nbgrader.exchange.default import Exchange

import courseai_helpers
from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.settings import (
    has_gradebook,
    list_assignments,
    read_settings,
)
from courseai_helpers.grading.machine.permissions import (
    EXCHANGE_MODE,
    check_privacy,
    check_shared_folder,
)
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError, find_bubblewrap
from courseai_helpers.grading.sandbox.trial import require_sandbox
from courseai_helpers.machine.doctor import (
    Check,
    Finding,
    check_extension,
    check_packages,
    check_server_extensions,
    list_student_checks,
)

# The settings that enable the Formgrader's guard, and where a server looks for them.
GUARD = "deploy/jupyterhub/settings/grader/jupyter_server_config.json"
ENABLED = "etc/jupyter/jupyter_server_config.d/courseai.json"
SECONDS = 10  # for a database to answer


def list_instructor_checks(course: Path) -> list[Check]:
    """Returns the checks of what an instructor needs, the student's part among them."""
    return [
        *list_student_checks(),
        lambda: check_packages("instructor"),
        lambda: check_server_extensions(["formgrader", "course_list"]),
        check_guard,
        check_sandbox,
        lambda: check_course(course),
    ]


def check_guard() -> Iterator[Finding]:
    """Checks that links sent by others can't act in the Formgrader."""
    extension = "courseai_helpers.grading.sanitize.formgrader"
    found = check_extension("server extension", extension, "server guard")
    if found.state != "ok":
        text = "links that others send you can act in the Formgrader"
        clone, place = Path(courseai_helpers.__file__).parents[1], Path(sys.prefix)
        fix = shlex.join(["cp", str(clone / GUARD), str(place / ENABLED)])
        found = Finding(found.subject, "warning", text, fix)
    yield found


def check_sandbox() -> Iterator[Finding]:
    """Checks that student code can be run, away from everything else."""
    try:
        require_sandbox()
    except SandboxError as error:
        yield Finding("sandbox", "problem", error.reason, error.fix)
    else:
        text = f"a kernel in it says hello, with torch; {find_bubblewrap()}"
        yield Finding("sandbox", "ok", text)


def check_course(course: Path) -> Iterator[Finding]:
    """Checks the course directory, and what its settings name."""
    try:
        list_assignments(course)
    except CourseError as error:
        fix = "change to the directory that you cloned"
        yield Finding("course", "problem", str(error).partition(". ")[0], fix)
        return
    yield Finding("course", "ok", str(course))
    try:
        application = read_settings(course)
    except CourseError as error:
        reason, _, fix = str(error).partition(". ")
        yield Finding("settings", "problem", reason, fix.removesuffix("."))
        return
    yield from check_exchange(application)
    yield check_gradebook(application)
    yield from check_privacy(application)


def check_exchange(application: NbGrader) -> Iterator[Finding]:
    """Checks that the exchange is there, and open to those who use it."""
    kind = ExchangeFactory(parent=application).exchange
    if not issubclass(kind, Exchange):
        yield Finding("exchange", "ok", f"{kind.__module__}, which was not asked")
        return
    exchange = Exchange(coursedir=application.coursedir, parent=application)
    root = Path(exchange.root)
    fix = f"sudo install -d -m {EXCHANGE_MODE:o} {shlex.quote(str(root))}"
    if not root.is_dir():
        text = f"there is no {root}; without it, exchange files through an LMS"
        yield Finding("exchange", "warning", text, fix)
    elif not os.access(root, os.W_OK | os.X_OK):
        yield Finding("exchange", "problem", f"you can't write to {root}", fix)
    else:
        yield from check_shared_folder(exchange, application.coursedir.groupshared)


def check_gradebook(application: NbGrader) -> Finding:
    """Checks that the gradebook can be reached, without making or changing it."""
    url = sqlalchemy.engine.make_url(application.coursedir.db_url)
    shown = url.render_as_string()  # without the password
    if not has_gradebook(application):
        fix = "nbgrader generate_assignment visualizing_features --force"
        return Finding("gradebook", "warning", f"there is none yet, {shown}", fix)
    options = {} if url.get_backend_name() == "sqlite" else {"connect_timeout": SECONDS}
    try:
        engine = sqlalchemy.create_engine(url, connect_args=options)
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
    except (sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        fix = "start the database, and check CourseDirectory.db_url in your settings"
        if url.get_backend_name() == "sqlite":
            fix = "put a copy from your backup in its place"
        return Finding("gradebook", "problem", f"{shown}: {reason}", fix)
    if url.get_backend_name() == "sqlite" and not os.access(str(url.database), os.W_OK):
        fix = f"sudo chown $USER {url.database}"
        return Finding("gradebook", "problem", f"{shown} can't be written", fix)
    if "student" not in tables:
        fix = "nbgrader generate_assignment visualizing_features --force"
        return Finding("gradebook", "warning", f"{shown} is empty", fix)
    return Finding("gradebook", "ok", shown)
