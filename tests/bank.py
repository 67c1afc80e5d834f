"""Runs the lesson's own test cells over the bank of student work in `submissions/`.

`python tests/bank.py [--examiner] [exercise ...]` prints a table and ends with 1 if an
entry is misjudged. With --examiner the test cells run in another process than the work
that they judge, as they do when a class is graded.
Each file of the bank holds the work for one exercise, an entry to a cell:

    # %% right: what is special about it
    # %% wrong, caught by relu and scale: what is wrong about it

An entry is what a student may have typed: either the whole answer cell, or, where the
lesson gives a scaffold, the lines that take the place of the TODO. After "caught by"
stand all the test cells that have to reject it: `relu` is `test_grad_cam_relu`.
"""

import ast
import contextlib
import ctypes
import io
import math
import multiprocessing
import os
import re
import resource
import signal
import socket
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[1]
SUBMISSIONS = ROOT / "tests" / "submissions"
NOTEBOOK = ROOT / "source/visualizing_features/visualizing_features.ipynb"
EXERCISES = (
    "normalize_filters",
    "filter_to_image",
    "capture_activations",
    "grad_cam",
    "top_class_heatmaps",
    "heat_inside",
)
SETUP = ("setup_imports", "setup_model", "setup_photo")
PR_SET_PDEATHSIG = 1  # a signal to get when the process that forked this one ends
CPU_SECONDS = 12  # for one entry; a right one takes about one
SECONDS = 240  # the same by the clock, for a busy machine and for work that waits
MARK = "### BEGIN HIDDEN TESTS"
HEADER = re.compile(r"^# %% (?:(right)|wrong, caught by ([\w ]+)): (.+)$", re.MULTILINE)
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION", re.M | re.S)


@dataclass(frozen=True)
class Entry:
    """One piece of student work.

    Attributes:
        exercise: The function it is for.
        title: What is special or wrong about it.
        caught_by: The test cells that have to reject it; none for a right one.
        code: The answer cell's code, or the code in place of the TODO.
        line: Its line in the bank.
    """

    exercise: str
    title: str
    caught_by: frozenset[str]
    code: str
    line: int

    def __str__(self) -> str:
        return f"tests/submissions/{self.exercise}.py:{self.line} ({self.title})"


@dataclass(frozen=True)
class Verdict:
    """What the test cells said about an entry.

    Attributes:
        entry: The entry.
        messages: For each test cell that rejected it, by its short name, the message.
        crashed: The test cells that crashed instead of saying what is wrong.
        lines: For each test cell that rejected it, the line that did.
        visible: The test cells whose visible part rejected it.
    """

    entry: Entry
    messages: dict[str, str]
    crashed: frozenset[str]
    lines: dict[str, int]
    visible: frozenset[str]

    @property
    def trouble(self) -> str:
        """Says how the entry was misjudged, '' if it was not."""
        missed = ", ".join(sorted(self.entry.caught_by - self.messages.keys()))
        unfair = ", ".join(sorted(self.messages.keys() - self.entry.caught_by))
        broken = ", ".join(sorted(self.crashed))
        found = {"accepted by": missed, "rejected by": unfair, "breaks": broken}
        return "; ".join(f"{what} {cells}" for what, cells in found.items() if cells)


def read_entries(exercise: str) -> list[Entry]:
    """Reads the part of the bank that belongs to one exercise."""
    text = (SUBMISSIONS / f"{exercise}.py").read_text()
    headers = list(HEADER.finditer(text))
    if len(headers) != text.count("# %%"):
        raise ValueError(f"A header in {exercise}.py can't be read: see tests/bank.py")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    entries = []
    for header, end in zip(headers, ends, strict=True):
        caught_by = frozenset(header[2].split(" and ")) if header[2] else frozenset()
        code = text[header.end() : end].strip("\n")
        line = text.count("\n", 0, header.start()) + 1
        entries.append(Entry(exercise, header[3], caught_by, code, line))
    return entries


