"""The class server in deploy/jupyterhub/, with users of this machine.

It makes users, so that it runs only as root and where that was allowed: in continuous
integration, or with COURSEAI_CREATE_USERS=1. It removes them afterwards.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kernels
import nbformat
import pytest
import requests
from small_course import ASSIGNMENT, SOLUTIONS, make_course, read_points

pytest.importorskip("jupyterhub", reason="The extra `hub` is not installed.")
allowed = os.environ.get("CI") or os.environ.get("COURSEAI_CREATE_USERS")
pytestmark = [
    kernels.needs_sandbox,
    pytest.mark.skipif(
        not (allowed and os.name == "posix" and os.getuid() == 0),
        reason="Makes users: needs root, and COURSEAI_CREATE_USERS=1.",
    ),
    pytest.mark.skipif(
        not (shutil.which("useradd") and shutil.which("npm")),
        reason="Needs useradd, and npm for configurable-http-proxy.",
    ),
]

COURSE, GRADER = "courseai", "cai-grader"
INSTRUCTOR, STUDENT, OTHER = "cai-teach", "cai-one", "cai-two"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
MINUTES = 5
# A Python in root's own home can't be run by others. In a view of its own the hub sees
# just the Python there, and everybody may enter; what the machine has stays as it is.
OPENED = """
set -e
held=$(mktemp -d)
mount --bind "$1" "$held"
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir -p "$1"
mount --bind "$held" "$1"
umount "$held" && rmdir "$held"
shift 2
exec "$@"
"""


@contextlib.contextmanager
def make_users(folder: Path):
    """Makes the users with private homes; removes them and what they still run."""
    names = (GRADER, INSTRUCTOR, STUDENT, OTHER)
    try:
        for name in names:
            home = folder / "home" / name
            run_program("useradd", "--create-home", f"--home-dir={home}", name)
            home.chmod(0o700)
        yield
    finally:
        for name in names:
            subprocess.run(["userdel", "--force", name], capture_output=True)


def run_program(*command: str) -> str:
    """Runs a program that has to succeed; returns what it said."""
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, f"{command}: {result.stdout}"
    return result.stdout


def run_as(user: str, *command: str) -> subprocess.CompletedProcess:
    """Runs a program as a user."""
    found = pwd.getpwnam(user)
    return subprocess.run(
        command,
        user=found.pw_uid,
        group=found.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
    )


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def open_python() -> list[str]:
    """Returns the words before a command that let every user run this Python."""
    base = Path(sys.base_prefix).resolve()
    for place in reversed(base.parents):
        if not place.stat().st_mode & 0o001:
            open_up = ["unshare", "--mount", "sh", "-c", OPENED, "sh"]
            return [*open_up, str(base), str(place)]
    return []


@pytest.fixture(scope="module")
def folder():
    """A folder that every user may enter; pytest's own are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="courseai-hub-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def proxy(root, folder) -> str:
    """configurable-http-proxy, in the version of deploy/jupyterhub/package.json."""
    shutil.copy(root / "deploy/jupyterhub/package.json", folder)
    install = ("npm", "install", "--no-audit", "--no-fund", f"--prefix={folder}")
    result = subprocess.run(install, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"npm could not install the proxy: {result.stderr[-300:]}")
    return str(folder / "node_modules/.bin/configurable-http-proxy")


class Hub:
    """A running hub, asked through its proxy, as one of its users."""

    def __init__(self, address: str, tokens: dict[str, str], folder: Path):
        self.address, self.tokens, self.folder = address, tokens, folder

    def ask(self, user: str, method: str, path: str, **data) -> requests.Response:
        """Sends a request with that user's token."""
        return requests.request(
            method,
            f"{self.address}/{path}",
            headers={"Authorization": f"token {self.tokens[user]}"},
            json=data or None,
            timeout=MINUTES * 60,
        )

    def get(self, user: str, path: str) -> dict:
        response = self.ask(user, "GET", path)
        assert response.ok, f"{response.status_code} {response.text[:2000]}"
        return response.json()

    def post(self, user: str, path: str, **data) -> dict:
        response = self.ask(user, "POST", path, **data)
        assert response.ok, f"{response.status_code} {response.text[:2000]}"
        return json.loads(response.text or "{}")

    def act(self, student: str, action: str) -> list[dict]:
        """Does what a button of the Assignment List does; returns the new list."""
        said = self.post(
            student,
            f"user/{student}/assignments/{action}",
            course_id=COURSE,
            assignment_id=ASSIGNMENT,
        )
        assert said["success"], said["value"]
        return said["value"]

    def grade(self, step: str) -> str:
        """Does what a button of the Formgrader does; returns its log."""
        path = f"services/{COURSE}/formgrader/api/{step}"
        said = self.post(INSTRUCTOR, path)
        assert said["success"], said
        return said["log"]


