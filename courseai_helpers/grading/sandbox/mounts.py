"""Decides what a sandbox shows: bubblewrap's options about files.

In bubblewrap a later mount hides an earlier one at the same place. So the
private folders come first, then the parts of this machine that are shown, and last what
hides some of those.
"""

import site
import sys
from functools import cache
from pathlib import Path

import courseai_helpers

HOME = "/home/student"
RUN = "/run/kernel"
SUBMISSION = "/run/submission"

PACKAGE = Path(courseai_helpers.__file__).parent
# The examiner sees what the hidden tests are made of. The rest of grading/ is no
# secret, and its `student_side` runs in students' kernels.
ORACLES = "grading/examiner/oracles"
ANSWERS = "reference"
SYSTEM = (
    "/usr",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
# Only an environment's own parts: the environment may lie in the course's folder.
PARTS = ("bin", "etc", "include", "lib", "lib64", "pyvenv.cfg", "share", "ssl")


@cache
def find_places() -> dict[Path, Path]:
    """Returns what is shown of this machine: real paths, by their names inside.

    What a symbolic link leads to is shown under both names.
    """
    prefixes = (sys.prefix, sys.base_prefix)
    wanted = [PACKAGE, *(Path(p, part) for p in prefixes for part in PARTS)]
    if site.ENABLE_USER_SITE:
        wanted.append(Path(site.getusersitepackages()))
    wanted = [path for path in wanted if path.exists()]
    places = {Path(name): Path(name).resolve() for name in SYSTEM}
    for name in sorted({*wanted, *(path.resolve() for path in wanted)}):
        if not any(name.is_relative_to(known) for known in places):
            places[name] = name.resolve()
    return places


def find_exposed(*paths: Path) -> Path | None:
    """Returns the first of some paths that student code could read, if there is one."""
    for path in map(Path.resolve, paths):
        if any(path.is_relative_to(real) for real in find_places().values()):
            return path
    return None


def show_files(submission: Path | None, disk: int, *, examiner: bool) -> list[str]:
    """Returns bubblewrap's options about the files that a sandbox shows.

    Args:
        submission: A folder to show, read only, as SUBMISSION.
        disk: Bytes in each of the folders that can be written.
        examiner: Whether to show what the hidden tests are made of.
    """
    options = [*make_private_folders(disk), *show_machine(), *hide_answers(examiner)]
    if submission is not None:
        options += ["--ro-bind", str(submission), SUBMISSION]
        for notebook in submission.rglob("*.ipynb"):
            # Autograding has put the hidden tests into it.
            name = notebook.relative_to(submission)
            options += ["--ro-bind", "/dev/null", f"{SUBMISSION}/{name}"]
    # bubblewrap's /dev is in memory and without a limit; so is its root.
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]


def make_private_folders(disk: int) -> list[str]:
    """Returns the options for folders in memory, which are empty in every sandbox."""
    options = ["--proc", "/proc", "--dev", "/dev"]
    for path, size in ((HOME, disk), ("/tmp", disk), ("/dev/shm", disk), (RUN, 2**20)):
        options += ["--perms", "1777", "--size", str(size), "--tmpfs", path]
    return options


def show_machine() -> list[str]:
    """Returns the options for the system, this environment and the package."""
    options = []
    for name, real in find_places().items():
        # Its own way would be mode 0700. Nobody writes here, not even the owner: below
        # /tmp these folders are in memory that can be written.
        for parent in reversed(name.parents[:-1]):
            options += ["--perms", "0555", "--dir", str(parent)]
        options += ["--ro-bind-try", str(real), str(name)]
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += ["--ro-bind-try", str(path), str(path)]
    return options


def hide_answers(examiner: bool) -> list[str]:
    """Returns the options that hide the package's answers, by all of their names.

    Args:
        examiner: Whether to leave what the hidden tests are made of.
    """
    options = []
    for secret in (ANSWERS,) if examiner else (ANSWERS, ORACLES):
        folder = (PACKAGE / secret).resolve()
        for name, real in find_places().items():
            if folder.is_dir() and folder.is_relative_to(real):
                place = str(name / folder.relative_to(real))
                options += ["--size", "4096", "--tmpfs", place]
    return options
