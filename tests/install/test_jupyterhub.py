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
import sysconfig
import tempfile
import time
from pathlib import Path

import kernels
import nbformat
import psutil
import pytest
import requests
import websocket
from neighbor import HEADER, MARKER, Findings
from neighbor import NAME as NEIGHBOR
from small_course import ASSIGNMENT, SOLUTIONS, make_course, read_points
from test_bundle import list_secret_lines
from users import make_users, run_as, run_program

allowed = os.environ.get("CI") or os.environ.get("COURSEAI_CREATE_USERS")
pytestmark = [
    kernels.needs_sandbox,
    pytest.mark.skipif(
        not (allowed and os.name == "posix" and os.getuid() == 0),
        reason="They make system users: as root, COURSEAI_CREATE_USERS=1 make test",
    ),
    pytest.mark.skipif(
        not (shutil.which("useradd") and shutil.which("npm")),
        reason="They need npm and useradd: sudo apt install npm passwd",
    ),
]

COURSE, GRADER = "courseai", "cai-grader"
LOUD = f"""
import time
for _ in range(100):
    print({MARKER.decode()!r}, flush=True)
    time.sleep(0.2)
"""
INSTRUCTOR, STUDENT, OTHER = "cai-teach", "cai-one", "cai-two"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
MINUTES = 5
# The class server as a machine of its own: in a view of its own the hub and its users
# see the system, this Python, what the test made, and in the place of this repository a
# clone. What the machine has stays as it is.
MACHINE = """
set -e
root=$1 prefix=$2 base=$3 folder=$4 grader=$5
shift 5
show() { mkdir -p "$2"; mount --bind "$1" "$2"; }
mount -t tmpfs tmpfs /mnt
show "$prefix" /mnt/prefix
show "$base" /mnt/base
show "$folder" /mnt/folder
git clone --quiet --no-hardlinks "$root" /mnt/clone
for place in /*/; do
    case $place in
        /bin/|/boot/|/dev/|/etc/|/lib*/|/mnt/|/proc/|/run/|/sbin/|/sys/|/usr/|/var/) ;;
        *) mount -t tmpfs -o mode=755 tmpfs "$place" ;;
    esac
done
for place in /tmp /var/tmp; do
    mount -t tmpfs -o mode=1777 tmpfs "$place"
done
show /mnt/folder "$folder"
[ -e "$base/bin" ] || show /mnt/base "$base"
show /mnt/clone "$root"
show /mnt/prefix "$prefix"
show /mnt/prefix "$folder/packages"
umount --lazy /mnt
chgrp "$grader" "$root"
chmod 750 "$root"
"$root/deploy/jupyterhub/members.sh" "$folder/members"
exec "$@"
"""
# Another user who wants a port before, between and after those who should have it.
SQUATTER = """
import os, select, socket, sys
user, group, *ports = map(int, sys.argv[1:])
os.setgroups([]), os.setgid(group), os.setuid(user)
tries, got = 0, []
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.005)[0]:
    for port in ports:
        tries += 1
        try:
            got.append((socket.create_server(("127.0.0.1", port)), port))
        except OSError:
            pass
print(tries, [port for server, port in got])
"""


def find_ports() -> int:
    """Returns the first of four free ports that only root can open."""
    for first in range(600, 1020, 4):
        with contextlib.ExitStack() as opened:
            try:
                for port in range(first, first + 4):
                    server = socket.create_server(("127.0.0.1", port))
                    opened.enter_context(server)
            except OSError:
                continue
            return first
    raise RuntimeError("There are no four free ports between 600 and 1020.")


@contextlib.contextmanager
def squat(user: str, ports: list[int]):
    """Lets a user grab for ports meanwhile; yields how often, and which ones it got."""
    found = pwd.getpwnam(user)
    numbers = map(str, (found.pw_uid, found.pw_gid, *ports))
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SQUATTER, *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        result = {}
        try:
            yield result
        finally:
            said = process.communicate("\n")[0]
            tries, _, got = said.partition(" ")
            result |= {"tries": int(tries), "got": json.loads(got)}


def make_members(folder: Path) -> Path:
    """Makes the members' environment, with packages of this one in place of copies.

    `members.sh` finds all packages of its lock in there, and adds the wheel.
    """
    members = folder / "members"
    run_program(sys.executable, "-m", "venv", "--without-pip", str(members))
    packages = folder / "packages"
    packages.mkdir()
    site = sysconfig.get_path("purelib", vars={"base": str(members)})
    borrowed = sysconfig.get_path("purelib", vars={"base": str(packages)})
    (Path(site) / "borrowed.pth").write_text(f"{borrowed}\n")
    for name in ("share", "etc"):
        (members / name).symlink_to(packages / name)
    return members


