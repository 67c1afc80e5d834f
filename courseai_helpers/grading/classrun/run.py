"""Grades a class: sanitizes here, executes anywhere, records with a single writer."""

import contextlib
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.classrun.autograde import (
    STEP,
    LenientCourseDirectory,
    StagedAutograde,
)
from courseai_helpers.grading.classrun.logfile import keep_log
from courseai_helpers.grading.classrun.pace import MANY, make_reference, measuring_pace
from courseai_helpers.grading.classrun.progress import show_progress
from courseai_helpers.grading.cluster.execution import Executed, Submission
from courseai_helpers.grading.cluster.workers import Workers, execute_all, open_workers
from courseai_helpers.grading.gradebook.ledger import (
    Entry,
    create_table,
    hold_course,
    read_entries,
    write_entry,
)
from courseai_helpers.grading.gradebook.names import (
    explain_bad_id,
    explain_bad_name,
    find_alike,
)
from courseai_helpers.grading.gradebook.settings import read_settings
from courseai_helpers.grading.gradebook.transaction import open_transaction
from courseai_helpers.grading.report.changes import (
    CHANGES,
    Change,
    compare,
    list_exercises,
    read_points,
    save_changes,
)
from courseai_helpers.grading.sandbox.bubblewrap import require_hidden
from courseai_helpers.grading.sandbox.trial import require_sandbox
from courseai_helpers.grading.submissions.folders import (
    SubmissionError,
    compute_fingerprint,
    put_in_place,
)

log = logging.getLogger(__name__)

# The settings that those who execute a submission have to know.
EXECUTION = (
    "Execute",
    "ExecutePreprocessor",
    "NotebookClient",
    "SandboxedExecute",
    "SandboxProvisioner",
)
MAX_LENGTH = 400  # characters of the notes on a submission


@dataclass
class Outcome:
    """What a run did, by the students' ids."""

    graded: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # with the reason
    failed: dict[str, str] = field(default_factory=dict)  # by our own fault
    notes: dict[str, list[str]] = field(default_factory=dict)  # on what was repaired
    changes: list[Change] = field(default_factory=list)  # since the last grading
    dry: bool = False  # whether nothing was kept
    log: Path | None = None  # where the run's log is, if anything was to be logged

    def describe(self) -> str:
        """Says in a few lines what was done, what was not, and why."""
        lines = [f"{len(self.graded)} graded, {len(self.skipped)} graded before."]
        if self.dry:
            lines.append("This was a dry run: nothing of it was kept.")
        for student, notes in self.notes.items():
            lines.append(f"{student}: {shorten(quote(' '.join(notes)))}")
        for student, reason in self.refused.items():
            lines.append(f"{quote(student)} can't be graded: {quote(reason)}")
        for student, reason in self.failed.items():
            lines.append(
                f"{student} was not graded, by no fault of theirs: {quote(reason)}"
            )
        if self.failed:
            lines.append("Run the same command again to grade what was not.")
        if self.log:
            lines.append(f"The log of this run is {self.log}")
        return "\n".join(lines)


def quote(text: str) -> str:
    """Returns what others have said; its further lines can't pass for ours."""
    return text.replace("\n", "\n    ")


def shorten(text: str) -> str:
    """Returns a text for one line."""
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:MAX_LENGTH]} … The rest is at the top of the autograded notebook."


