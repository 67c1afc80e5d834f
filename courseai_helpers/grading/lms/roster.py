"""Rosters: who is in the class, and what nbgrader, Canvas and Moodle call them."""

import re
from dataclasses import dataclass, field, fields
from datetime import UTC
from pathlib import Path

from nbgrader.utils import parse_utc

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.names import escape_name
from courseai_helpers.grading.lms.tables import read_table


@dataclass(frozen=True)
class Person:
    """A student in a roster; fields that it does not have are empty.

    Attributes:
        student: The student's id in nbgrader.
        first_name: As the LMS has it.
        last_name: As the LMS has it.
        email: The address that the LMS knows.
        lms_user_id: The id in Canvas, a number.
        sis_user_id: The id that the university's information system gave to Canvas.
        sis_login_id: The login name in Canvas.
        section: The sections in Canvas.
        username: The login name in Moodle.
        id_number: The ID number in Moodle.
        participant: The number that Moodle gives for one assignment.
        submitted: When the student submitted, if Moodle's grading worksheet tells.
    """

    student: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""
    sis_user_id: str = ""
    sis_login_id: str = ""
    section: str = ""
    username: str = ""
    id_number: str = ""
    participant: str = ""
    submitted: str = ""


@dataclass(frozen=True)
class Roster:
    """What a roster file says.

    Attributes:
        form: The form of the file: "nbgrader", "canvas" or "moodle".
        people: The students.
        titles: The columns of assignments, as "Title (id)"; only Canvas has them.
    """

    form: str
    people: list[Person]
    titles: list[str] = field(default_factory=list)


# The columns of each form, in lower case, and the fields that they fill. The first form
# is that of `nbgrader db student import`, with columns of ours added.
FORMS = {
    "nbgrader": {"id": "student"}
    | {name.name: name.name for name in fields(Person) if name.name != "student"},
    "canvas": {
        "student": "name",
        "lastname": "last_name",
        "firstname": "first_name",
        "id": "lms_user_id",
        "sis user id": "sis_user_id",
        "sis login id": "sis_login_id",
        "section": "section",
    },
    "moodle": {
        "identifier": "participant",
        "full name": "name",
        "first name": "first_name",
        "last name": "last_name",
        "surname": "last_name",
        "username": "username",
        "id number": "id_number",
        "email address": "email",
        "last modified (submission)": "submitted",
    },
}
# Which columns give the id in nbgrader, if nothing else is asked for: the first filled.
IDS = {
    "nbgrader": ["student"],
    "canvas": ["sis_login_id"],
    "moodle": ["username", "email"],
}


def read_roster(path: Path, id_column: str = "") -> Roster:
    """Reads a roster in any form that we know.

    Args:
        path: A CSV file: an export of Canvas's gradebook, a grading worksheet, an
            export of participants or of grades from Moodle, or a file with the columns
            of `nbgrader db student import`.
        id_column: The column that holds the students' ids in nbgrader.

    Raises:
        CourseError: if it is none of these, or a student has no usable id.
    """
    header, rows = read_table(path)
    form = recognize(header, path)
    names = [FORMS[form].get(title.casefold(), "") for title in header]
    if id_column and id_column.casefold() not in [t.casefold() for t in header]:
        raise CourseError(
            f"{path} has no column {id_column!r} to take the students' ids from. Its "
            f"columns are {', '.join(header)}."
        )
    people = []
    for row in rows:
        entry = {name: cell for name, cell in zip(names, row, strict=False) if name}
        if not is_student(form, row[0], entry):
            continue
        if id_column:
            place = [title.casefold() for title in header].index(id_column.casefold())
            entry["student"] = row[place]
        people.append(make_person(form, entry, path))
    titles = [title for title in header if re.search(r"\(\d+\)$", title)]
    return Roster(form, people, titles if form == "canvas" else [])


def recognize(header: list[str], path: Path) -> str:
    """Returns the form of a roster with this header."""
    titles = {title.casefold() for title in header}
    if "id" in titles and titles & {"student", "lastname"}:
        return "canvas"
    if titles & {"email address", "identifier"}:
        return "moodle"
    if "id" in header:
        return "nbgrader"
    raise CourseError(
        f"{path} is no roster that we know: its columns are {', '.join(header)}. Take "
        "an export of Canvas's gradebook (Student, ID, SIS Login ID, ...), an export "
        "or a grading worksheet from Moodle in English (Email address, ...), or write "
        "a file with the columns id, first_name, last_name, email, lms_user_id."
    )


def is_student(form: str, first: str, entry: dict[str, str]) -> bool:
    """Tells whether a row is a student's: Canvas adds some for its own purposes."""
    if form != "canvas":
        return any(entry.values())
    if "Points Possible" in first or not any(entry.values()):
        return False
    # Canvas's "Test Student" has a login of forty random digits.
    return not re.fullmatch(r"[0-9a-f]{40}", entry.get("sis_login_id", ""))


def make_person(form: str, entry: dict[str, str], path: Path) -> Person:
    """Returns the student that a row of a roster describes."""
    name = entry.pop("name", "")
    if name and not entry.get("last_name"):
        first, last = split_name(name, sorted_by_last=form == "canvas")
        entry |= {"first_name": first, "last_name": last}
    for title in ("first_name", "last_name"):
        entry[title] = escape_name(entry.get(title, ""))
    if "participant" in entry:
        entry["participant"] = entry["participant"].rpartition(" ")[2]
    if entry.get("submitted"):
        entry["submitted"] = read_time(entry["submitted"])
    if not entry.get("student"):
        found = [entry[column] for column in IDS[form] if entry.get(column)]
        entry["student"] = found[0] if found else ""
    person = Person(**entry)
    check_id(person, path)
    return person


def split_name(name: str, *, sorted_by_last: bool) -> tuple[str, str]:
    """Returns the first and the last name of "Last, First" or of "First Last"."""
    if sorted_by_last and "," in name:
        last, _, first = name.partition(",")
    else:
        first, _, last = name.rpartition(" ")
    return first.strip(), last.strip()


def read_time(text: str) -> str:
    """Returns a time in UTC as nbgrader writes it, or nothing if it can't be read.

    Moodle names no time zone: it writes the reader's local time, which we take to be
    this machine's.
    """
    try:
        time = parse_utc(text)
    except (ValueError, OverflowError):  # "-" stands for no submission
        return ""
    if not re.search(r"(Z|UTC|[+-]\d\d:?\d\d)$", text):
        time = time.astimezone(UTC).replace(tzinfo=None)
    return time.isoformat(" ")


def check_id(person: Person, path: Path) -> None:
    """Makes sure that an id can name a folder, which is what nbgrader does with it."""
    student = person.student
    if re.fullmatch(r"[\w'’]([\w.@+=' ’-]{,126}[\w.@+='’-])?", student):
        return
    name = f"{person.first_name} {person.last_name}".strip() or "A student"
    problem = (
        f"has the id {student!r}, which can't name a folder that nbgrader finds"
        if student
        else ("has no id for nbgrader")
    )
    raise CourseError(
        f"{name} in {path} {problem}. An id has letters, digits, spaces, and . _ - @ "
        "+ = ', 128 at most. Name the column that holds good ids with --id-column, or "
        "add a column `id` in a file with the columns id, first_name, last_name, "
        "email, lms_user_id."
    )
