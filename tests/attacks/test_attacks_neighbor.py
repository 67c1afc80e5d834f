"""What another user of the machine gets while somebody grades: nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import kernels
import nbformat
import pytest
from conftest import copy_course, drop_figures, needs_root
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook
from neighbor import HEADER, MARKER, NAME, be_neighbor, plant, watch
from small_course import ASSIGNMENT, SOLUTIONS, make_course, submit

pytestmark = [
    kernels.needs_sandbox,
    needs_root,
]

COURSEAI = ["-m", "courseai_helpers.cli"]
NBGRADER = ["-m", "nbgrader"]
INSTRUCTOR = str(Path(__file__).parents[1] / "instructor_at_work.py")
COMMANDS = {
    "roster": [*COURSEAI, "import", "roster", "roster.csv"],
    "import": [*COURSEAI, "import", "submissions", "download.zip", ASSIGNMENT],
    "grade": [*COURSEAI, "grade", ASSIGNMENT, "--jobs=2", "--force"],
    "autograde": [*NBGRADER, "autograde", ASSIGNMENT, "--student=ben", "--force"],
    "Formgrader": [INSTRUCTOR, ASSIGNMENT, "ada"],
    "report": [*COURSEAI, "report", ASSIGNMENT],
    "export": [*COURSEAI, "export", "moodle", ASSIGNMENT, "--roster=roster.csv"],
    "feedback": [*NBGRADER, "generate_feedback", ASSIGNMENT, "--force"],
    "solution": [*NBGRADER, "generate_solution", "loud", "--force"],
}
# The server needs a port, and admits only those with its key. A kernel without a
# sandbox, which runs no student's code, has five, where all is encrypted, and one where
# its own processes may print, which know a secret.
PORTS = {"Formgrader": 1, "solution": 6}
LESSON = "source/visualizing_features/visualizing_features.ipynb"
LOUD = f"import time\nfor _ in range(40):\n    print('{MARKER.decode()}', flush=True)\n"


@dataclass
class Machine:
    """A machine's shared places, and a course on it.

    Attributes:
        course: The course, which its instructor has closed to others.
        shared: What stands for /tmp.
        home: The instructor's home, which others may enter.
        loot: Where planted files note that they were run.
    """

    course: Path
    shared: Path
    home: Path
    loot: Path

    @property
    def environment(self) -> dict[str, str]:
        """The instructor's environment."""
        own = {"HOME": self.home, "TMPDIR": self.shared}
        own |= {"JUPYTER_TOKEN": MARKER.decode()}
        return dict(os.environ) | {name: str(value) for name, value in own.items()}


@pytest.fixture(scope="module")
def machine():
    """The machine, with a neighbor's planted files."""
    folder = Path(tempfile.mkdtemp(prefix="courseai-neighbor-", dir="/var/tmp"))
    folder.chmod(0o755)
    subprocess.run(["useradd", "--no-create-home", NAME], check=True)
    try:
        shared, home, loot = (folder / name for name in ("tmp", "home", "loot"))
        for path, mode in ((shared, 0o1777), (home, 0o755), (loot, 0o1777)):
            path.mkdir()
            path.chmod(mode)
        be_neighbor(plant, str(shared), str(loot))
        yield Machine(fill(make_course(folder / "course")), shared, home, loot)
    finally:
        subprocess.run(["userdel", "--force", NAME], check=False)
        shutil.rmtree(folder)


def fill(course: Path) -> Path:
    """Puts secrets into a course, and closes it as the guide says."""
    marker = MARKER.decode()
    for student in ("ada", "ben"):
        submit(course, student, double=f"{SOLUTIONS['double']}\n# {marker}")
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.add_student("cem", first_name=marker)
        gradebook.add_assignment("loud")
        gradebook.add_student("dia", first_name="Dia", last_name="D", lms_user_id="7")
    people = "".join(
        f"{name},{name.title()},{marker},{name}@example.org,{place}\n"
        for place, name in enumerate(("ada", "ben", "cem", "eve"))
    )
    head = "id,first_name,last_name,email,lms_user_id\n"
    (course / "roster.csv").write_text(head + people)
    with zipfile.ZipFile(course / "download.zip", "w") as archive:
        notebook = course / "submitted" / "ada" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        archive.write(notebook, f"ddia_7_9001_{ASSIGNMENT}.ipynb")
    path = course / "source" / "loud" / "loud.ipynb"
    path.parent.mkdir()
    wait = LOUD + "    time.sleep(0.2)"
    nbformat.write(new_notebook(cells=[new_code_cell(wait)]), path)
    course.chmod(0o700)
    return course


def attack(machine: Machine, *arguments: str):
    """Runs Python, watched by the neighbor; returns what that found."""
    command = [sys.executable, *arguments]
    folders = [machine.shared, machine.home, machine.course, "/dev/shm"]
    said, findings = watch(
        command, machine.course, machine.environment, list(map(str, folders))
    )
    findings.ran.update(path.name for path in machine.loot.iterdir())
    return said, findings


def check(machine: Machine, commands: dict[str, list[str]]) -> str:
    """Runs commands; the neighbor may gain nothing during any of them.

    Returns:
        A table of what it got.
    """
    rows, got = [HEADER], {}
    for name, command in commands.items():
        said, found = attack(machine, *command)
        assert "rror" not in said and "Traceback" not in said, said
        ports = PORTS.get(name, 0)
        rows.append(found.describe(name, ports))
        got |= {name: found} if any(found.list_kinds(ports)) else {}
    assert not got, got
    return "\n".join(rows)


def test_a_neighbor_gets_nothing(machine, show_table):
    show_table(check(machine, COMMANDS))
    graded = {path.name for path in (machine.course / "autograded").iterdir()}
    assert MARKER in (machine.course / "grades.csv").read_bytes()  # the roster, too
    assert graded == {"ada", "ben", "dia"}


@pytest.mark.long  # it grades as the class above is graded
def test_a_neighbor_of_the_demonstration_gets_nothing(machine, root, show_table):
    course = machine.course / "lesson"
    course.mkdir()
    drop_figures(copy_course(root, course) / LESSON)
    show_table(check(replace(machine, course=course), {"demo": [*COURSEAI, "demo"]}))
    assert (course / "demo" / "feedback").is_dir()


def test_the_neighbor_would_find_what_is_there(machine):
    secret = machine.shared / "secret.txt"
    secret.write_bytes(MARKER)
    planted = str(machine.shared / "dask-scratch-space")
    code = (
        "import http.server, socket, sys, threading, time\n"
        "here = ('127.0.0.1', 0)\n"
        "page = http.server.SimpleHTTPRequestHandler\n"
        "page.do_GET = lambda self: self.send_response(200) or self.end_headers()\n"
        "server = http.server.HTTPServer(here, page)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        f"sys.path.insert(0, {planted!r})\n"
        "import nbformat\n"
        "time.sleep(4)"
    )
    try:
        said, found = watch(
            [sys.executable, "-c", code, MARKER.decode()],
            machine.course,
            machine.environment,
            [str(machine.shared)],
        )
        assert found.sockets and found.files == {str(secret)} and found.arguments, said
        assert found.heard, said
        assert "dask-scratch-space-nbformat.py" in os.listdir(machine.loot)
    finally:
        secret.unlink()
        for path in machine.loot.iterdir():
            path.unlink()
