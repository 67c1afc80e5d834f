"""Another user of the machine, who looks around while somebody grades.

As a program, run as root, it looks at a process and those that it started until its
input ends, and prints what was found, as JSON: neighbor.py PID LOOT FOLDER ...
"""

import contextlib
import http.client
import json
import os
import pwd
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import zmq

# One for each process of the tests, which would not share them.
NAME = "cai-neighbor" + os.environ.get("PYTEST_XDIST_WORKER", "")
MARKER = b"marker-of-the-course"  # stands in all that is kept from others
PORTS = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # and the states
# What the one who grades imports, runs or reads, in places that anybody can guess.
MODULES = (
    "dask", "distributed", "json", "jsonschema", "matplotlib", "nbclient", "nbformat",
    "nbgrader", "numpy", "sitecustomize", "sqlalchemy", "torch", "usercustomize",
)  # fmt: skip
PLACES = ("", "dask-scratch-space", "dask-worker-space", "jupyter", "runtime-root")
# What a server that somebody may leave open would show without a key.
PAGES = (
    "api/contents", "api/terminals", "formgrader/manage_students",
    "formgrader/api/students", "hub/api/users", "api/routes",
    "services/courseai/formgrader/manage_students", "user/cai-one/api/contents",
)  # fmt: skip
HEADER = "while it runs ports    opened   words    files    heard    ran"
CONFIGS = ("jupyter_config.py", "nbgrader_config.py", "ipython_config.py")


@dataclass
class Findings:
    """What the neighbor got while a command was at work.

    Attributes:
        files: Files with secrets, and those that can be changed.
        processes: What could be opened of the processes.
        arguments: Command lines with secrets.
        sockets: Where somebody listens.
        heard: What could be overheard there.
        ran: Planted files that were run.
    """

    files: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    arguments: set[str] = field(default_factory=set)
    sockets: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)
    ran: set[str] = field(default_factory=set)

    def add(self, found: dict[str, list[str]]) -> None:
        """Adds what was found now."""
        for kind, names in found.items():
            getattr(self, kind).update(names)

    def describe(self, name: str, ports: float = 0) -> str:
        """Returns a line of a table, whose head is HEADER.

        Args:
            name: What was at work.
            ports: At how many places it may listen; there, what it says counts.
        """
        cells = [len(kind) or "nothing" for kind in self.list_kinds(ports)]
        return f"{name:12} {'  '.join(f'{cell:7}' for cell in cells)}"

    def list_kinds(self, ports: float = 0) -> list[set[str]]:
        """Returns what was found, in the order of HEADER."""
        open_wide = self.sockets if len(self.sockets) > ports else set()
        rest = (self.processes, self.arguments, self.files, self.heard, self.ran)
        return [open_wide, *rest]


def be_neighbor(function: Callable[..., dict], *arguments: object) -> dict:
    """Calls a function in a process that is the neighbor's; returns what it returns."""
    user = pwd.getpwnam(NAME)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            with open(writer, "w") as stream:
                json.dump(function(*arguments), stream)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader) as stream:
        answer = stream.read()
    assert os.waitpid(child, 0)[1] == 0, "The neighbor's process failed."
    return json.loads(answer)


def plant(shared: str, loot: str) -> dict:
    """Puts files where others may look, which tell when they are run."""
    for place in PLACES:
        folder = Path(shared, place)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o777)
        for name in [f"{module}.py" for module in MODULES] + list(CONFIGS):
            mark = Path(loot, f"{place or 'tmp'}-{name}")
            (folder / name).write_text(f"open({str(mark)!r}, 'w').write('ran')\n")
    return {}


def look(pids: list[int], folders: list[str]) -> dict[str, list[str]]:
    """Tries to open what a command's processes are and what they have written."""
    found = {"files": [], "processes": [], "arguments": []}
    for pid in pids:
        with contextlib.suppress(OSError):
            if MARKER in Path(f"/proc/{pid}/cmdline").read_bytes():
                found["arguments"].append(f"{pid}")
        for name in ("environ", "root/etc", "cwd/.", "fd/0", "mem", "maps"):
            with contextlib.suppress(OSError):
                path = Path(f"/proc/{pid}", name)
                is_open = os.listdir(path) if path.is_dir() else path.read_bytes()
                found["processes"] += [name] if is_open else []
    for folder in folders:
        for place, _, names in os.walk(folder):  # passes over what it can't enter
            for path in (Path(place, name) for name in names):
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_uid != os.getuid():
                        found["files"] += [str(path)] if is_loot(path) else []
    return found


