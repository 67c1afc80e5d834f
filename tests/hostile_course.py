"""A course that is attacked: its secrets, its attackers and its honest students.

The attacks are in `submissions/hostile/`, an attack to a cell:

    # %% what it does: what must hold

and then the code that stands in the answer cell of `heat_inside`. Those that need more
than that are functions, in `notebooks.py` there. `marker-of-...` stands in everything
that students must not see, and `/srv/course` for the folder of the course.
"""

import contextlib
import ctypes
import importlib.util
import inspect
import json
import os
import re
import secrets
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from bank import NOTEBOOK, read_cells
from conftest import ASSIGNMENT
from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = ROOT / "tests" / "submissions" / "hostile"
KINDS = ("confidentiality", "integrity", "availability", "feedback")
HEADER = re.compile(r"^# %% (.+?): (.+)$", re.MULTILINE)
ATTACKED = "heat_inside"
CELLS = re.compile(r"setup_imports|(test_)?(heat_inside|normalize_filters)")
WRONG = "def heat_inside(cam, box):\n    return 0.5"
DESERVED = 2.0  # for normalize_filters, which the attackers solve
SETTINGS = """
c.SandboxedExecute.timeout = 6
c.SandboxedExecute.iopub_timeout = 4
c.SandboxProvisioner.memory = 2**29
c.Exchange.root = "/nonexistent"
"""
HONEST = {
    "right": (None, 1.0),
    "wrong": (
        "def heat_inside(cam, box):\n"
        "    left, top, right, bottom = box\n"
        "    return float(cam[top:bottom, left:right].sum() / max(cam.sum(), 1e-9)) "
        "if cam.any() else 1.0",
        0.5,
    ),
    "marked": (None, 1.0),
}


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        kind: Its target, which is the name of its file.
        title: What it does.
        holds: What must hold.
        code: What stands in the answer cell.
        edit: Edits the notebook (JSON) and the folder of the submission.
    """

    kind: str
    title: str
    holds: str
    code: str = WRONG
    edit: Callable[[dict, Path], None] | None = None

    @property
    def student(self) -> str:
        """The id of the student who attacks."""
        return re.sub(r"\W+", "-", f"{self.kind[:5]}-{self.title.lower()}")[:60]

    def __str__(self) -> str:
        return self.student


def read_attacks(always: Collection[str]) -> list[Attack]:
    """Reads the attacks that the environment names, or else every fourth one.

    COURSEAI_ATTACKS is an expression to search for; a dot finds all of them.

    Args:
        always: Titles of attacks to have in any case.
    """
    attacks = []
    for kind in KINDS:
        _, *parts = HEADER.split((HOSTILE / f"{kind}.py").read_text())
        for title, holds, code in zip(*[iter(parts)] * 3, strict=True):
            attacks.append(Attack(kind, title, holds, code.strip()))
    attacks += read_notebook_attacks()
    if chosen := os.environ.get("COURSEAI_ATTACKS"):
        return [attack for attack in attacks if re.search(chosen, attack.student)]
    return [a for n, a in enumerate(attacks) if n % 4 == 0 or a.title in always]


def read_notebook_attacks() -> Iterator[Attack]:
    """Yields the attacks by what the notebook and the folder hold."""
    spec = importlib.util.spec_from_file_location("_", HOSTILE / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for edit in vars(module).values():
        if [*getattr(edit, "__annotations__", {})] == ["notebook", "folder", "return"]:
            title, _, holds = inspect.getdoc(edit).partition(": ")
            yield Attack("notebooks", title, holds, edit=edit)


@dataclass
class HostileCourse:
    """A course with secrets.

    Attributes:
        path: Its folder.
        markers: The secret text of each secret place.
        hits: The addresses at which somebody called.
        port: Where, on this machine, a service gives a secret to who calls.
    """

    path: Path
    markers: dict[str, str]
    hits: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def home(self) -> Path:
        """The home folder of the grader."""
        return self.path.parent / "home"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the grader."""
        secret = {"COURSEAI_SECRET": self.markers["environment"]}
        return dict(os.environ) | {"HOME": str(self.home)} | secret

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess:
        """Runs a module as a program in the course, as the grader does."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: plant_key(self.markers["keyring"]),
        )

    def adapt(self, code: str) -> str:
        """Returns an attack's code with this course's path and port."""
        return code.replace("/srv/course", str(self.path)).replace(
            "47011", str(self.port)
        )


def make_course(folder: Path) -> HostileCourse:
    """Makes the course, with the assignment generated and secrets in their places."""
    places = (
        "hidden-tests", "solution", "gradebook", "another-student", "environment",
        "secret-file", "home", "history", "service", "shared-memory", "keyring",
    )  # fmt: skip
    name = secrets.token_hex(4)
    markers = {place: f"marker-of-{place}-{name}" for place in places}
    course = HostileCourse(folder / "course", markers)
    course.path.mkdir()
    settings = (ROOT / "nbgrader_config.py").read_text()
    (course.path / "nbgrader_config.py").write_text(settings + SETTINGS)
    (course.path / "secret.txt").write_text(markers["secret-file"])
    write_home(course)
    write_source(course)
    result = course.run("nbgrader", "generate_assignment", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    with Gradebook(f"sqlite:///{course.path / 'gradebook.db'}") as gradebook:
        gradebook.add_student("nobody", first_name=markers["gradebook"])
    return course


def write_home(course: HostileCourse) -> None:
    """Fills the grader's home folder."""
    history = course.home / ".ipython" / "profile_default" / "history.sqlite"
    history.parent.mkdir(parents=True)
    (course.home / ".pgpass").write_text(course.markers["home"])
    with contextlib.closing(sqlite3.connect(history)) as database:
        database.execute("create table history (source text)")
        database.execute("insert into history values (?)", [course.markers["history"]])
        database.commit()


