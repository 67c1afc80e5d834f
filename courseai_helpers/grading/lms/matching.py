"""Matches the students of a gradebook to those of a roster."""

from nbgrader.api import Student

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.lms.roster import Person, Roster
from courseai_helpers.grading.lms.tables import guard


def match(
    students: list[Student], roster: Roster | None
) -> tuple[list[Person], list[str]]:
    """Returns what the LMS calls the students, and the ids of those it doesn't know."""
    if roster is None:
        return [describe(student) for student in students], []
    people, lost = [], []
    for student in students:
        known = describe(student)
        found = [person for person in roster.people if is_same(person, known)]
        if len(found) > 1:
            raise CourseError(
                f"The roster has several rows for {student.id}. Take out all but one."
            )
        if found:
            values = {name: value for name, value in vars(found[0]).items() if value}
            people.append(Person(**vars(known) | values | {"student": student.id}))
        else:
            lost.append(student.id)
    return people, lost


def describe(student: Student) -> Person:
    """Returns what the gradebook knows of a student."""
    names = ("first_name", "last_name", "email", "lms_user_id")
    return Person(student.id, **{name: getattr(student, name) or "" for name in names})


def is_same(person: Person, known: Person) -> bool:
    """Tells whether a row of a roster is about a student of the gradebook."""
    if person.lms_user_id and known.lms_user_id:
        return person.lms_user_id == known.lms_user_id
    if person.student == known.student:
        return True
    return bool(person.email) and person.email.casefold() == known.email.casefold()


def check_identifiers(person: Person, identifiers: list[str], names: str) -> None:
    """Makes sure that the LMS can identify a student, and not by a formula."""
    if not any(identifiers):
        raise CourseError(
            f"The LMS can't find {person.student}: there is no {names}. Give the LMS's "
            "own export as --roster, or enter it with `courseai import roster FILE`."
        )
    for identifier in identifiers:
        if guard(identifier) != identifier:
            raise CourseError(
                f"{person.student} has {identifier!r} as {names}, which a spreadsheet "
                "would run as a formula. Correct it in the roster."
            )
