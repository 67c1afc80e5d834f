"""Measures what one writer takes in when the execution of submissions costs nothing.

Run it at the top of the repository:

    python benchmarks/writer.py --submissions 100
    python benchmarks/writer.py --workers 64 --seconds 7 --rounds 5

The first prints how many submissions a second this machine sanitizes, reads back and
records, each by itself, with one process. The second grades a class on workers of a
Dask scheduler that sleep for as long as an execution takes, and says how busy they
were. What comes back is what a worker sends for right work, pictures included.
"""

import argparse
import contextlib
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

from courseai_helpers.grading.authoring.nbgrader_commands import (
    copy_source,
    run_nbgrader,
)
from courseai_helpers.grading.classrun import run as classrun
from courseai_helpers.grading.cluster import execution
from courseai_helpers.grading.cluster.replies import list_code_cells, write_reply
from courseai_helpers.grading.cluster.workers import open_workers, receive
from courseai_helpers.grading.gradebook.ledger import create_table
from courseai_helpers.grading.steps.failures import CAUSES
from courseai_helpers.grading.steps.looking import choose_skipped, show_not_run
from courseai_helpers.grading.submissions.folders import compute_fingerprint

ROOT = Path(__file__).resolve().parents[1]
ASSIGNMENT = "visualizing_features"
SECONDS, SOLVED = "BENCHMARK_SECONDS", "BENCHMARK_SOLVED"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=7, help="of an execution")
    parser.add_argument("--rounds", type=int, default=5, help="for each worker")
    options = parser.parse_args()
    count = options.workers * options.rounds or options.submissions
    os.environ["COURSEAI_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as directory:
        course = make_course(Path(directory, "course"), count)
        os.chdir(course)
        if options.workers:
            simulate(course, options.workers, options.seconds, options.rounds)
        else:
            measure_writer(course)
        os.chdir(ROOT)


def make_course(course: Path, count: int) -> Path:
    """Makes a course with the lesson and right submissions, as they are handed in."""
    copy_source(ROOT, ASSIGNMENT, course)
    run_nbgrader(course, "generate_assignment", ASSIGNMENT)
    for number in range(count):
        folder = course / "submitted" / f"student{number:05}" / ASSIGNMENT
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", folder)
    return course


def make_reply(submission: execution.Submission) -> bytes:
    """Returns what a worker sends back for right work, without executing it."""
    path = os.environ.get(SOLVED, ROOT / "solutions" / ASSIGNMENT)
    solved = {}
    for file in Path(path).glob("*.ipynb"):
        cells = nbformat.read(file, as_version=4).cells
        solved |= {cell.source: cell.get("outputs", []) for cell in cells}
    notebooks = {}
    for name, content in submission.notebooks.items():
        notebook = notebooks[name] = nbformat.reads(content, as_version=4)
        for cell in list_code_cells({name: notebook}):
            cell.outputs = solved.get(cell.source, [])
        for place in choose_skipped(notebook.cells):
            show_not_run(notebook.cells[place])
        notebook.metadata[CAUSES] = {}
    return write_reply(notebooks, 7.0)


def measure_writer(course: Path) -> None:
    """Prints how many submissions a second each step takes."""
    run = classrun.prepare(course, ASSIGNMENT, sandbox=False)
    create_table(run.engine)
    seconds: dict[str, list[float]] = {}

    def step(name, function, *arguments):
        start = time.process_time()
        result = function(*arguments)
        seconds.setdefault(name, []).append(time.process_time() - start)
        return result

    reply = b""
    for student, folder in run.converter.list_submissions().items():
        fingerprint = step("look at the files", compute_fingerprint, folder)
        found = step("sanitize", classrun.sanitize, run, student, fingerprint)
        reply = reply or make_reply(found)
        executed = step("read the reply", receive, found, reply)
        step("record", classrun.record, run, executed, fingerprint)
    print(f"{len(reply) / 1e6:.1f} MB in a reply; medians in CPU seconds:")
    for name, values in seconds.items():
        show(name, values)
    show("all of it", [sum(values) for values in zip(*seconds.values(), strict=True)])


def show(name: str, values: list[float]) -> None:
    """Prints a median with its spread."""
    low, middle, high = statistics.quantiles(values, n=4)
    print(
        f"{name:20} {middle:.4f} ({low:.4f} to {high:.4f}), {1 / middle:.0f} a second"
    )


def simulate(course: Path, workers: int, seconds: float, rounds: int) -> None:
    """Prints how busy sleeping workers of a real scheduler are."""
    run = classrun.prepare(course, ASSIGNMENT, sandbox=False)
    create_table(run.engine)
    todo = {student: "" for student in run.converter.list_submissions()}
    classrun.MANY = sys.maxsize  # how long right work takes is not measured here
    with start_cluster(course, workers, seconds) as address:
        ways = {"sandbox": False, "insecure": True}
        with open_workers(1, address, **ways) as opened:
            wait_for(opened, workers)
            start, cpu = time.monotonic(), time.process_time()
            with contextlib.redirect_stdout(sys.stderr):
                classrun.grade_all(run, todo, opened)
            passed = time.monotonic() - start
    busy = rounds * seconds / passed
    used = (time.process_time() - cpu) / passed
    print(
        f"{workers} workers, {len(todo)} submissions of {seconds} s in {passed:.1f} s: "
        f"{busy:.0%} busy, {len(run.outcome.graded) / passed * 3600:.0f} an hour; the "
        f"writer's process used {used:.0%} of a core"
    )


def wait_for(opened, workers: int) -> None:
    """Makes sure that all workers are there."""
    if opened.count != workers:
        sys.exit(f"{opened.count} workers came, {workers} were wanted")


@contextlib.contextmanager
def start_cluster(course: Path, workers: int, seconds: float) -> Iterator[str]:
    """Starts a scheduler and workers whose executions are sleeps."""
    address = "tcp://127.0.0.1:28786"
    preload = (course / "sleeping").with_suffix(".py")
    preload.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import writer; writer.sleep_instead()\n"
    )
    environment = os.environ | {SECONDS: str(seconds)}
    environment[SOLVED] = str(ROOT / "solutions" / ASSIGNMENT)
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    worker += ["--no-dashboard", "--nthreads", str(workers), "--memory-limit", "0"]
    worker += ["--preload", str(preload), "--local-directory", str(course / "dask")]
    processes = [
        subprocess.Popen([*dask, "--host", address], **QUIET),
        subprocess.Popen(worker, env=environment, **QUIET),
    ]
    try:
        time.sleep(20)
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def sleep_instead() -> None:
    """Makes a worker answer after a sleep: called in its process."""
    seconds, replies = float(os.environ[SECONDS]), {}

    def answer_packed(packed: bytes) -> bytes:
        if not replies:
            replies["all"] = make_reply(pickle.loads(packed))
        time.sleep(seconds)
        return replies["all"]

    execution.answer_packed = answer_packed


if __name__ == "__main__":
    main()
