"""Grades a class: sanitises here, executes anywhere, records with a single writer."""

import contextlib
import logging
import shutil
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import sqlalchemy
from distributed import Client, Future, LocalCluster, as_completed
from nbgrader.coursedir import CourseDirectory
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
)
from rich.progress import Task as ProgressTask
from rich.text import Text
from traitlets.config import PyFileConfigLoader

from courseai_helpers.grading.course import CourseError
from courseai_helpers.grading.ledger import (
    Entry,
    create_table,
    hold_course,
    read_entries,
    write_entry,
)
from courseai_helpers.grading.repair import SubmissionError
from courseai_helpers.grading.sandbox import require_hidden
from courseai_helpers.grading.staging import (
    STEP,
    StagedAutograde,
    Submission,
    compute_fingerprint,
    execute,
    put_in_place,
)
from courseai_helpers.grading.transaction import open_transaction
from courseai_helpers.grading.trial import require_sandbox

# The settings that those who execute a submission have to know.
EXECUTION = (
    "Execute",
    "ExecutePreprocessor",
    "NotebookClient",
    "SandboxedExecute",
    "SandboxProvisioner",
)
# Submissions at a time in one worker: they share the process that forks kernels, and
# what it computes ahead. With more of them, Python's lock would hold them up.
THREADS = 4
RETRIES = 2  # of what failed by our own fault


@dataclass
class Outcome:
    """What a run did, by the students' ids."""

    graded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # with the reason
    failed: dict[str, str] = field(default_factory=dict)  # by our own fault

    def describe(self) -> str:
        """Says in some lines what was done and what was not, and why."""
        lines = [f"{len(self.graded)} graded, {len(self.skipped)} graded before."]
        for student, reason in self.refused.items():
            lines.append(f"{student} can't be graded: {reason}")
        for student, reason in self.failed.items():
            lines.append(f"{student} was not graded, by no fault of theirs: {reason}")
        if self.failed:
            lines.append("Run the same command again to grade what was not.")
        return "\n".join(lines)


@dataclass
class ClassRun:
    """What the steps of a run share."""

    converter: StagedAutograde
    engine: sqlalchemy.Engine
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def assignment(self) -> str:
        """The name of the assignment."""
        return self.converter.coursedir.assignment_id


def grade_class(
    course: Path,
    assignment: str,
    *,
    jobs: int,
    scheduler: str | None,
    force: bool,
    sandbox: bool,
) -> Outcome:
    """Grades every submission of an assignment that is not graded yet.

    Args:
        course: The top of the course directory.
        assignment: The assignment's name.
        jobs: How many submissions to execute at the same time on this machine.
        scheduler: The address of a Dask scheduler whose workers do that instead.
        force: Whether to grade anew what is graded and has not changed.
        sandbox: Whether to isolate student code; otherwise it runs with our rights.

    Raises:
        CourseError: if the run can't start.
    """
    run = prepare(course, assignment, sandbox=sandbox)
    if sandbox:
        require_hidden(course)
    with hold_course(course, run.engine):
        create_table(run.engine)
        todo = choose(run, force)
        try:
            if todo:
                with open_client(jobs, scheduler) as client:
                    grade_all(run, todo, client)
        finally:
            shutil.rmtree(course / STEP, ignore_errors=True)
    return run.outcome


def prepare(course: Path, assignment: str, *, sandbox: bool) -> ClassRun:
    """Reads the course's settings and makes sure that it can be graded."""
    # nbgrader's own and harmless; a class would see them a thousand times.
    warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
    if not (course / "nbgrader_config.py").is_file():
        raise CourseError(
            f"{course} has no nbgrader_config.py, so it is not the top of a course "
            "directory. Change to the directory that you cloned and try again."
        )
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()
    config.SandboxedExecute.sandbox = sandbox
    coursedir = CourseDirectory(config=config, root=str(course))
    coursedir.assignment_id = assignment
    converter = StagedAutograde(coursedir, config=config)
    converter.require_assignment()
    return ClassRun(converter, sqlalchemy.create_engine(coursedir.db_url))


def choose(run: ClassRun, force: bool) -> dict[str, str]:
    """Returns the fingerprints of what has to be graded; notes the rest as skipped."""
    known = {} if force else read_entries(run.engine, run.assignment)
    todo = {}
    for student, folder in run.converter.list_submissions().items():
        fingerprint = compute_fingerprint(folder)
        entry = known.get(student)
        if entry is None or entry.fingerprint != fingerprint:
            todo[student] = fingerprint
        elif entry.refused:
            run.outcome.refused[student] = entry.refused
        else:
            run.outcome.skipped.append(student)
    return todo