def read_cells() -> dict[str, str]:
    """Returns the code cells of the authored notebook by id."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def select_tests(cells: dict[str, str], exercise: str) -> dict[str, str]:
    """Returns the test cells of an exercise by their short names."""
    start = f"test_{exercise}_"
    return {k.removeprefix(start): v for k, v in cells.items() if k.startswith(start)}


def complete(entry: Entry, cells: dict[str, str]) -> str:
    """Returns the answer cell as it stands in the submission."""
    names = {
        getattr(node, "name", None) or getattr(node.targets[0], "id", None)
        for node in ast.parse(entry.code).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign)
    }
    if entry.exercise in names:
        return entry.code
    return SOLUTION.sub(
        lambda found: textwrap.indent(entry.code, found[1]), cells[entry.exercise]
    )


def prepare(cells: dict[str, str]) -> dict:
    """Runs the cells before the exercises, and all the reference answers."""
    import torch

    torch.set_num_threads(1)
    namespace = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for name in (*SETUP, *EXERCISES):
            exec(compile(cells[name], f"<{name}>", "exec"), namespace)
    return namespace


def run_entry(code: str, tests: dict[str, str], namespace: dict, report) -> None:
    """Runs an answer cell and its test cells, and reports on each that rejects it."""
    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.stdin = open(os.devnull)
    for name, source in {"answer": code, **tests}.items():
        run_cell(name, source, namespace, report)
    report.close()


def run_cell(name: str, source: str, namespace: dict, report) -> None:
    """Runs a cell and reports how that went."""
    from courseai_helpers.grading.examiner.wire import GoneError

    try:
        exec(compile(source, f"<{name}>", "exec"), namespace)
    except BaseException as error:  # as a kernel does
        stack = traceback.extract_tb(error.__traceback__)
        line = max((f.lineno for f in stack if f.filename == f"<{name}>"), default=0)
        own = any(frame.filename == "<answer>" for frame in stack) or (
            stack[-1].name == "stand_in"  # which raises what the answer has raised
        )
        # A process that ran out of time and is gone is the answer's fault, too.
        expected = isinstance(error, AssertionError | GoneError)
        crashed = not own and not expected
        report.send((name, f"{type(error).__name__}: {error}", crashed, line))
    else:
        report.send((name, "", False, 0))


def run_entry_examined(
    code: str, tests: dict[str, str], namespace: dict, report
) -> None:
    """Does the same, but with the answer in one process and the tests in another."""
    from courseai_helpers.grading.examiner import (
        lesson_state,
        proxies,
        student_side,
        wire,
    )

    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.stdin = open(os.devnull)
    ours, theirs = socket.socketpair()
    setup = "\n".join(read_cells()[name] for name in SETUP)
    if os.fork() == 0:
        ours.close()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        lesson, kept = lesson_state.Lesson(namespace), {}
        lesson.keep(lesson_state.list_names(setup))
        run_cell("answer", code, namespace, report)
        with contextlib.suppress(wire.TransportError):
            while True:
                student_side.answer(theirs, lesson, kept)
        os._exit(0)
    theirs.close()
    proxies.connect(proxies.Line(ours), namespace, list(EXERCISES), setup)
    for name, source in tests.items():
        run_cell(name, source, namespace, report)
    report.close()


def judge(
    entries: Iterable[Entry],
    cells: dict[str, str],
    namespace: dict,
    jobs: int = 2,
    run: Callable = run_entry,
) -> Iterator[Verdict]:
    """Judges every entry in a process of its own; yields verdicts as they come."""
    for entry, said in run_each(entries, cells, namespace, jobs, run):
        yield make_verdict(entry, select_tests(cells, entry.exercise), said)


def run_each(
    entries: Iterable[Entry],
    cells: dict[str, str],
    namespace: dict,
    jobs: int,
    run: Callable,
) -> Iterator[tuple[Entry, dict[str, list]]]:
    """Runs entries in processes of their own; yields what each reported, by name."""
    waiting, running = list(entries)[::-1], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            entry = waiting.pop()
            receiver, process = start(entry, cells, namespace, run)
            running[receiver] = (entry, process, time.monotonic() + SECONDS, {})
        soonest = min(deadline for _, _, deadline, _ in running.values())
        ready = connection.wait(running, max(0, soonest - time.monotonic()))
        for receiver, (entry, process, deadline, said) in list(running.items()):
            ended = time.monotonic() > deadline
            if receiver in ready:
                try:
                    name, *rest = receiver.recv()
                    said[name] = rest
                except EOFError:
                    ended = True
            if ended:
                del running[receiver]
                process.kill()
                process.join()
                yield entry, said


def start(entry: Entry, cells: dict[str, str], namespace: dict, run: Callable) -> tuple:
    """Starts a process for an entry; returns the end of its pipe, and the process."""
    fork = multiprocessing.get_context("fork")
    receiver, report = fork.Pipe(duplex=False)
    tests = select_tests(cells, entry.exercise)
    arguments = (run, complete(entry, cells), tests, namespace, report)
    process = fork.Process(target=run_limited, args=arguments)
    process.start()
    report.close()
    return receiver, process


def run_limited(run: Callable, *arguments: Any) -> None:
    """Runs an entry for so much time of the processor, however busy the machine is."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    run(*arguments)


