"""Runs plain nbgrader commands in a course directory, the same way everywhere."""

import contextlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from courseai_helpers._common.errors import CourseError


@contextlib.contextmanager
def show_step(message: str) -> Iterator[None]:
    """Prints what is being done and, when it is done, the seconds it took."""
    print(f"{message} ...", end="", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - start:.1f} s", flush=True)


def make_environment(private: Path) -> dict[str, str]:
    """Returns an environment in which the lesson runs the same everywhere.

    Args:
        private: an empty directory for what Jupyter and IPython would
            otherwise look up in the user's home.
    """
    # A backend would keep figures out of the notebook, warnings would end on its
    # stderr, weights would change what it shows.
    unwanted = {"MPLBACKEND", "PYTHONWARNINGS", "COURSEAI_WEIGHTS"}
    environment = {k: v for k, v in os.environ.items() if k not in unwanted}
    # nbgrader starts `alembic` by name: it must be found in this environment.
    scripts = str(Path(sys.executable).parent)
    return environment | {
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]),
        "COURSEAI_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "IPYTHONDIR": str(private / "ipython"),
        "JUPYTER_CONFIG_DIR": str(private / "jupyter"),
    }


def run_nbgrader(course: Path, *arguments: str) -> str:
    """Runs one nbgrader command at the top of a course directory.

    Returns:
        What the command logged.

    Raises:
        CourseError: if nbgrader says that it failed.
    """
    # Built here, where stderr is discarded: matplotlib reports on stderr that it
    # builds its font cache, and a notebook must have nothing on stderr.
    importlib.import_module("matplotlib.font_manager")
    with tempfile.TemporaryDirectory() as private:
        result = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=course,
            env=make_environment(Path(private)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    # Some commands exit with 0 after an error, so the log is read as well.
    if result.returncode or re.search(r"\| (ERROR|CRITICAL)\]", result.stdout):
        command = " ".join(["nbgrader", *arguments])
        raise CourseError(f"`{command}` failed in {course}:\n{result.stdout.strip()}")
    return result.stdout


def copy_source(course: Path, assignment: str, destination: Path) -> None:
    """Makes a course directory with one assignment and the settings."""
    destination.mkdir(parents=True, exist_ok=True)
    shutil.copy(course / "nbgrader_config.py", destination)
    source = Path("source") / assignment
    shutil.copytree(course / source, destination / source)
