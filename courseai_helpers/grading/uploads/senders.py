"""Finds the student who sent a file."""

from datetime import datetime, timedelta
from pathlib import PurePosixPath

from nbgrader.api import Gradebook
from nbgrader.utils import parse_utc

from courseai_helpers.grading.lms.matching import describe, match
from courseai_helpers.grading.lms.roster import Person, Roster
from courseai_helpers.grading.submissions.copies import fold
from courseai_helpers.grading.uploads.bundles import Found
from courseai_helpers.grading.uploads.filenames import Sender, read_sender


class Students:
    """The students of a gradebook, with what a roster adds to it.

    Attributes:
        people: The students, by their ids in nbgrader.
    """

    def __init__(self, gradebook: Gradebook, roster: Roster | None = None):
        students = gradebook.students
        self.people = {student.id: describe(student) for student in students}
        if roster:
            found, _ = match(students, roster)
            self.people |= {person.student: person for person in found}

    def find(self, path: PurePosixPath) -> tuple[Person, Sender] | str:
        """Returns who sent a file of a download, or why that is not known."""
        sender = read_sender(path, self.people)
        if isinstance(sender, str):
            return sender
        if sender.student:
            return self.people[sender.student], sender
        for key in ("lms_user_id", "participant"):
            if value := getattr(sender, key):
                found = [p for p in self.people.values() if getattr(p, key) == value]
                if len(found) == 1:
                    return found[0], sender
        person = self.find_by_name(sender)
        return person if isinstance(person, str) else (person, sender)

    def find_key(self, path: PurePosixPath) -> str:
        """Returns what all files of one sender have in common, if only their folder."""
        answer = self.find(path)
        if isinstance(answer, str):
            return next(iter(path.parts), "")
        return answer[0].student

    def find_by_name(self, sender: Sender) -> Person | str:
        """Returns the only student of that name whose id in the LMS is not known."""
        key = "lms_user_id" if sender.lms_user_id else "participant"
        name = fold(sender.name)
        found = [
            person
            for person in self.people.values()
            if not getattr(person, key)
            and name
            in (
                fold(person.last_name + person.first_name),
                fold(person.first_name + person.last_name),
            )
        ]
        if len(found) == 1:
            return found[0]
        if found:
            same = " and ".join(person.student for person in found)
            return f"{same} have the same name. Give a --roster with the LMS's ids."
        if sender.lms_user_id:
            return (
                f"No student in the gradebook has the Canvas id {sender.lms_user_id}. "
                "`courseai import roster` with an export of Canvas's gradebook adds it."
            )
        return (
            f"The gradebook has no student by the name of {sender.name}. Give Moodle's "
            "grading worksheet as --roster."
        )


def find_time(
    person: Person, sender: Sender, found: Found, due: datetime | None
) -> tuple[datetime, str]:
    """Returns when a file was submitted, in UTC, and a note on the source of that time.

    Canvas packs its archive when it is downloaded, and gives that time to the files.
    Whether one was late is in its name only.

    Args:
        person: The student; a roster may tell the time.
        sender: What the file's name tells.
        found: The file.
        due: When the assignment is due, or None.
    """
    changed = get_time(found, sender)
    if person.submitted:
        return parse_utc(person.submitted), "time from the roster"
    if due and sender.late is False and changed > due:
        return due, "in time, says Canvas"
    if due and sender.late:
        late = due + timedelta(seconds=1)
        return max(changed, late), "LATE, says Canvas; time of the download"
    return changed, ""


def get_time(found: Found, sender: Sender) -> datetime:
    """Returns the time that a download gives to a file.

    Within an archive that a student made, times are what the student wants: that of
    the archive counts.
    """
    theirs = [a for a in found.archives if len(a.name.parts) >= sender.depth]
    return theirs[0].time if theirs else found.time
