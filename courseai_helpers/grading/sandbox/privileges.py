"""Moves the calling process into a sandbox and drops its privileges."""

import ctypes
import os
import resource
import shutil
import sys
from pathlib import Path

from courseai_helpers.grading.sandbox.bubblewrap import (
    CLONE_NEWUSER,
    STUDENT,
    Limits,
    check,
    libc,
)
from courseai_helpers.grading.sandbox.mounts import HOME, SUBMISSION

# The others are the mount, cgroup, uts, ipc, pid and network namespaces.
NAMESPACES = CLONE_NEWUSER | 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x60000000
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_DUMPABLE = 38, 24, 4
CAPABILITY_VERSION_3 = 0x20080522
# The number of the system call on x86-64, and on all newer architectures.
KEYCTL, KEYCTL_JOIN_SESSION_KEYRING = 250 if os.uname().machine == "x86_64" else 219, 1


def join_sandbox(first_handle: int) -> None:
    """Moves this process into a sandbox; its next child is completely inside.

    Args:
        first_handle: A pidfd of the first process in the sandbox.
    """
    check(libc.setns(first_handle, NAMESPACES))


def keep_only_standard_streams(link: int | None) -> None:
    """Closes every file and points the standard streams to the null device.

    Args:
        link: A file that stays open, as number 3.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    if link is not None:
        os.dup2(link, 3)
    os.closerange(3 if link is None else 4, 65536)


def drop_rights() -> None:
    """Becomes the student, without capabilities and with no way to gain any."""
    # A login's keyring holds tickets and passwords, and would be inherited.
    libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)  # may be forbidden
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails past the last one
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(STUDENT, STUDENT, STUDENT)
        os.setresuid(STUDENT, STUDENT, STUDENT)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()))
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    # A change of user hides a process's own /proc entries from it.
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))


def set_limits(limits: Limits) -> None:
    """Sets the limits that the system enforces by itself, process by process."""
    # If memory runs out all the same, this process is killed first.
    Path("/proc/self/oom_score_adj").write_text("1000")
    used = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmData")
    )
    for kind, limit in (
        (resource.RLIMIT_DATA, used + limits.memory),
        # The supervisor counts all processes, acts first and can say why. It and the
        # first process are of the same user as the student, unless root grades.
        (resource.RLIMIT_NPROC, limits.processes + 10),
        (resource.RLIMIT_CPU, limits.cpu_seconds + 10),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def enter_work_folder() -> None:
    """Changes to a private copy of the submission, without its notebooks."""
    work = Path(HOME, "submission")
    work.mkdir(exist_ok=True)
    names = [path.relative_to(SUBMISSION) for path in Path(SUBMISSION).rglob("*")]
    if Path(SUBMISSION).is_dir():
        ignore = shutil.ignore_patterns("*.ipynb")
        shutil.copytree(
            SUBMISSION, work, symlinks=True, ignore=ignore, dirs_exist_ok=True
        )
    for path in (work, *(work / name for name in names)):
        if path.exists() and not path.is_symlink():
            path.chmod(0o777)  # whoever owned the original
    os.chdir(work)


def make_kernel_environment() -> dict[str, str]:
    """Returns the whole environment of a student's kernel: nothing from outside."""
    scripts = str(Path(sys.executable).parent)
    return {
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "PATH": f"{scripts}:/usr/bin:/bin",
        "TMPDIR": "/tmp",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "COURSEAI_OFFLINE": "1",
        "NBGRADER_EXECUTION": "autograde",
    }