def make_verdict(entry: Entry, tests: dict[str, str], said: dict) -> Verdict:
    """Sums up what the test cells said; those that did not come to it reject."""
    silent = ("the process ended, or took too long", False, 0)
    outcomes = {name: said.get(name, silent) for name in tests}
    lines = {name: line for name, (message, _, line) in outcomes.items() if message}
    return Verdict(
        entry,
        {name: message for name, (message, _, _) in outcomes.items() if message},
        frozenset(name for name, (_, crashed, _) in outcomes.items() if crashed),
        lines,
        frozenset(
            name for name, line in lines.items() if line < find_mark(tests[name])
        ),
    )


def find_mark(source: str) -> float:
    """Returns the line of a test cell with which its hidden part begins."""
    return source[: source.index(MARK)].count("\n") + 1 if MARK in source else math.inf


def print_table(verdicts: list[Verdict], seconds: float) -> None:
    """Prints how many entries were judged rightly, and every one that was not.

    A wrong entry is rejected visibly if a test cell says so that students have, too.
    """
    print(f"{'':24}{'right work':>22}{'wrong work':>22}")
    heads = ("accepted", "rejected", "accepted", "rejected", "visibly")
    print(f"{'exercise':24}" + "".join(f"{head:>11}" for head in heads))
    for exercise in EXERCISES:
        part = [verdict for verdict in verdicts if verdict.entry.exercise == exercise]
        right = [bool(v.trouble) for v in part if not v.entry.caught_by]
        wrong = [bool(v.trouble) for v in part if v.entry.caught_by]
        visibly = sum(bool(v.visible and v.entry.caught_by) for v in part)
        row = [right.count(False), sum(right), sum(wrong), wrong.count(False), visibly]
        if part:
            print(f"{exercise:24}" + "".join(f"{number:11}" for number in row))
    for verdict in verdicts:
        if verdict.trouble:
            print(f"{verdict.entry}: {verdict.trouble}")
            for name, message in verdict.messages.items():
                print(f"    {name}: {message}")
        elif verdict.entry.caught_by and not verdict.visible:
            print(f"{verdict.entry}: only hidden tests reject it")
    bad = sum(bool(verdict.trouble) for verdict in verdicts)
    print(f"{len(verdicts)} entries, {bad} misjudged, {seconds:.0f} s")


def main(arguments: list[str]) -> int:
    """Judges the bank, or the part that belongs to some exercises."""
    start = time.monotonic()
    exercises = [name for name in arguments if name != "--examiner"]
    run = run_entry if exercises == arguments else run_entry_examined
    cells = read_cells()
    namespace = prepare(cells)
    entries = [entry for name in exercises or EXERCISES for entry in read_entries(name)]
    verdicts = sorted(
        judge(entries, cells, namespace, run=run),
        key=lambda verdict: entries.index(verdict.entry),
    )
    print_table(verdicts, time.monotonic() - start)
    return 1 if any(verdict.trouble for verdict in verdicts) else 0


if __name__ == "__main__":
    os.environ.update(COURSEAI_OFFLINE="1", MPLBACKEND="Agg", OMP_NUM_THREADS="1")
    sys.exit(main(sys.argv[1:]))