def write_source(course: HostileCourse) -> None:
    """Writes a part of the authored notebook, with markers in what is kept secret."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if CELLS.match(cell.id) and not cell.id.endswith("_try")
        and cell.cell_type == "code" and "rocket" not in cell.id
    ]  # fmt: skip
    # What an attack does to the exercise after its own can be seen there.
    notebook.cells.sort(key=lambda cell: "normalize_filters" in cell.id)
    for cell in notebook.cells:
        for region in ("HIDDEN TESTS", "SOLUTION"):
            place = region.lower().replace(" ", "-")
            line = f'kept_secret = "{course.markers[place]}"'
            begin = rf"^( *)### BEGIN {region}\n"
            cell.source = re.sub(begin, rf"\g<0>\1{line}\n", cell.source, flags=re.M)
    path = course.path / "source" / ASSIGNMENT / NOTEBOOK.name
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def submit(
    course: HostileCourse, student: str, answer: str, edit: Callable | None = None
) -> None:
    """Submits the released notebook with an answer to the attacked exercise."""
    release = course.path / "release" / ASSIGNMENT / NOTEBOOK.name
    notebook = json.loads(release.read_text())
    folder = course.path / "submitted" / student / ASSIGNMENT
    folder.mkdir(parents=True)
    right = read_solutions()
    for cell in notebook["cells"]:
        if cell["id"] == ATTACKED:
            cell["source"] = answer
        elif cell["id"] in right:
            cell["source"] = right[cell["id"]]
    if edit:
        edit(notebook, folder)
    text = course.adapt(json.dumps(notebook))
    (folder / NOTEBOOK.name).write_text(text)
    for path in folder.rglob("*"):
        if path.is_symlink():
            target = course.adapt(str(path.readlink()))
            path.unlink()
            path.symlink_to(target)


def submit_all(course: HostileCourse, attacks: list[Attack]) -> None:
    """Submits what the attackers and the honest students hand in."""
    for attack in attacks:
        submit(course, attack.student, attack.code, attack.edit)
    for student, (answer, _) in HONEST.items():
        answer = answer or read_solutions()[ATTACKED]
        if student == "marked":
            answer += f"\n# {course.markers['another-student']}"
        submit(course, f"honest-{student}", answer)


def read_solutions() -> dict[str, str]:
    """Returns the right answers, by the names of the exercises."""
    mark = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
    names = ("heat_inside", "normalize_filters")
    cells = read_cells()
    return {name: mark.sub("", cells[name]) for name in names}


def plant_key(secret: str) -> None:
    """Gives this process a login's keyring of its own, with a secret in it."""
    libc = ctypes.CDLL(None)
    text = secret.encode()
    libc.syscall(250, 1, None)  # KEYCTL_JOIN_SESSION_KEYRING
    libc.syscall(248, b"user", b"attacked", text, len(text), -3)  # add_key


@contextlib.contextmanager
def serve_secrets(course: HostileCourse) -> Iterator[None]:
    """Gives secrets to whoever calls, on the network, in a socket and in memory."""
    secret = course.markers["service"].encode()
    shared = Path("/dev/shm", f"attacked-{secrets.token_hex(4)}")
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        course.port = tcp.getsockname()[1]
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", course.port))
        listeners = [tcp]
        for name in (f"\0attacked-{course.port}", str(course.path / "service")):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            bind_unix(listener, name)
            listener.listen()
            listeners.append(listener)
        for listener in (*listeners, udp):
            listener.settimeout(0.2)
            serve = serve_packets if listener is udp else serve_connections
            thread = threading.Thread(
                target=serve, args=[listener, secret, course.hits, stop]
            )
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        shared.write_text(course.markers["shared-memory"])
        stack.callback(shared.unlink)
        yield


def bind_unix(listener: socket.socket, name: str) -> None:
    """Binds a socket; paths of sockets must be short, so from its own folder."""
    if name.startswith("\0"):
        return listener.bind(name)
    handle = os.open(os.path.dirname(name), os.O_PATH)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{os.path.basename(name)}")
    finally:
        os.close(handle)


def serve_connections(listener, secret: bytes, hits: list, stop) -> None:
    """Gives the secret to whoever connects."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError, OSError):
            connection, _ = listener.accept()
            hits.append(f"{listener.getsockname()} by {name_caller(connection)}")
            with connection:
                connection.sendall(secret)


def name_caller(connection) -> str:
    """Names the process at the other end of a socket in the file system."""
    if connection.family != socket.AF_UNIX:
        return "somebody"
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    process, user, _ = struct.unpack("3i", credentials)
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        command = b"gone"
    return f"process {process} of user {user}: {command[:300]!r}"


def serve_packets(listener, secret: bytes, hits: list, stop) -> None:
    """Gives the secret to whoever sends a packet."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError, OSError):
            _, address = listener.recvfrom(100)
            hits.append(str(listener.getsockname()))
            listener.sendto(secret, address)


def read_points(course: HostileCourse) -> dict[str, dict[str, float]]:
    """Returns the points of each student for each test cell."""
    with Gradebook(f"sqlite:///{course.path / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def copy_course(course: HostileCourse, folder: Path) -> HostileCourse:
    """Copies a course without submissions and what grading has made of it."""
    shutil.copytree(
        course.path,
        folder / "course",
        ignore=shutil.ignore_patterns(
            "submitted", "autograded", "feedback", ".grading*", "service"
        ),
    )
    shutil.copytree(course.home, folder / "home")
    return HostileCourse(folder / "course", course.markers)