@contextlib.contextmanager
def open_client(jobs: int, scheduler: str | None) -> Iterator[Client]:
    """Opens a connection to a Dask scheduler; one of our own, if none is named."""
    if scheduler:
        try:
            client = Client(scheduler, timeout=20)
        except OSError as error:
            raise CourseError(
                f"There is no Dask scheduler at {scheduler} ({error}). Start one with "
                "`dask scheduler` and workers with `dask worker ADDRESS --nthreads N`, "
                "for N submissions at a time."
            ) from error
        with client:
            yield client
        return
    # It warns of workers that take their time to end, which is no trouble.
    logging.getLogger("distributed.nanny").setLevel(logging.ERROR)
    # Workers inherit this: a Ctrl-C is for this process, which stops them in order.
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        threads = max(n for n in range(1, THREADS + 1) if jobs % n == 0)
        cluster = LocalCluster(
            n_workers=jobs // threads,
            threads_per_worker=threads,
            memory_limit=0,  # the sandbox has its own
            dashboard_address=None,
            silence_logs=logging.CRITICAL,  # what fails is tried again or reported
        )
    finally:
        signal.signal(signal.SIGINT, usual)
    with cluster, Client(cluster) as client:
        yield client


def grade_all(run: ClassRun, todo: dict[str, str], client: Client) -> None:
    """Sanitises, sends away and records one submission after another."""
    waiting = iter(todo)
    running = as_completed([], with_results=False)
    students = {}
    try:
        client.wait_for_workers(1, timeout=60)
    except TimeoutError:
        raise CourseError(
            f"The Dask scheduler at {client.scheduler.address} has no workers. Start "
            "some with `dask worker ADDRESS --nthreads N`, for N submissions at a "
            "time, and try again."
        ) from None
    if run.converter.config.SandboxedExecute.sandbox:
        client.run(require_sandbox)  # warms what every kernel is forked from, too
    window = 2 * sum(client.nthreads().values())

    def send_next() -> None:
        for student in waiting:
            if future := send(run, client, student, todo[student]):
                students[future.key] = student
                running.add(future)
                return
            progress.advance(bar)

    with show_progress() as progress:
        bar = progress.add_task(f"Grading {run.assignment}", total=len(todo))
        for _ in range(window):
            send_next()
        for future in running:
            student = students.pop(future.key)
            receive(run, future, student, todo[student])
            progress.advance(bar)
            send_next()


class RateColumn(ProgressColumn):
    """Shows how many submissions an hour are graded, and the time left."""

    def render(self, task: ProgressTask) -> Text:
        """Takes the rate from the whole run: submissions end in bursts."""
        if not task.completed:
            return Text("")
        seconds = task.elapsed / task.completed
        left = timedelta(seconds=round(seconds * task.remaining))
        return Text(f"{3600 / seconds:.0f} an hour, {left} left")


def show_progress() -> Progress:
    """Returns a progress bar with the rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
    )


def send(
    run: ClassRun, client: Client, student: str, fingerprint: str
) -> Future | None:
    """Sends a submission to a worker, unless it is none."""
    try:
        submission = run.converter.sanitise(student)
    except SubmissionError as error:
        refuse(run, student, Entry(fingerprint, refused=str(error)))
        return None
    config = run.converter.config
    submission.config = {k: dict(config[k]) for k in EXECUTION if k in config}
    return client.submit(execute, submission, pure=False, retries=RETRIES)


def refuse(run: ClassRun, student: str, entry: Entry) -> None:
    """Notes that a submission can't be graded."""
    run.outcome.refused[student] = entry.refused
    with open_transaction(run.engine) as url:
        write_entry(url, run.assignment, student, entry)


def receive(run: ClassRun, future: Future, student: str, fingerprint: str) -> None:
    """Records what a worker has sent back; all of it, or nothing."""
    error = future.exception()
    if error is not None:
        run.outcome.failed[student] = f"{type(error).__name__}: {error}"
        return
    executed: Submission = future.result()
    future.release()
    entry = Entry(fingerprint, "", executed.seconds, executed.list_failures())
    try:
        with open_transaction(run.engine) as url:
            staged = run.converter.record(executed, url)
            write_entry(url, run.assignment, student, entry)
            put_in_place(staged, run.converter.find_destination(student))
    except (OSError, sqlalchemy.exc.OperationalError) as error:
        raise CourseError(
            f"The result for {student} can't be written: {error}. Nothing of it was "
            f"kept, and the {len(run.outcome.graded)} before it are safe. Is the disk "
            "full? Make room and run the same command again: it goes on from here."
        ) from error
    run.outcome.graded.append(student)
