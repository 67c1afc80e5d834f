"""Users of this machine, for tests of what one of them can do to another."""

import contextlib
import os
import pwd
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

# A Python in root's own home can't be run by others. In a view of its own a command
# sees just the Python there, and everybody may enter; what the machine has stays.
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
def make_users(folder: Path, *names: str) -> Iterator[None]:
    """Makes users with private homes; removes them and what they still run."""
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


def run_module_as(user: str, folder: Path, module: str, *arguments: str) -> str:
    """Runs a module of this Python as a user, which has to succeed."""
    found = pwd.getpwnam(user)
    drop = ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}"]
    python = [sys.executable, "-m", module, *arguments]
    own = {"HOME": found.pw_dir, "USER": user, "LOGNAME": user}
    result = subprocess.run(
        [*open_python(), *drop, "--clear-groups", *python],
        cwd=folder,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, f"{module} {arguments}: {result.stdout}"
    return result.stdout


def open_python() -> list[str]:
    """Returns the words before a command that let every user run this Python."""
    base = Path(sys.base_prefix).resolve()
    for place in reversed(base.parents):
        if not place.stat().st_mode & 0o001:
            open_up = ["unshare", "--mount", "sh", "-c", OPENED, "sh"]
            return [*open_up, str(base), str(place)]
    return []


def start_as(user: str, function: Callable, *arguments) -> int:
    """Calls a function as a user, in a process of its own; returns its id."""
    found = pwd.getpwnam(user)
    if process := os.fork():
        return process
    try:
        os.setgroups([])
        os.setgid(found.pw_gid)
        os.setuid(found.pw_uid)
        os.umask(0o022)
        function(*arguments)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def call_as(user: str, function: Callable, *arguments) -> None:
    """Calls a function as a user; it has to succeed."""
    _, status = os.waitpid(start_as(user, function, *arguments), 0)
    assert status == 0, function
