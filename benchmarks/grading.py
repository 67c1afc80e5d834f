"""Measures what grading a submission costs, against stock nbgrader.

Run it at the top of the repository, on a machine that has nothing else to do:

    python benchmarks/grading.py

Every way of grading gets the same notebook, solved and run as students hand it in. The
ways take turns, round by round, each time in another order, so that a machine that is
busy for a while is so for all of them; no round begins that would not end in time. What
is printed are medians over the rounds with the lowest and the highest, and the ratios
are those within a round. Times are for one submission; CPU time is that of all
processes together. The scores must be the same everywhere.

Stock nbgrader uses as many cores as PyTorch likes. "The cells that are run" are those
that ours does not leave out, in forks of a warm process with one thread. "Starting and
ending" is what a run with a single submission takes beside the execution.

otter-grader takes part with `--otter PYTHON`, the Python of an environment that has it
(the extra `benchmark`) and this package. It gets the same answers, and the same test
cells as test cases of its own format.
"""

import argparse
import contextlib
import importlib
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nbformat
import sqlalchemy
from nbgrader.api import Gradebook

from courseai_helpers.grading.authoring.nbgrader_commands import (
    copy_source,
    run_nbgrader,
)
from courseai_helpers.grading.gradebook.ledger import read_entries
from courseai_helpers.grading.steps.looking import choose_skipped

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "visualizing_features"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
OWN_STEPS = "c.Autograde.autograde_preprocessors"
FLOOR, PAIR = "the cells that are run", "the same, two at a time"
STOCK = "stock nbgrader"
START = "starting and ending"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class Cost:
    """What one way of grading took for one submission: seconds, and bytes."""

    wall: float
    cpu: float
    private: float  # the most that a submission's kernels had to themselves
    scores: dict[str, float]


@dataclass
class Way:
    """A way of grading, and the course that it gets a copy of.

    Attributes:
        grade: Grades the course in a folder. It may return what that took and the
            scores, where they are not to be found in the usual way.
        template: The course.
        submissions: How many there are in it.
        jobs: How many are executed at the same time.
    """

    grade: Callable[[Path], Cost | None]
    template: Path
    submissions: int
    jobs: int = 1


def main() -> None:
    """Prints a table of costs, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=36, help="a large class")
    parser.add_argument("--small", type=int, default=12, help="a small class")
    parser.add_argument("--stock", type=int, default=6, help="of them for stock")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--otter", metavar="PYTHON")
    options = parser.parse_args()
    os.environ["COURSEAI_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as directory:
        ways = list_ways(Path(directory), options)
        rounds = list(measure_rounds(ways, options.rounds, options.minutes * 60))
    print_table(ways, rounds)
    check_scores(ways, rounds)


def list_ways(directory: Path, options: argparse.Namespace) -> dict[str, Way]:
    """Makes the courses, and returns the ways of grading them by their names."""
    few = make_course(directory / "few", options.stock)
    small = make_course(directory / "small", options.small)
    large = make_course(directory / "large", options.submissions)
    one = make_course(directory / "one", 1)
    ways = {
        FLOOR: Way(run_floor, few, options.stock),
        PAIR: Way(partial(run_floor, jobs=2), few, options.stock, 2),
        STOCK: Way(run_stock, few, options.stock),
        START: Way(run_one, one, 1),
    }
    for jobs, course, count in (
        (1, small, options.small),
        (2, small, options.small),
        (2, large, options.submissions),
    ):
        name = f"ours, --jobs {jobs}, class of {count}"
        ways[name] = Way(partial(run_ours, jobs=jobs), course, count, jobs)
    if options.otter:
        run = partial(run_otter, python=options.otter)
        ways["otter-grader"] = Way(run, few, options.stock)
    return ways


def make_course(course: Path, submissions: int) -> Path:
    """Makes a course with the lesson and right submissions, run by the students."""
    copy_source(ROOT, ASSIGNMENT, course)
    run_nbgrader(course, "generate_assignment", ASSIGNMENT)
    for number in range(submissions):
        folder = course / "submitted" / f"student{number}" / ASSIGNMENT
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / ASSIGNMENT / NOTEBOOK, folder)
    return course


def measure_rounds(
    ways: dict[str, Way], rounds: int, seconds: float
) -> Iterator[dict[str, Cost]]:
    """Measures all ways again and again, as long as there is time."""
    end, longest = time.monotonic() + seconds, 0.0
    for number in range(rounds):
        start = time.monotonic()
        if start + longest > end:
            print(f"{number} of {rounds} rounds: there is no time for more")
            return
        names = [*ways] if number % 2 == 0 else [*reversed(ways)]
        costs = {}
        for name in names:
            costs[name] = measure(ways[name])
            print(name, costs[name], file=sys.stderr, flush=True)
        longest = max(longest, time.monotonic() - start)
        yield costs


def measure(way: Way) -> Cost:
    """Grades a copy of a course, and returns what that took."""
    with tempfile.TemporaryDirectory() as directory:
        course = shutil.copytree(way.template, Path(directory, "course"))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        with watch_memory() as peak:
            told = way.grade(course)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        private = max(peak, default=0) / way.jobs
        if told:
            return replace(told, private=private)
        count = way.submissions
        return Cost(wall / count, cpu / count, private, read_scores(course))


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
    return b"sandbox.forkserver" in command and len(ids) > 1


def run_stock(course: Path) -> None:
    """Grades with nbgrader's own preprocessors, in one process."""
    settings = course / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace(OWN_STEPS, "unused"))
    command = [sys.executable, "-m", "nbgrader", "autograde", ASSIGNMENT]
    subprocess.run(command, cwd=course, check=True, **QUIET)


