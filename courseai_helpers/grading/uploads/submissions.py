"""Puts downloaded submissions where nbgrader looks for them."""

import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from nbgrader.apps import NbGrader

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.printing import make_printable
from courseai_helpers.grading.gradebook.settings import (
    explain_database,
    find_assignment,
    open_gradebook,
    read_settings,
    require_gradebook,
)
from courseai_helpers.grading.lms.roster import Person, read_roster
from courseai_helpers.grading.submissions.copies import (
    Copy,
    choose_copy,
    find_copies,
    find_wanted,
    is_notebook,
)
from courseai_helpers.grading.submissions.folders import (
    SubmissionError,
    put_in_place,
    survey,
)
from courseai_helpers.grading.submissions.notebook import TIMESTAMP, read_time
from courseai_helpers.grading.submissions.originals import Handout, read_handout
from courseai_helpers.grading.submissions.reading import NotebookError, read_notebook
from courseai_helpers.grading.uploads.archives import copy, unpack
from courseai_helpers.grading.uploads.bundles import Found, Unpacked
from courseai_helpers.grading.uploads.filenames import Sender, strip_number
from courseai_helpers.grading.uploads.senders import Students, find_time, get_time

STAGING = ".importing"  # on the disk of the submissions, so that moving is renaming
# What becomes of a submission that is written, and of one that is not.
WRITTEN = ("new", "replaces an older one")
Sent = tuple[Found, Sender]


@dataclass(frozen=True)
class Wanted:
    """What the gradebook says about the assignment.

    Attributes:
        name: The assignment's name.
        notebooks: Its notebooks as students got them, by their names.
        due: When it is due, in UTC.
    """

    name: str
    notebooks: dict[str, Handout]
    due: datetime | None


@dataclass
class Submission:
    """What one student has sent.

    Attributes:
        student: The student's id.
        files: The files that count, by the paths that they get.
        time: When it was submitted, in UTC.
        notes: What the instructor should know.
        action: What becomes of it.
    """

    student: str
    files: dict[str, Found]
    time: datetime
    notes: list[str]
    action: str = ""


@dataclass
class Import:
    """What an import did, or would do.

    Attributes:
        submissions: By student, what was sent.
        problems: What could not be imported, a sentence each.
    """

    submissions: list[Submission] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Returns a table of the submissions, and the problems below it."""
        rows = [("student", "submitted (UTC)", "becomes", "files and notes")]
        for entry in self.submissions:
            notes = "; ".join([", ".join(sorted(entry.files)), *entry.notes])
            time = entry.time.isoformat(" ", "seconds")
            rows.append((entry.student, time, entry.action, notes))
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines = [
            "  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows
        ]
        written = sum(entry.action in WRITTEN for entry in self.submissions)
        left, problems = len(self.submissions) - written, len(self.problems)
        lines.append(
            f"{len(self.submissions)} submissions: {written} to write, {left} to "
            f"leave; {problems} problems."
        )
        lines += [f"Problem: {problem}" for problem in self.problems]
        return "\n".join(map(make_printable, lines))  # names come from students


def import_submissions(
    course: Path,
    download: Path,
    assignment: str,
    *,
    roster: Path | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Import:
    """Puts a download from an LMS into submitted/<student>/<assignment>/.

    Args:
        course: The top of the course directory.
        download: The zip file or folder.
        assignment: The assignment's name.
        roster: A file that tells more about the students than the gradebook does.
        force: Whether to replace also what is newer, or of unknown age.
        dry_run: Whether to write nothing.

    Raises:
        CourseError: if nothing can be imported.
    """
    application = read_settings(course)
    require_gradebook(application)
    known = read_roster(roster) if roster else None
    with explain_database(application), open_gradebook(application) as gradebook:
        entry = find_assignment(gradebook, assignment)
        handouts = {
            notebook.name: read_handout(
                gradebook, notebook.name, assignment, application.config
            )
            for notebook in entry.notebooks
        }
        wanted = Wanted(assignment, handouts, entry.duedate)
        students = Students(gradebook, known)
    with tempfile.TemporaryDirectory() as workspace:
        unpacked = unpack(download, Path(workspace), students.find_key)
        result = make_plan(unpacked, students, wanted)
        for submission in result.submissions:
            folder = find_folder(application, submission.student, assignment)
            submission.action = decide(submission, folder, application, force)
        if not dry_run:
            write(result, application, assignment)
    return result


def make_plan(unpacked: Unpacked, students: Students, wanted: Wanted) -> Import:
    """Sorts a download's files by student, and chooses those that count."""
    result = Import()
    result.problems = [f"{name}: {why}" for name, why in unpacked.refused.items()]
    sent = defaultdict(list)
    people = {}
    for found in unpacked.files:
        answer = students.find(found.name)
        if isinstance(answer, str):
            result.problems.append(f"{found.name}: {answer}")
            continue
        person, sender = answer
        people[person.student] = person
        sent[person.student].append((found, sender))
    for student in sorted(sent):
        try:
            result.submissions.append(choose(people[student], sent[student], wanted))
        except CourseError as error:
            result.problems.append(f"{student}: {error}")
    if not sent and not result.problems:
        result.problems.append("The download has no file in it.")
    return result