def write_settings(root: Path, folder: Path, proxy: str) -> tuple[Path, dict]:
    """Writes the course's file, and the hub's settings around those in deploy/."""
    course = folder / "course.toml"
    lines = {
        "course": COURSE,
        "grader": GRADER,
        "directory": str(folder / "home" / GRADER / "course"),
        "exchange": str(folder / "exchange"),
        "port": find_port(),
        "instructors": [INSTRUCTOR],
        "students": [STUDENT, OTHER],
    }
    course.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items()))
    tokens = {"tester": secrets.token_hex()}
    settings = folder / "jupyterhub_config.py"
    port = find_port()
    settings.write_text(f"""
load_subconfig({str(root / "deploy/jupyterhub/jupyterhub_config.py")!r})
c.JupyterHub.authenticator_class = "dummy"  # users without passwords
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {find_port()}
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{find_port()}"
c.JupyterHub.services.append(
    {{"name": "tester", "api_token": {tokens["tester"]!r}, "admin": True}})
c.JupyterHub.load_roles.append(
    {{"name": "tester", "services": ["tester"],
      "scopes": ["admin:users", "admin:servers", "tokens", "read:hub"]}})
""")
    settings.chmod(0o600)
    return settings, {"port": port, "tokens": tokens, "course": course}


def wait_until(done, process: subprocess.Popen, said: Path) -> None:
    """Waits until something is so, or the process has ended."""
    deadline = time.monotonic() + MINUTES * 60
    while not done():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def hub(root, folder, proxy):
    """The hub, with everybody's server started and the assignment in its course."""
    exchange = folder / "exchange"
    exchange.mkdir()
    exchange.chmod(0o1777)
    with make_users(folder):
        course = make_course(folder / "home" / GRADER / "course")
        run_program("chown", "-R", f"{GRADER}:", str(course))
        settings, made = write_settings(root, folder, proxy)
        private = folder / "hub"
        private.mkdir(mode=0o700)
        environment = os.environ | {"COURSEAI_COURSE": str(made["course"])}
        hub = [sys.executable, "-m", "jupyterhub", f"--config={settings}"]
        said = folder / "hub.log"
        with said.open("w") as log:
            process = subprocess.Popen(
                [*open_python(), *hub],
                cwd=private,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            address = f"http://127.0.0.1:{made['port']}"
            wait_until(lambda: answers(f"{address}/hub/health"), process, said)
            running = Hub(address, made["tokens"], folder)
            start_servers(running, process, said)
            yield running
        finally:
            process.terminate()
            process.wait(timeout=60)


def start_servers(hub: Hub, process: subprocess.Popen, said: Path) -> None:
    """Starts a server for each member, and waits for all and the Formgrader."""
    members = (INSTRUCTOR, STUDENT, OTHER)
    for name in members:
        hub.tokens[name] = hub.post("tester", f"hub/api/users/{name}/tokens")["token"]
        hub.post("tester", f"hub/api/users/{name}/server")
    for path in [f"user/{name}/api/status" for name in members]:
        wait_until(lambda p=path: hub.ask(p.split("/")[1], "GET", p).ok, process, said)
    status = f"services/{COURSE}/formgrader/api/status"
    wait_until(lambda: hub.ask(INSTRUCTOR, "GET", status).ok, process, said)


def answer(hub: Hub, student: str, double: str) -> None:
    """Writes answers into the notebook, through the student's own server."""
    path = f"user/{student}/api/contents/{ASSIGNMENT}/{NOTEBOOK}"
    notebook = hub.get(student, path)["content"]
    for cell in notebook["cells"]:
        if cell["id"] in SOLUTIONS:
            cell["source"] = SOLUTIONS[cell["id"]]
        if cell["id"] == "double":
            cell["source"] = double
    saved = hub.ask(
        student, "PUT", path, type="notebook", format="json", content=notebook
    )
    assert saved.ok, saved.text


@pytest.fixture(scope="module")
def graded(hub) -> Hub:
    """The class after release, fetch, submit, collect, autograde and feedback."""
    hub.grade(f"assignment/{ASSIGNMENT}/release")
    for student, double in (
        (STUDENT, SOLUTIONS["double"]),
        (OTHER, "def double(x):\n    return x"),
    ):
        hub.act(student, "fetch")
        answer(hub, student, double)
        hub.act(student, "submit")
    hub.grade(f"assignment/{ASSIGNMENT}/collect")
    for student in (STUDENT, OTHER):
        hub.grade(f"submission/{ASSIGNMENT}/{student}/autograde")
    hub.grade(f"assignment/{ASSIGNMENT}/generate_feedback")
    hub.grade(f"assignment/{ASSIGNMENT}/release_feedback")
    for student in (STUDENT, OTHER):
        hub.act(student, "fetch_feedback")
    return hub


def test_everybody_works_as_a_user_of_their_own(graded):
    for student in (STUDENT, OTHER):
        home = graded.folder / "home" / student
        assert (home / ASSIGNMENT / NOTEBOOK).owner() == student
        assert len(list(home.glob(f"{ASSIGNMENT}/feedback/*/*.html"))) == 1
    (one,) = (graded.folder / "exchange" / COURSE / "inbound").glob(f"{STUDENT}+*")
    assert one.owner() == STUDENT


def test_both_have_their_points_and_their_own_feedback(graded):
    course = graded.folder / "home" / GRADER / "course"
    points = {name: sum(p.values()) for name, p in read_points(course).items()}
    assert points == {STUDENT: 3.0, OTHER: 1.0}
    for student, text in ((STUDENT, "3 of 3 points"), (OTHER, "1 of 3 points")):
        home = graded.folder / "home" / student
        (page,) = home.glob(f"{ASSIGNMENT}/feedback/*/*.html")
        assert text in page.read_text()


def test_a_student_can_read_and_change_nobody_elses_files(graded):
    homes, exchange = graded.folder / "home", graded.folder / "exchange" / COURSE
    (work,) = exchange.glob(f"inbound/{STUDENT}+*")
    assert run_as(OTHER, "ls", str(homes / OTHER)).returncode == 0
    for place in (
        homes / STUDENT,
        homes / GRADER / "course" / "gradebook.db",
        homes / GRADER / "course" / "source",
        homes / INSTRUCTOR,
        exchange / "inbound",
        exchange / "feedback",
        graded.folder / "hub",
    ):
        result = run_as(OTHER, "ls", str(place))
        assert "Permission denied" in result.stderr, place
    for command in (
        ("touch", str(exchange / "outbound" / ASSIGNMENT / NOTEBOOK)),
        ("mv", str(exchange), str(exchange.with_name("mine"))),
        ("rm", "-r", str(exchange / "outbound")),
    ):
        assert run_as(OTHER, *command).returncode != 0, command
    assert work.is_dir() and (exchange / "outbound" / ASSIGNMENT / NOTEBOOK).is_file()


def test_a_student_is_let_into_no_server_but_the_own_one(graded):
    assert graded.ask(OTHER, "GET", f"user/{OTHER}/api/contents").ok
    for path in (
        f"user/{STUDENT}/api/contents",
        f"user/{INSTRUCTOR}/api/contents",
        f"services/{COURSE}/api/contents",
        f"services/{COURSE}/formgrader/api/assignments",
        "hub/api/users",
    ):
        assert graded.ask(OTHER, "GET", path).status_code == 403, path
    own = graded.ask(OTHER, "GET", f"user/{OTHER}/formgrader/api/assignments")
    assert own.status_code == 404


def test_the_course_list_shows_the_formgrader_to_instructors_only(graded):
    listed = graded.get(INSTRUCTOR, f"user/{INSTRUCTOR}/formgraders")
    assert [course["course_id"] for course in listed["value"]] == [COURSE]
    assert f"/services/{COURSE}/lab?formgrader=true" in listed["value"][0]["url"]
    missing = graded.ask(OTHER, "GET", f"user/{OTHER}/formgraders")
    assert missing.status_code == 404


def test_an_assignment_list_shows_only_the_students_own(graded):
    path = f"user/{OTHER}/assignments?course_id={COURSE}"
    listed = graded.get(OTHER, path)["value"]
    owners = [item["student_id"] for item in listed if item["status"] == "submitted"]
    assert owners == [OTHER]
    notebook = nbformat.read(
        graded.folder / "home" / OTHER / ASSIGNMENT / NOTEBOOK, as_version=4
    )
    assert notebook.cells[0].metadata.nbgrader.grade_id == "double"