def run_ours(course: Path, jobs: int) -> None:
    """Grades with `courseai grade`."""
    command = [sys.executable, "-m", "courseai_helpers.cli", "grade", ASSIGNMENT]
    subprocess.run([*command, f"--jobs={jobs}"], cwd=course, check=True, **QUIET)


def run_one(course: Path) -> Cost:
    """Grades a single submission, and leaves out the time of its execution."""
    start = time.monotonic()
    run_ours(course, jobs=1)
    wall = time.monotonic() - start
    engine = sqlalchemy.create_engine(f"sqlite:///{course / 'gradebook.db'}")
    (entry,) = read_entries(engine, ASSIGNMENT).values()
    engine.dispose()
    return Cost(wall - entry.seconds, math.nan, 0, read_scores(course))


def run_floor(course: Path, jobs: int = 1) -> Cost:
    """Executes the cells of each submission in a fork of one process."""
    command = [sys.executable, __file__, "floor", str(course), str(jobs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE
    )
    wall, cpu = json.loads(result.stdout.splitlines()[-1])
    return Cost(wall, cpu, 0, {})


def execute_floor(course: Path, jobs: int) -> None:
    """Does so, in that process, and prints what a submission took."""
    from courseai_helpers.grading.sandbox.forkserver import MODULES

    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for module in MODULES:
        importlib.import_module(module)
    paths = sorted(course.glob(f"submitted/*/*/{NOTEBOOK}"))
    start = time.monotonic()
    for place, path in enumerate(paths):
        if place >= jobs:
            os.wait()
        if os.fork() == 0:
            execute_cells(course, path)
            os._exit(0)
    for _ in paths[-jobs:]:
        os.wait()
    wall = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps([wall / len(paths), cpu / len(paths)]))


def execute_cells(course: Path, path: Path) -> None:
    """Executes the cells that grading runs, figures drawn, in this process."""
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    shell = InteractiveShell.instance()
    shell.display_formatter.active_types = shell.display_formatter.format_types
    set_matplotlib_formats("png")
    # The solved notebook has no marks; the authored one, solved as it is, has them.
    cells = nbformat.read(course / "source" / ASSIGNMENT / NOTEBOOK, as_version=4).cells
    skipped = choose_skipped(cells)
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and place not in skipped:
            shell.run_cell(cell.source)


def make_otter(course: Path) -> None:
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
    for student in (course / "submitted").iterdir():
        nbformat.write(notebook, folder / f"{student.name}.ipynb")


def run_otter(course: Path, python: str) -> Cost:
    """Grades with otter-grader, one submission after another; returns the scores."""
    start = time.monotonic()
    make_otter(course)
    scores = {}
    for path in sorted((course / "otter").glob("*.ipynb")):
        output = course / "otter" / path.stem
        output.mkdir()
        options = ["-a", "autograder.zip", "-o", path.stem, path.name]
        command = [python, "-m", "otter", "run", *options]
        subprocess.run(command, cwd=course / "otter", check=True, **QUIET)
        results = json.loads((output / "results.json").read_text())
        scores[path.stem] = sum(test.get("score", 0) for test in results["tests"])
    wall = (time.monotonic() - start) / len(scores)
    return Cost(wall, math.nan, 0, scores)


def print_table(ways: dict[str, Way], rounds: list[dict[str, Cost]]) -> None:
    """Prints the medians with their spread, and the ratios that count."""
    print(f"{'':34} {'wall s':22} {'CPU s':22} private MB")
    for name in ways:
        costs = [each[name] for each in rounds]
        wall, cpu = (show([vars(c)[key] for c in costs]) for key in ("wall", "cpu"))
        private = max(cost.private for cost in costs) / 1e6
        print(f"{name:34} {wall:22} {cpu:22} {private:10.0f}")
    for name in ways:
        if name.startswith("ours"):
            faster = show([each[STOCK].wall / each[name].wall for each in rounds])
            beside = show([each[name].cpu - each[FLOOR].cpu for each in rounds])
            print(f"{name}: {faster} times the submissions an hour of stock nbgrader,")
            print(f"    {beside} CPU seconds above those of the cells")
    one, two = [name for name in ways if name.startswith("ours")][:2]
    for title, first, second in (("ours", one, two), ("bare cells", FLOOR, PAIR)):
        more = show([each[first].wall / each[second].wall for each in rounds])
        print(f"{title}: two jobs do {more} times the work of one")


def show(values: list[float]) -> str:
    """Returns a median with the lowest and the highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def check_scores(ways: dict[str, Way], rounds: list[dict[str, Cost]]) -> None:
    """Says whether everybody got the same score everywhere; ends with 1 if not."""
    found = set()
    for costs in rounds:
        for name, cost in costs.items():
            found |= set(cost.scores.values())
            if name not in (FLOOR, PAIR) and len(cost.scores) != ways[name].submissions:
                sys.exit(f"{name} has lost somebody: {len(cost.scores)} scores")
    print(f"All scores: {sorted(found)}")
    if len(found) != 1:
        sys.exit("The scores differ.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["floor"]:
        execute_floor(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