def choose(person: Person, sent: list[Sent], wanted: Wanted) -> Submission:
    """Chooses from all that a student has sent, in all attempts, what counts.

    Raises:
        CourseError: if the assignment's notebook is missing, or not a notebook.
    """
    notes: list[str] = []
    notebooks = choose_notebooks(sent, wanted, notes)
    newest, sender = max(notebooks.values(), key=get_age)
    files = {name: found for name, (found, _) in notebooks.items()}
    for name, found in name_others(sent, sender).items():
        if not files.keys() & set(map(str, PurePosixPath(name).parents)):
            files.setdefault(name, found)
    if files.pop(TIMESTAMP, None):
        notes.append(f"the student's own {TIMESTAMP} does not count")
    time, note = find_time(person, sender, newest, wanted.due)
    return Submission(person.student, files, time, [*notes, *([note] if note else [])])


def name_others(sent: list[Sent], sender: Sender) -> dict[str, Found]:
    """Returns what goes beside the notebook, by its paths there.

    If a student sends a file again, Canvas adds a number to its name. The notebook may
    use either name, so it gets both.
    """
    others = [
        (found, other, place_beside(other.rest, sender.rest))
        for found, other in sorted(sent, key=get_age)
        if not is_notebook(other.rest.name)
    ]
    sent_so = {(found.archives, name) for found, _, name in others}
    files = {}
    for found, other, name in others:
        files[str(name)] = found
        plain = name.with_stem(strip_number(name.stem))
        if other.lms_user_id and (found.archives, plain) not in sent_so:
            files[str(plain)] = found
    return files


def place_beside(file: PurePosixPath, notebook: PurePosixPath) -> PurePosixPath:
    """Returns where a file goes if the notebook goes to the top.

    Archives were unpacked into folders of their own, which the student did not make.
    """
    if file.is_relative_to(notebook.parent):
        file = file.relative_to(notebook.parent)
    return PurePosixPath(*(p for p in file.parts[:-1] if p[-4:] != ".zip"), file.name)


def choose_notebooks(
    sent: list[Sent], wanted: Wanted, notes: list[str]
) -> dict[str, Sent]:
    """Returns, for each notebook of the assignment that was sent, the one to take."""
    names = list(wanted.notebooks)
    chosen = {}
    for name, handout in wanted.notebooks.items():
        found = find_copies(sent, name, names, lambda entry: entry[1].rest.name)
        if not found:
            continue
        copies = {make_copy(entry, name): entry for entry in found}
        best, note = choose_copy(list(copies), handout)
        try:
            read_notebook(best.path)
        except NotebookError as error:
            raise CourseError(f"{best.name}: it is no notebook. {error}") from error
        chosen[f"{name}.ipynb"] = copies[best]
        if find_wanted(copies[best][1].rest.name, names) is None:
            notes.append(f"was named {copies[best][1].rest.name}")
        notes += [note] if note else []
    if not chosen:
        sent_names = ", ".join(sorted(str(sender.rest) for _, sender in sent))
        wanted_names = ", ".join(f"{name}.ipynb" for name in names)
        raise CourseError(f"There is no {wanted_names} in what was sent: {sent_names}.")
    return chosen


def make_copy(entry: Sent, notebook: str) -> Copy:
    """Returns how a file takes part in the choice of a notebook."""
    found, sender = entry
    named = sender.rest.name == f"{notebook}.ipynb"
    return Copy(str(found.name), found.path, named, get_age(entry))


def get_age(entry: Sent) -> tuple[Any, ...]:
    """Returns a key that is larger for what was sent later.

    Canvas numbers its files; where there are no such numbers, the file's time counts,
    and among the files of one archive their own.
    """
    found, sender = entry
    return sender.number, get_time(found, sender), found.time


def find_folder(application: NbGrader, student: str, assignment: str) -> Path:
    """Returns where nbgrader looks for a submission."""
    directory = application.coursedir
    step = directory.submitted_directory
    return Path(directory.format_path(step, student, assignment))


def decide(
    submission: Submission, folder: Path, application: NbGrader, force: bool
) -> str:
    """Decides what becomes of a submission, given what is there already."""
    if not folder.exists():
        return "new"
    if is_there(submission, folder):
        return "is there already"
    time = read_time(folder)
    if force or (time and time < submission.time):
        return "replaces an older one"
    submission.notes.append("--force replaces it")
    if time is None:
        return "left: what is there has no time"
    return "left: what is there is not older"


def is_there(submission: Submission, folder: Path) -> bool:
    """Tells whether a folder has just what was sent."""
    try:
        contents = survey(folder)
        files = {n: p for n, p in contents.files.items() if n != TIMESTAMP}
        there = {name: path.read_bytes() for name, path in files.items()}
    except (OSError, SubmissionError):
        return False
    sent = {name: found.path.read_bytes() for name, found in submission.files.items()}
    return there == sent and not contents.left_out


def write(result: Import, application: NbGrader, assignment: str) -> None:
    """Writes the submissions, each completely or not at all."""
    staging = Path(application.coursedir.root) / STAGING
    try:
        for submission in result.submissions:
            if submission.action not in WRITTEN:
                continue
            staged = staging / submission.student
            for name, found in submission.files.items():
                copy(found, staged / name)
            staged.joinpath(TIMESTAMP).write_text(submission.time.isoformat(" "))
            folder = find_folder(application, submission.student, assignment)
            put_in_place(staged, folder)
    except OSError as error:
        raise CourseError(
            f"The submission of {submission.student} can't be written "
            f"({error.strerror}). What was written before is whole; of this one "
            "nothing was kept. Make room, or make the folder writable, and import "
            "again: what is there already is left as it is."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
