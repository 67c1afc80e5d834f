"""`nbgrader collect`, for an exchange in which students may try to cheat."""

import contextlib
import fnmatch
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.exchange import default

from courseai_helpers._common.printing import make_printable
from courseai_helpers.grading.exchange.submissions import (
    find_owner,
    name_user,
    read_record,
    write_identity,
)
from courseai_helpers.grading.submissions.folders import put_in_place
from courseai_helpers.grading.submissions.safe_files import (
    Copied,
    RefusedError,
    copy_folder,
    open_folder,
)

STAGING = ".collecting"  # on the disk of the submissions, so that moving is renaming


class ExchangeCollect(default.ExchangeCollect):
    """Collects what students have handed in, and nothing else."""

    def init_src(self) -> None:
        """Finds for each student the submission that counts."""
        if not self.coursedir.course_id:
            self.fail("No course id specified. Re-run with --course flag.")
        self.left_out: dict[str, dict[str, list[str]]] = defaultdict(dict)
        self.collected = self.present = self.others = 0
        self.due = self.find_due_date()
        with self.open_inbound() as inbound:
            records = self.list_records(inbound)
        self.src_records = [self.choose(records[student]) for student in records]

    @contextlib.contextmanager
    def open_inbound(self) -> Iterator[int]:
        """Opens the folder that students write to, and follows no link to it."""
        course = self.coursedir.course_id
        self.inbound_path = os.path.join(self.root, course, "inbound")
        with contextlib.ExitStack() as opened:
            try:
                folder = opened.enter_context(open_folder(Path(self.root, course)))
                inbound = opened.enter_context(open_folder("inbound", folder))
            except RefusedError as error:
                self.fail(f"Course not found: {self.inbound_path}: {error}")
            yield inbound

    def find_due_date(self) -> datetime | None:
        """Returns when the assignment is due, if the gradebook knows that."""
        directory = self.coursedir
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            try:
                return gradebook.find_assignment(directory.assignment_id).duedate
            except MissingEntry:
                return None

    def list_records(self, inbound: int) -> dict[str, list[dict[str, Any]]]:
        """Returns, by student, the submissions whose owner is the student they name."""
        wanted = self.coursedir.student_id or "*"
        records = defaultdict(list)
        for name in sorted(os.listdir(inbound)):
            separator = f"+{self.coursedir.assignment_id}+"
            student, found, rest = name.rpartition(separator)
            if not found or not fnmatch.fnmatchcase(student, wanted):
                continue
            try:
                record = read_record(name, student, rest)
                with self.open_submission(record, inbound):
                    records[student].append(record)
            except RefusedError as error:
                self.leave_out(find_owner(name, inbound), str(error), [name])
        return records

    @contextlib.contextmanager
    def open_submission(self, record: dict[str, Any], inbound: int) -> Iterator[int]:
        """Opens a submission's folder.

        Raises:
            RefusedError: if its owner is not the student that it names.
        """
        with open_folder(record["filename"], inbound) as folder:
            owner = name_user(os.fstat(folder).st_uid)
            if self.check_owner and owner != record["username"]:
                self.others += 1
                raise RefusedError(
                    f"It belongs to {owner}, not to the student whom it names."
                )
            yield folder

    def choose(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns a student's submission that counts: the last, or the last in time."""
        records = self._sort_by_timestamp(records)
        if self.before_duedate and self.due is not None:
            in_time = [r for r in records if r["timestamp"] <= self.due]
            records = in_time or records
        return records[0]

    def copy_files(self) -> None:
        """Collects what is new, each submission whole or not at all."""
        staging = Path(self.coursedir.root, STAGING)
        for record in self.src_records:
            student = record["username"]
            try:
                self.collect(record, staging)
            except RefusedError as error:
                self.leave_out(student, str(error), [record["filename"]])
            except OSError as error:
                reason = f"It can't be written to submitted/ ({error.strerror})."
                self.leave_out(student, reason, [record["filename"]])
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        self.report()

    def collect(self, record: dict[str, Any], staging: Path) -> None:
        """Collects a submission, unless the same or a newer one is there."""
        student, assignment = record["username"], self.coursedir.assignment_id
        place = self.coursedir.submitted_directory
        destination = Path(self.coursedir.format_path(place, student, assignment))
        if destination.is_dir() and not self.is_newer(record, destination):
            self.present += 1
            state = (
                "No newer submission to collect"
                if self.update
                else ("Submission already exists, use --update to update")
            )
            self.log.info("%s: %s %s", state, student, assignment)
            return
        what = "Updating" if destination.is_dir() else "Collecting"
        self.log.info("%s submission: %s %s", what, student, assignment)
        staging.mkdir()
        sent, filtered = staging / "sent", staging / student
        self.copy_submission(record, sent)
        self.do_copy(sent, filtered)  # leaves out what the course's settings ignore
        put_in_place(filtered, destination)
        self.collected += 1

    def is_newer(self, record: dict[str, Any], destination: Path) -> bool:
        """Tells whether a submission replaces what is there."""
        try:
            there = self.coursedir.get_existing_timestamp(str(destination))
        except (ValueError, OverflowError, AttributeError):  # nbgrader's, for no time
            there = None
        if self.update and (there is None or record["timestamp"] > there):
            return True
        return self.before_duedate and there != record["timestamp"]

    def copy_submission(self, record: dict[str, Any], destination: Path) -> None:
        """Copies a submission to a place where nobody else can change it."""
        directory, student = self.coursedir, record["username"]
        # nbgrader counts in thousands of bytes.
        copied = Copied(1000 * directory.max_file_size, 1000 * directory.max_dir_size)
        with (
            self.open_inbound() as inbound,
            self.open_submission(record, inbound) as folder,
        ):
            copy_folder(folder, destination, copied, PurePosixPath())
        for reason, names in copied.left_out.items():
            self.leave_out(student, reason, names)
        write_identity(destination, record["timestamp"])
        changed = datetime.fromtimestamp(copied.changed, UTC).replace(tzinfo=None)
        if self.due and record["timestamp"] <= self.due < changed:
            reason = (
                f"It was collected, but changed at {changed:%Y-%m-%d %H:%M} UTC, after "
                "the due date and the time in its name."
            )
            self.leave_out(student, reason, [record["filename"]])

    def leave_out(self, who: str, reason: str, names: list[str]) -> None:
        """Notes what the instructor should know about a user's files."""
        self.left_out[who].setdefault(reason, []).extend(names)

    def report(self) -> None:
        """Says what was collected and what was not, and why."""
        if not self.src_records:
            self.log.warning(
                "No submissions of '%s' for course '%s' to collect",
                self.coursedir.assignment_id,
                self.coursedir.course_id,
            )
        for who, reasons in self.left_out.items():
            for reason, names in reasons.items():
                more = f" and {len(names) - 1} more" if names[1:] else ""
                self.log.warning(
                    "%s: %s%s: %s", who, make_printable(names[0]), more, reason
                )
        if self.others:
            self.log.info(
                "If all students here are one user of the machine, nobody can tell "
                "them apart; --ExchangeCollect.check_owner=False collects all the same."
            )
        self.log.info(
            "%d collected, %d there already; notes on what %d users handed in%s",
            self.collected,
            self.present,
            len(self.left_out),
            " are above" if self.left_out else "",
        )