def is_loot(path: Path) -> bool:
    """Tells whether a file holds a secret, or can be changed."""
    with contextlib.suppress(OSError), path.open("ab"):
        return True
    with contextlib.suppress(OSError):
        return MARKER in path.read_bytes()
    return False


def connect(sockets: list[list]) -> dict[str, list[str]]:
    """Tries to connect to where somebody listens."""
    found = []
    for kind, address in sockets:
        family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
        way = socket.SOCK_DGRAM if kind.startswith("udp") else socket.SOCK_STREAM
        target = address.replace("@", "\0", 1) if kind == "unix" else address
        with socket.socket(family, way) as link, contextlib.suppress(OSError):
            link.settimeout(2)
            link.connect(target if kind == "unix" else ("127.0.0.1", int(target)))
            found.append(f"{kind} {address}")
    return {"sockets": found}


def overhear(ports: list[str]) -> dict[str, list[str]]:
    """Subscribes to what kernels publish, for a while."""
    with zmq.Context() as context, context.socket(zmq.SUB) as link:
        link.linger = 0
        link.subscribe(b"")
        for port in ports:
            link.connect(f"tcp://127.0.0.1:{port}")
        while link.poll(1500):
            if any(MARKER in part for part in link.recv_multipart()):
                return {"heard": ["what a kernel puts out"]}
    return {}


def ask(ports: list[str]) -> dict[str, list[str]]:
    """Asks servers for pages, without a key."""
    for port in ports:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for page in PAGES:
                link = http.client.HTTPConnection("127.0.0.1", int(port), timeout=1)
                with contextlib.closing(link):
                    link.request("GET", f"/{page}")
                    if link.getresponse().status == 200:
                        return {"heard": [f"{port}/{page}"]}
    return {}


def list_sockets(pids: Iterable[int]) -> list[tuple[str, str]]:
    """Returns kind and address of each socket at which these processes listen."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(f"/proc/{pid}/fd/{name}")[8:-1])
    found = []
    for kind, state in PORTS.items():
        for line in Path("/proc/net", kind).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and fields[9] in inodes:
                found.append((kind, str(int(fields[1].rpartition(":")[2], 16))))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[6] in inodes:
            found.append(("unix", fields[7]))
    return found


def watch(
    command: list[str], course: Path, environment: dict[str, str], folders: list[str]
) -> tuple[str, Findings]:
    """Runs a command, and lets the neighbor look again and again while it runs.

    Returns:
        What the command said, and what the neighbor found.
    """
    findings, known = Findings(), set()
    with open(course / "said.txt", "w+") as said:
        process = subprocess.Popen(
            command,
            cwd=course,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            look_around(process.pid, folders, findings, known)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
        said.seek(0)
        return said.read(), findings


def look_around(
    pid: int, folders: list[str], findings: Findings, known: set[tuple[str, str]]
) -> None:
    """Lets the neighbor try everything once; adds what it gets, and finds, to both."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children(recursive=True)
        pids = [pid, *(child.pid for child in children)]
        sockets = set(list_sockets(pids))
        findings.add(be_neighbor(look, pids, folders))
        findings.add(be_neighbor(connect, list(sockets - known)))
        ports = [port for kind, port in sockets if kind == "tcp"]
        for way in (overhear, ask) if ports and not findings.heard else ():
            findings.add(be_neighbor(way, ports))
        known |= sockets


def main(pid: str, loot: str, *folders: str) -> None:
    """Plants files in /tmp, and looks around until the input ends."""
    findings, known = Findings(), set()
    be_neighbor(plant, "/tmp", loot)
    while not select.select([sys.stdin], [], [], 0.3)[0]:
        look_around(int(pid), ["/tmp", "/dev/shm", *folders], findings, known)
    findings.ran.update(os.listdir(loot))
    print(json.dumps(vars(findings), default=sorted))


if __name__ == "__main__":
    main(*sys.argv[1:])
