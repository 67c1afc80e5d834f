"""Enters a roster into the gradebook: all of it, or nothing."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from nbgrader.apps import NbGrader

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.names import find_alike
from courseai_helpers.grading.gradebook.settings import (
    explain_database,
    has_gradebook,
    open_gradebook,
    read_settings,
)
from courseai_helpers.grading.gradebook.transaction import open_transaction
from courseai_helpers.grading.lms.roster import Person, Roster, read_roster

# What nbgrader's gradebook keeps of a student.
KEPT = ("first_name", "last_name", "email", "lms_user_id")
# What belongs to one student only.
UNIQUE = {"email": "e-mail address", "lms_user_id": "Canvas id"}
Known = dict[str, dict[str, str]]


@dataclass
class Plan:
    """What an import would change.

    Attributes:
        changes: For each student to be written, what was and what will be, by field.
        added: Those of them that the gradebook does not have yet.
        unchanged: Those who are in the gradebook as they are in the roster.
        conflicts: What keeps the roster from being imported, a sentence each.
        warnings: What may be a mistake, a sentence each.
    """

    changes: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Says in a line for each student what would change."""
        lines = []
        for student, changes in self.changes.items():
            what = "new    " if student in self.added else "changed"
            values = [
                f"{name} {old!r} -> {new!r}" if old else f"{name} {new!r}"
                for name, (old, new) in changes.items()
            ]
            lines.append(f"{what}  {student}: {', '.join(values) or 'no names'}")
        new, same = len(self.added), len(self.unchanged)
        changed = len(self.changes) - new
        lines.append(f"{new} new, {changed} changed, {same} unchanged.")
        lines += [f"Look at this: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def import_roster(
    course: Path, file: Path, *, id_column: str = "", dry_run: bool = False
) -> Plan:
    """Adds the students of a roster to the gradebook, and updates those it has.

    Nothing is removed, and an empty field of the roster erases nothing.

    Args:
        course: The top of the course directory.
        file: The roster, as `read_roster` reads it.
        id_column: The column that holds the students' ids in nbgrader.
        dry_run: Whether to write nothing.

    Raises:
        CourseError: if the roster contradicts itself or the gradebook; nothing is
            written then.
    """
    application = read_settings(course)
    roster = read_roster(file, id_column)
    if not roster.people:
        raise CourseError(f"{file} has no student in it, so nothing was changed.")
    with explain_database(application):
        students = read_students(application)
    plan = make_plan(roster, students)
    if plan.conflicts:
        conflicts = "\n  ".join(plan.conflicts)
        raise CourseError(
            f"Nothing was changed, because of conflicts:\n  {conflicts}\nCorrect them "
            f"in {file} or in the gradebook (Formgrader, Manage Students), and import "
            "again."
        )
    if plan.changes and not dry_run:
        with explain_database(application):
            write(application, plan)
    return plan


def read_students(application: NbGrader) -> Known:
    """Returns what the gradebook knows of its students, by their ids.

    A gradebook that does not exist yet has none, and is not created.
    """
    if not has_gradebook(application):
        return {}
    with open_gradebook(application) as gradebook:
        return {
            student.id: {name: getattr(student, name) or "" for name in KEPT}
            for student in gradebook.students
        }


def make_plan(roster: Roster, known: Known) -> Plan:
    """Compares a roster with the students in the gradebook."""
    plan = Plan()
    people: dict[str, Person] = {}
    for person in roster.people:
        student = find_student(person, roster.form, known, plan)
        if student in people and people[student] != person:
            plan.conflicts.append(
                f"{student} is in the roster twice, and not the same."
            )
        people[student] = person
    after = {student: dict(values) for student, values in known.items()}
    for student, person in people.items():
        old = known.get(student, dict.fromkeys(KEPT, ""))
        new = {name: getattr(person, name) or old[name] for name in KEPT}
        after[student] = new
        if student in known and old == new:
            plan.unchanged.append(student)
            continue
        plan.changes[student] = {
            name: (old[name], new[name]) for name in KEPT if old[name] != new[name]
        }
        if student not in known:
            plan.added.append(student)
    plan.conflicts += find_duplicates(after)
    plan.warnings = [
        f"{new} is a new student, although there is {old}, whose id differs in case "
        "only. If they are the same, correct the id in the roster and remove one."
        for new, old in find_alike(plan.added, after).items()
    ]
    return plan


def find_student(person: Person, form: str, known: Known, plan: Plan) -> str:
    """Returns the id of a student, who may have another one in the gradebook.

    An LMS does not know nbgrader's ids: two entries with the same Canvas id or e-mail
    address are the same student. A roster with nbgrader's own ids is taken literally.
    """
    if person.student in known or form == "nbgrader":
        return person.student
    # No LMS tells two logins apart by their case.
    name = person.student.casefold()
    found = {student for student in known if student.casefold() == name}
    for name in UNIQUE:
        value = getattr(person, name).casefold()
        same = [
            s for s, old in known.items() if value and old[name].casefold() == value
        ]
        found |= set(same)
    if len(found) > 1:
        plan.conflicts.append(
            f"{person.student} has the e-mail address of one student in the gradebook "
            f"and the Canvas id of another: {' and '.join(sorted(found))}."
        )
    return min(found) if found else person.student


def find_duplicates(students: Known) -> list[str]:
    """Says which students would share a value that must be unique."""
    conflicts = []
    for name, title in UNIQUE.items():
        counts = Counter(v[name].casefold() for v in students.values() if v[name])
        for value in (value for value, count in counts.items() if count > 1):
            same = [s for s, v in students.items() if v[name].casefold() == value]
            conflicts.append(f"The {title} {value} belongs to {' and '.join(same)}.")
    return conflicts


def write(application: NbGrader, plan: Plan) -> None:
    """Writes a plan in one transaction."""
    with open_gradebook(application) as gradebook:  # makes a new one complete
        engine = gradebook.engine
    with (
        open_transaction(engine) as url,
        open_gradebook(application, url) as gradebook,
    ):
        for student, changes in plan.changes.items():
            values = {name: new for name, (_, new) in changes.items()}
            gradebook.update_or_create_student(student, **values)
