"""Builds the sandbox that a student's kernel runs in, with bubblewrap.

Inside there is no network, no process from outside, no file but the system's (read
only), this package and the submission. What is written goes to memory and is gone
with the sandbox.
"""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import courseai_helpers
from courseai_helpers.grading.course import CourseError

HOME = "/home/student"
RUN = "/run/kernel"
SUBMISSION = "/run/submission"
STUDENT = 1000  # the student's user id inside a sandbox that root started

PACKAGE = Path(courseai_helpers.__file__).parent
SYSTEM = (
    "/usr",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
CLONE_NEWUSER = 0x10000000

libc = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


class SandboxError(CourseError):
    """Says why there is no sandbox here, and what to do about it."""


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


@dataclass
class Sandbox:
    """A sandbox that waits for a process to enter it.

    Attributes:
        process: The bubblewrap that holds it; with this process it ends.
        first: The process id, outside, of the first process inside.
        first_handle: A pidfd of that process.
    """

    process: subprocess.Popen
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


@cache
def require_sandbox() -> None:
    """Returns if sandboxes can be built on this machine.

    Raises:
        SandboxError: if not.
    """
    try:
        build_sandbox(None, Limits()).close()
    except (OSError, SandboxError) as error:
        raise SandboxError(explain(error)) from None


def explain(reason: object) -> str:
    """Says how to get a sandbox, or how to do without one."""
    return (
        f"Student code is not run: there is no sandbox on this machine ({reason}). "
        "The sandbox needs Linux and bubblewrap (`apt install bubblewrap`, or the "
        "package `bubblewrap` of your distribution) and permission to use user "
        "namespaces. Without it, student code runs with your own rights: it can read "
        "and change your files, the gradebook among them. If you want that, because "
        "you know every line that you grade, say so: `courseai grade --no-sandbox`, "
        "or `nbgrader autograde --SandboxedExecute.sandbox=False`."
    )


def build_sandbox(
    submission: Path | None, limits: Limits, *, examiner: bool = False
) -> Sandbox:
    """Starts a sandbox, which is empty but for a process that waits.

    Args:
        submission: A folder to show, read only, as /run/submission.
        limits: Of these, the size of the private folders is set here.
        examiner: Whether what the hidden tests are made of is to be seen.

    Raises:
        SandboxError: if bubblewrap fails.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed")
    reader, writer = os.pipe()
    namespace, handles = isolate_user()
    files = show_files(submission, limits, examiner)
    command = [program, *namespace, *list_namespaces(), *files]
    try:
        process = subprocess.Popen(
            [*command, "--info-fd", str(writer), "--", "/usr/bin/cat"],
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
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"?")
    if process.stdout.read(1) != b"?":  # cat echoes it when everything is in place
        _, trouble = process.communicate()
        raise SandboxError(trouble.decode().strip() or "bubblewrap failed")
    first = json.loads(information)["child-pid"]
    return Sandbox(process, first, os.pidfd_open(first))


def list_namespaces() -> list[str]:
    """Returns bubblewrap's options about what a sandbox shares: nothing."""
    names = ("pid", "net", "ipc", "uts", "cgroup-try")
    options = [f"--unshare-{name}" for name in names]
    return [*options, "--die-with-parent", "--hostname", "grading", "--cap-drop", "ALL"]


def isolate_user() -> tuple[list[str], list[int]]:
    """Returns bubblewrap's options for the user namespace, and handles to pass it.

    Root's kernels run as another user, so that what root may do outside and the
    limits that root is exempt from don't matter inside.
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
            # Root builds the sandbox, nobody (65534) works in it.
            ids = f"0 0 1\n{STUDENT} 65534 1\n"
            Path(f"/proc/{child}/{kind}_map").write_text(ids)
        handle = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)
    return ["--userns", str(handle)], [handle]


def show_files(submission: Path | None, limits: Limits, examiner: bool) -> list[str]:
    """Returns bubblewrap's options about what is to be seen in a sandbox."""
    options = []
    for path in SYSTEM:
        options += ["--ro-bind-try", path, path]
    for path in sorted({Path(sys.prefix), Path(sys.base_prefix), PACKAGE}):
        for parent in reversed(path.parents[:-1]):  # its own way would be mode 0700
            options += ["--perms", "0755", "--dir", str(parent)]
        options += ["--ro-bind", str(path), str(path)]
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += ["--ro-bind-try", str(path), str(path)]
    # The solutions are nobody's business in here, the oracles the examiner's alone.
    for name in ("reference",) if examiner else ("reference", "grading"):
        if (PACKAGE / name).is_dir():
            options += ["--size", "4096", "--tmpfs", str(PACKAGE / name)]
    for path in (HOME, "/tmp"):
        size = ["--perms", "1777", "--size", str(limits.disk)]
        options += [*size, "--tmpfs", path]
    options += ["--perms", "1777", "--size", str(2**20), "--tmpfs", RUN]
    if submission is not None:
        options += ["--ro-bind", str(submission), SUBMISSION]
        for notebook in submission.rglob("*.ipynb"):
            # It holds the hidden tests by now.
            name = notebook.relative_to(submission)
            options += ["--ro-bind", "/dev/null", f"{SUBMISSION}/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    # bubblewrap's /dev is in memory and without a limit; so is its root.
    options += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/dev/shm"]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]