@dataclass
class ClassRun:
    """What the steps of a run share."""

    converter: StagedAutograde
    engine: sqlalchemy.Engine
    known: dict[str, Entry] = field(default_factory=dict)  # from earlier runs
    exercises: list[str] = field(default_factory=list)
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
    dry: bool = False,
    run_all: bool = False,
    insecure: bool = False,
    verbose: bool = False,
) -> Outcome:
    """Grades every submission of an assignment that is not graded yet.

    Args:
        course: The top of the course directory.
        assignment: The assignment's name.
        jobs: How many submissions to execute at the same time on this machine.
        scheduler: The address of a Dask scheduler whose workers do that instead.
        force: Whether to grade again what has not changed.
        sandbox: Whether to isolate student code; otherwise it runs with our rights.
        dry: Whether to keep nothing, and only say what would change.
        run_all: Whether to run the cells for looking, too.
        insecure: Whether a scheduler may be one that anybody can connect to.
        verbose: Whether to print the log as well.

    Raises:
        CourseError: if the run can't start.
    """
    run = prepare(course, assignment, sandbox=sandbox)
    if run_all:
        run.converter.config.SandboxedExecute.run_all = True
    if sandbox:
        require_hidden(course)
    run.outcome.dry = dry
    with (
        hold_course(course, run.engine),
        keep_log(course, assignment, verbose=verbose, file=not dry) as path,
    ):
        if not dry:
            create_table(run.engine)
        todo = choose(run, force)
        try:
            if todo:
                where = scheduler or f"{jobs} at a time here"
                log.info("Submissions to grade: %d, %s", len(todo), where)
                if sandbox and not scheduler:
                    require_sandbox()  # warms what every kernel is forked from, too
                ways = {"sandbox": sandbox, "insecure": insecure}
                with open_workers(jobs, scheduler, **ways) as workers:
                    grade_all(run, todo, workers)
        finally:
            shutil.rmtree(course / STEP, ignore_errors=True)
        run.outcome.log = path.relative_to(course) if path.exists() else None
        if run.outcome.changes and not dry:
            save_changes(course / CHANGES.format(assignment), run.outcome.changes)
    return run.outcome


def prepare(course: Path, assignment: str, *, sandbox: bool) -> ClassRun:
    """Reads the settings and makes sure that the assignment can be graded.

    Raises:
        CourseError: if it can't, or if the settings can't be read.
    """
    config = read_settings(course).config
    config.SandboxedExecute.sandbox = sandbox
    config.CourseDirectory.root = str(course)
    coursedir = LenientCourseDirectory(config=config)
    coursedir.assignment_id = assignment
    converter = StagedAutograde(coursedir, config=config)
    converter.require_assignment()
    return ClassRun(converter, sqlalchemy.create_engine(coursedir.db_url))


def choose(run: ClassRun, force: bool) -> dict[str, str]:
    """Returns the fingerprints of what has to be graded; notes the rest as skipped."""
    run.known = read_entries(run.engine, run.assignment)
    known = {} if force else run.known
    with run.converter.open_gradebook() as gradebook:
        run.exercises = list_exercises(gradebook, run.assignment)
    todo = {}
    submissions = run.converter.list_submissions()
    run.outcome.refused.update(find_odd_names(run, submissions))
    run.outcome.notes.update(find_doubled_names(run, submissions))
    for student, folder in submissions.items():
        if student in run.outcome.refused:
            continue
        try:
            fingerprint = compute_fingerprint(folder)
        except SubmissionError as error:
            refuse(run, student, Entry("", refused=str(error)))
            continue
        entry = known.get(student)
        if entry is None or entry.fingerprint != fingerprint:
            todo[student] = fingerprint
        elif entry.refused:
            run.outcome.refused[student] = entry.refused
        else:
            run.outcome.skipped.append(student)
    return todo


def find_odd_names(run: ClassRun, students: Iterable[str]) -> dict[str, str]:
    """Returns the students whose names keep them from being graded, with reasons.

    This is not recorded, so that a submission is graded once the name is corrected.
    """
    with run.converter.open_gradebook() as gradebook:
        reasons = {
            student: explain_bad_id(student) or explain_bad_name(gradebook, student)
            for student in students
        }
    return {student: reason for student, reason in reasons.items() if reason}


def find_doubled_names(run: ClassRun, students: Iterable[str]) -> dict[str, list[str]]:
    """Returns notes on students whose ids differ from another's in case only."""
    with run.converter.open_gradebook() as gradebook:
        known = {student.id for student in gradebook.students}
    return {
        student: [
            f"There is also {other}, whose id differs in case only. If they are the "
            "same, move the work to the folder of the right id and remove the other "
            "student in the Formgrader."
        ]
        for student, other in find_alike(students, known | {*students}).items()
    }


