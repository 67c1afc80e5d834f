"""Measures what grading a submission costs, against stock nbgrader.

Run it at the top of the repository:

    python benchmarks/grading.py --submissions 16 --single 4 --rounds 3

Every way of grading gets the same submissions, one way after another, round by round,
so that a busy machine is busy for all of them. Ways that have nothing to begin with,
and take every submission for itself, get the first few only: theirs are the slow ones.
The scores must agree. Times are medians over the rounds, for one submission; CPU time
is that of all processes together.

otter-grader takes part where it is installed (the extra `benchmark`), or by
`--otter PYTHON`, the Python of an environment that has this package, too. It gets the
same answers, and the same test cells as test cases of its own format.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from courseai_helpers.grading.authoring.nbgrader_commands import (
    copy_source,
    run_nbgrader,
)

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "visualizing_features"
STOCK = "c.Autograde.autograde_preprocessors"
# Workers are stopped with what they have forked, whose CPU time nobody learns.
REMOTE = "ours, remote scheduler, 2 workers"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class Cost:
    """What one way of grading took for all submissions: seconds, and bytes."""

    wall: float
    cpu: float
    private: int  # the most that all kernels at a time had to themselves
    scores: dict[str, float]


def main() -> None:
    """Prints a table of costs, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=16)
    parser.add_argument(
        "--single", type=int, default=4, help="of them for ways that begin anew each"
    )
    parser.add_argument("--rounds", type=int, default=3)
    found = importlib.util.find_spec("otter") and sys.executable
    parser.add_argument("--otter", metavar="PYTHON", default=found)
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", COURSEAI_OFFLINE="1")
    single = {
        "floor: cells in a warm process": run_floor,
        "stock nbgrader": run_stock,
        "two stock nbgraders": run_two_stock,
    }
    if options.otter:
        single["otter-grader"] = lambda course: run_otter(course, options.otter)
    ours = {
        "ours, 1 job": lambda course: run_ours(course, "--jobs=1"),
        "ours, 2 jobs": lambda course: run_ours(course, "--jobs=2"),
        REMOTE: run_remote,
    }
    costs = {name: [] for name in single | ours}
    with tempfile.TemporaryDirectory() as directory:
        few = make_course(Path(directory, "few"), options.single)
        many = make_course(Path(directory, "many"), options.submissions)
        for number in range(options.rounds):
            for name, way in (single | ours).items():
                template = few if name in single else many
                course = shutil.copytree(template, Path(directory, f"{number} {name}"))
                costs[name].append(measure(way, course))
                print(name, costs[name][-1], file=sys.stderr, flush=True)
    counts = {name: options.single for name in single}
    print_table(costs, counts | dict.fromkeys(ours, options.submissions))


def make_course(course: Path, submissions: int) -> Path:
    """Makes a course with the lesson and right submissions of it."""
    copy_source(ROOT, ASSIGNMENT, course)
    run_nbgrader(course, "generate_assignment", ASSIGNMENT)
    for number in range(submissions):
        folder = course / "submitted" / f"student{number}" / ASSIGNMENT
        folder.mkdir(parents=True)
        name = f"{ASSIGNMENT}.ipynb"
        shutil.copy(course / "source" / ASSIGNMENT / name, folder)
    make_otter(course, submissions)
    return course


def make_otter(course: Path, submissions: int) -> None:
    """Makes the same tests and answers for otter-grader."""
    path = course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    tests: dict[str, list[str]] = {}
    for cell in notebook.cells:
        points = cell.metadata.get("nbgrader", {}).get("points")
        if cell.cell_type == "code" and points:
            tests[cell.id] = [
                "from otter.test_files import test_case",
                f"OK_FORMAT, name, points = False, {cell.id!r}, None",
                f"@test_case(points={points}, hidden=True)",
                "def test(env):",
                f"    exec(compile({cell.source!r}, {cell.id!r}, 'exec'), env)",
            ]
    notebook.cells = [cell for cell in notebook.cells if cell.id not in tests]
    folder = course / "otter"
    folder.mkdir()
    with zipfile.ZipFile(folder / "autograder.zip", "w") as archive:
        archive.writestr("otter_config.json", json.dumps({"pdf": False}))
        for name, lines in tests.items():
            archive.writestr(f"tests/{name}.py", "\n".join(lines))
    for number in range(submissions):
        nbformat.write(notebook, folder / f"student{number}.ipynb")


def measure(way, course: Path) -> Cost:
    """Runs one way of grading and returns what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    with watch_memory() as peak:
        scores = way(course)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, max(peak, default=0), scores or read_scores(course))


def read_scores(course: Path) -> dict[str, float]:
    """Returns the students' scores."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return {
            submission.student.id: submission.score
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