@pytest.fixture(scope="module")
def folder():
    """A folder that every user may enter; pytest's own are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="courseai-hub-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def proxy(root, folder) -> str:
    """configurable-http-proxy, as deploy/jupyterhub/package-lock.json has it."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(root / "deploy/jupyterhub" / name, folder)
    install = ("npm", "ci", "--no-audit", "--no-fund", f"--prefix={folder}")
    result = subprocess.run(install, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"npm could not install the proxy: {result.stderr[-300:]}")
    return str(folder / "node_modules/.bin/configurable-http-proxy")


class Hub:
    """A running hub, asked through its proxy, as one of its users."""

    def __init__(self, port: int, tokens: dict[str, str], folder: Path):
        self.address = f"http://127.0.0.1:{port}"
        self.ports = list(range(port, port + 4))
        self.tokens, self.folder = tokens, folder
        self.squatted: dict = {}
        self.process: subprocess.Popen | None = None
        self.seen = Findings()  # by a neighbor, while it was at work

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

    def run(self, user: str, code: str) -> str:
        """Runs code in a new kernel on the user's server; returns what it printed."""
        kernel = self.post(user, f"user/{user}/api/kernels")["id"]
        address = f"{self.address}/user/{user}/api/kernels/{kernel}/channels"
        header = [f"Authorization: token {self.tokens[user]}"]
        channel = websocket.create_connection(
            address.replace("http", "ws", 1), header=header, timeout=MINUTES * 60
        )
        content = {"code": code, "silent": False, "store_history": False}
        request = {"header": {"msg_type": "execute_request", "msg_id": kernel}}
        request |= {"content": content, "channel": "shell", "parent_header": {}}
        channel.send(json.dumps(request | {"metadata": {}}))
        printed, status, running = "", "", True
        # The reply and what was printed come on two channels, in any order.
        while running or not status:
            message = json.loads(channel.recv())
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != kernel:
                continue  # of the server's own questions
            if kind in ("stream", "error"):
                printed += content.get("text") or str(content)
            elif kind == "execute_reply":
                status = content["status"]
            elif kind == "status":
                running = content["execution_state"] != "idle"
        channel.close()
        assert status == "ok", printed
        return printed

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
        "members": str(folder / "members"),
        "exchange": str(folder / "exchange"),
        "port": find_ports(),
        "instructors": [INSTRUCTOR],
        "students": [STUDENT, OTHER],
    }
    course.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items()))
    tokens = {"tester": secrets.token_hex()}
    settings = folder / "jupyterhub_config.py"
    settings.write_text(f"""
load_subconfig({str(root / "deploy/jupyterhub/jupyterhub_config.py")!r})
c.JupyterHub.authenticator_class = "dummy"  # users without passwords
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.services.append(
    {{"name": "tester", "api_token": {tokens["tester"]!r}, "admin": True}})
c.JupyterHub.load_roles.append(
    {{"name": "tester", "services": ["tester"],
      "scopes": ["admin:users", "admin:servers", "tokens", "read:hub"]}})
""")
    settings.chmod(0o600)
    return settings, {"port": lines["port"], "tokens": tokens, "course": course}


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
    with make_users(folder, GRADER, INSTRUCTOR, STUDENT, OTHER, NEIGHBOR):
        course = make_course(folder / "home" / GRADER / "course")
        run_program("chown", "-R", f"{GRADER}:", str(course))
        settings, made = write_settings(root, folder, proxy)
        private = folder / "hub"
        private.mkdir(mode=0o700)
        environment = os.environ | {"COURSEAI_COURSE": str(made["course"])}
        del environment["PYTHONPATH"]  # of this repository, which the hub has not
        make_members(folder)
        places = map(str, (root, sys.prefix, Path(sys.base_prefix).resolve(), folder))
        machine = ["unshare", "--mount", "sh", "-c", MACHINE, "sh", *places, GRADER]
        hub = [sys.executable, "-m", "jupyterhub", f"--config={settings}"]
        said = folder / "hub.log"
        with said.open("w") as log:
            process = subprocess.Popen(
                [*machine, *hub],
                cwd=private,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            running = Hub(made["port"], made["tokens"], folder)
            running.process = process
            with squat(OTHER, running.ports) as running.squatted:
                health = f"{running.address}/hub/health"
                wait_until(lambda: answers(health), process, said)
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


@contextlib.contextmanager
def keep_watch(hub: Hub, root: Path):
    """Lets another user of the machine look around meanwhile, as in neighbor.py."""
    loot = hub.folder / "loot"
    loot.mkdir()
    loot.chmod(0o1777)
    folders = [hub.folder / name for name in ("home", "exchange", "hub")]
    program = [sys.executable, str(root / "tests/neighbor.py"), str(hub.process.pid)]
    enter = ["nsenter", f"--target={hub.process.pid}", "--mount"]
    with subprocess.Popen(
        [*enter, *program, *map(str, [loot, *folders, root])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield
        finally:
            said = process.communicate("\n")[0]
            hub.seen.add(json.loads(said))


@pytest.fixture(scope="module")
def graded(hub, root) -> Hub:
    """The class after release, fetch, submit, collect, autograde and feedback."""
    with keep_watch(hub, root):
        take_through(hub)
        hub.run(STUDENT, LOUD)
    return hub


def take_through(hub: Hub) -> None:
    """Does with an assignment what is done with one, from release to feedback."""
    hub.grade(f"assignment/{ASSIGNMENT}/release")
    for student, double in (
        (STUDENT, f"{SOLUTIONS['double']}\n# {MARKER.decode()}"),
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


def test_a_neighbor_of_the_hub_gets_nothing(graded, show_table):
    # Its servers let in who has a key: what counts is what they tell without.
    ports = float("inf")
    show_table(f"{HEADER}\n{graded.seen.describe('hub', ports)}")
    assert not any(graded.seen.list_kinds(ports)), graded.seen
    kinds = {kind for kind, _ in map(str.split, graded.seen.sockets)}
    assert "tcp" in kinds and len(graded.seen.sockets) > len(graded.ports)


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


@pytest.fixture(scope="module")
def attacked(graded, root) -> dict:
    """What a student finds who looks for answers in a kernel of the own server."""
    places = {
        "exchange": str(graded.folder / "exchange"),
        "homes": str(graded.folder / "home"),
        "clone": str(root),
        "hub": str(graded.folder / "hub"),
        "ports": graded.ports,
    }
    # Shorter lines are in any program.
    secrets = [line for line in list_secret_lines(root) if len(line) >= 40]
    program = (root / "tests/student_on_hub.py").read_text()
    for empty, given in (("= []  #", secrets), ("= {}  #", places)):
        program = program.replace(empty, f"= {given!r}  #", 1)
    printed = graded.run(STUDENT, program)
    return json.loads(printed.splitlines()[-1])


def read_keys() -> set[str]:
    """Returns the tokens and secrets in the environments of the hub's processes."""
    values = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            values |= {
                value
                for name, value in process.environ().items()
                if ("TOKEN" in name or "SECRET" in name) and len(value) >= 16
            }
    return values


def test_a_student_finds_no_answer_on_the_class_server(attacked, show_table):
    kinds = ("imports", "texts", "files", "others", "ports", "user")
    show_table(
        "What a student got who looked for answers:\n"
        + "\n".join(f"{kind:8} {len(attacked[kind])}" for kind in kinds)
    )
    assert {kind: attacked[kind] for kind in kinds} == {kind: [] for kind in kinds}
    assert attacked["prefix"].endswith("/members")


def test_no_process_shows_a_key_to_a_student(attacked):
    shown = "\n".join(attacked["processes"])
    keys = read_keys()
    assert "formgrader.py" in shown and len(keys) >= 4
    assert not [key for key in keys if key in shown]


def find_server(user: str, script: str) -> psutil.Process:
    """Returns the process of a user's own server, or of the Formgrader."""
    return next(
        process
        for process in psutil.process_iter(["username", "cmdline"])
        if process.info["username"] == user
        and any(word.endswith(script) for word in process.info["cmdline"] or [])
    )


def test_no_student_gets_a_port_of_the_hub_while_it_starts(hub):
    assert hub.squatted["tries"] > 100 and hub.squatted["got"] == []


def test_no_student_gets_the_port_of_a_server_that_has_crashed(graded):
    victim = find_server(STUDENT, "server.py")
    (port,) = {c.laddr.port for c in victim.net_connections() if c.status == "LISTEN"}
    formgrader = find_server(GRADER, "formgrader.py")
    with squat(OTHER, [port, *graded.ports]) as squatted:
        victim.kill()
        formgrader.kill()
        status = f"services/{COURSE}/formgrader/api/status"
        deadline = time.monotonic() + MINUTES * 60
        while not graded.ask(INSTRUCTOR, "GET", status).ok:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert squatted["tries"] > 100 and squatted["got"] == []
    assert find_server(GRADER, "formgrader.py").pid != formgrader.pid


def log_in(hub: Hub, name: str) -> int:
    """Logs in by the hub's form; returns the answer's status."""
    session = requests.Session()
    session.get(f"{hub.address}/hub/login", timeout=60)
    answer = session.post(
        f"{hub.address}/hub/login",
        data={"username": name, "password": "", "_xsrf": session.cookies["_xsrf"]},
        allow_redirects=False,
        timeout=60,
    )
    return answer.status_code


def test_only_who_is_in_the_course_can_log_in(hub):
    hub.post("tester", "hub/api/users/cai-old")  # known to the hub, and struck off
    for name, status in ((STUDENT, 302), ("cai-old", 403), (GRADER, 403)):
        assert log_in(hub, name) == status, name


def test_the_guide_closes_the_clone_as_it_is_closed_here(root):
    guide = (root / "deploy/jupyterhub/README.md").read_text()
    assert "install -d -m 750 -g grader-courseai /opt/courseai" in guide
    assert "deploy/jupyterhub/members.sh /opt/courseai-members" in guide