def grade_all(run: ClassRun, todo: dict[str, str], workers: Workers) -> None:
    """Sanitizes, sends off and records one submission after another."""
    with measure_beside(run, len(todo)), show_progress() as progress:
        bar = progress.add_task(f"Grading {run.assignment}", total=len(todo))

        def sanitize_all() -> Iterator[Submission]:
            for student, fingerprint in todo.items():
                if submission := sanitize(run, student, fingerprint):
                    yield submission
                else:
                    progress.advance(bar)

        for executed in execute_all(sanitize_all(), workers):
            if executed.trouble:
                run.outcome.failed[executed.student] = executed.trouble
                log.info("%s was not graded: %s", executed.student, executed.trouble)
            else:
                record(run, executed, todo[executed.student])
            progress.advance(bar)


@contextlib.contextmanager
def measure_beside(run: ClassRun, count: int) -> Iterator[None]:
    """Measures what right work takes while the first of a large class are graded.

    These have the limits of nbgrader_config.py; the others have what was measured.
    """
    reference = make_reference(run.converter) if count >= MANY else None
    if reference is None:
        yield
        return
    settings = run.converter.config.SandboxedExecute

    def limit(seconds: dict[str, float]) -> None:
        settings.usual_seconds = seconds

    with measuring_pace(configure(run, reference), limit):
        yield


def sanitize(run: ClassRun, student: str, fingerprint: str) -> Submission | None:
    """Returns what to execute of a submission, or None if it can't be graded."""
    try:
        with open_transaction(run.engine) as url, run.converter.using(url):
            submission = run.converter.sanitize(student)
    except SubmissionError as error:
        refuse(run, student, Entry(fingerprint, refused=str(error)))
        return None
    return configure(run, submission)


def configure(run: ClassRun, submission: Submission) -> Submission:
    """Adds the settings of those who execute a submission."""
    config = run.converter.config
    submission.config = {k: dict(config[k]) for k in EXECUTION if k in config}
    return submission


def refuse(run: ClassRun, student: str, entry: Entry) -> None:
    """Notes that a submission can't be graded."""
    log.info("%s can't be graded: %s", student, entry.refused)
    run.outcome.refused[student] = entry.refused
    if run.outcome.dry:
        return
    with open_transaction(run.engine) as url:
        write_entry(url, run.assignment, student, entry)


def record(run: ClassRun, executed: Executed, fingerprint: str) -> None:
    """Records what became of a submission; all of it, or nothing."""
    student = executed.student
    notes = executed.list_notes()
    entry = Entry(fingerprint, "", executed.seconds, executed.list_failures(), notes)
    try:
        keep = not run.outcome.dry
        with open_transaction(run.engine, keep=keep) as url, run.converter.using(url):
            before = read_points(url, run.assignment, student)
            staged = run.converter.record(executed)
            if before:
                now = read_points(url, run.assignment, student)
            if keep:
                write_entry(url, run.assignment, student, entry)
                put_in_place(staged, run.converter.find_destination(student))
    except (OSError, sqlalchemy.exc.OperationalError) as error:
        raise CourseError(
            f"The result for {student} can't be written: {error}. Nothing of it was "
            f"kept, and the {len(run.outcome.graded)} before it are safe. Is the disk "
            "full? Make room and run the same command again: it goes on from here."
        ) from error
    if before:
        entries = run.known.get(student, Entry("")), entry
        run.outcome.changes += compare(student, (before, now), entries, run.exercises)
    if notes:
        run.outcome.notes.setdefault(student, []).extend(notes)
    run.outcome.graded.append(student)
    failures = ", ".join(entry.failures) or "none"
    log.info("%s was graded in %.1f s, failed: %s", student, entry.seconds, failures)