@contextlib.contextmanager
def watch_memory() -> Iterator[list[int]]:
    """Samples the private memory of all the kernels that stem from this process."""
    peak: list[int] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.5):
            total = 0
            for process in list_descendants():
                with contextlib.suppress(OSError):
                    if is_kernel(process):
                        text = (process / "smaps_rollup").read_text()
                        parts = re.findall(r"Private_\w+:\s+(\d+) kB", text)
                        total += sum(map(int, parts)) * 1024
            peak.append(total)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def list_descendants() -> list[Path]:
    """Returns the /proc directories of the processes that stem from this one."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(process.name))
    found = [os.getpid()]
    for process in found:
        found += children.get(process, [])
    return [Path("/proc", str(process)) for process in found]


def is_kernel(process: Path) -> bool:
    """Tells a kernel by its command, or a forked one by its own process namespace."""
    command = (process / "cmdline").read_bytes()
    if b"ipykernel_launcher" in command:
        return True
    ids = re.search(r"NSpid:(.*)", (process / "status").read_text())[1].split()
    return b"grading.forkserver" in command and len(ids) > 1


def run_stock(course: Path, pattern: str = "*") -> None:
    """Grades with nbgrader's own preprocessors, in one process."""
    start_stock(course, pattern).wait()


def run_two_stock(course: Path) -> None:
    """Grades one half of the class in each of two processes."""
    students = sorted(path.name for path in (course / "submitted").iterdir())
    for half in zip(students[::2], students[1::2], strict=False):
        for process in [start_stock(course, student) for student in half]:
            process.wait()


def start_stock(course: Path, student: str) -> subprocess.Popen:
    """Starts stock nbgrader."""
    settings = course / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace(STOCK, "unused"))
    command = [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT]
    return subprocess.Popen([*command, "--student", student], cwd=course, **QUIET)


def run_ours(course: Path, *options: str) -> None:
    """Grades with `courseai grade`."""
    command = [sys.executable, "-m", "courseai_helpers.cli", "grade", ASSIGNMENT]
    subprocess.run([*command, *options], cwd=course, check=True, **QUIET)


def run_remote(course: Path) -> None:
    """Grades on a scheduler and two workers that are processes of their own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", port]
    address = f"tcp://127.0.0.1:{port}"
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    worker += ["--nthreads", "1", "--memory-limit", "0"]
    processes = [
        subprocess.Popen(command, **QUIET) for command in (dask, worker, worker)
    ]
    try:
        run_ours(course, f"--scheduler={address}", "--insecure-scheduler")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def run_otter(course: Path, python: str) -> dict[str, float]:
    """Grades with otter-grader, one submission after another; returns the scores."""
    scores = {}
    for path in sorted((course / "otter").glob("*.ipynb")):
        output = course / "otter" / path.stem
        output.mkdir()
        options = ["-a", "autograder.zip", "-o", path.stem, path.name]
        command = [python, "-m", "otter", "run", *options]
        subprocess.run(command, cwd=course / "otter", check=True, **QUIET)
        results = json.loads((output / "results.json").read_text())
        scores[path.stem] = sum(test.get("score", 0) for test in results["tests"])
    return scores


def run_floor(course: Path) -> None:
    """Executes the cells of each submission in a fork of one process."""
    command = [sys.executable, __file__, "floor", str(course)]
    subprocess.run(command, check=True, **QUIET)


def execute_floor(course: Path) -> None:
    """Does so, in that process."""
    import importlib

    from courseai_helpers.grading.sandbox.forkserver import MODULES

    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for module in MODULES:
        importlib.import_module(module)
    for path in sorted(course.glob(f"submitted/*/*/{ASSIGNMENT}.ipynb")):
        if (child := os.fork()) == 0:
            execute_cells(path)
            os._exit(0)
        os.waitpid(child, 0)


def execute_cells(path: Path) -> None:
    """Executes the cells of a notebook, figures drawn, in this process."""
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    shell = InteractiveShell.instance()
    shell.display_formatter.active_types = shell.display_formatter.format_types
    set_matplotlib_formats("png")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source)


def print_table(costs: dict[str, list[Cost]], counts: dict[str, int]) -> None:
    """Prints the medians, and the ratios that count."""
    print(f"{'':34} number  wall s  CPU s  private MB   scores, lost in each round")
    medians = {}
    for name, rounds in costs.items():
        submissions = counts[name]
        wall = statistics.median(cost.wall for cost in rounds) / submissions
        cpu = statistics.median(cost.cpu for cost in rounds) / submissions
        cpu = math.nan if name == REMOTE else cpu
        jobs = 2 if "2" in name or "two" in name else 1
        private = max(cost.private for cost in rounds) / jobs / 1e6
        medians[name] = wall
        scores = sorted({score for cost in rounds for score in cost.scores.values()})
        lost = [submissions - len(cost.scores) for cost in rounds]
        numbers = f"{submissions:6} {wall:7.1f} {cpu:6.1f} {private:11.0f}"
        print(f"{name:34} {numbers}   {f'{scores} {lost}' if scores else 'no scores'}")
    stock = medians["stock nbgrader"]
    for name, wall in medians.items():
        print(f"{name}: {stock / wall:.2f} times the submissions per hour of stock")


if __name__ == "__main__":
    if sys.argv[1:2] == ["floor"]:
        execute_floor(Path(sys.argv[2]))
    else:
        main()
