"""Keeps markup and commands for terminals out of the gradebook.

nbgrader puts the names and ids of students into its pages without escaping them.
"""

from collections.abc import Iterable

from nbgrader.api import Gradebook, MissingEntry

from courseai_helpers._common.printing import is_command, make_printable

_MARKUP = '<>"&\\`'  # could be read as such where an id is shown


def explain_bad_id(student: str) -> str:
    """Says why a folder's name can't be a student's id, or nothing if it can."""
    bad = [c for c in student if c in _MARKUP or is_command(c)]
    if not bad:
        return ""
    shown = make_printable(" ".join(dict.fromkeys(bad)))
    return (
        f"A student's id can't have {shown}, because nbgrader "
        "would show it as a part of its pages. Nothing of this submission was graded: "
        "find out whose folder this is, and give it that student's id as its name."
    )


def explain_bad_name(gradebook: Gradebook, student: str) -> str:
    """Says which name in the gradebook is not safe on nbgrader's pages, if any."""
    try:
        found = gradebook.find_student(student)
    except MissingEntry:
        return ""
    for name in (found.first_name or "", found.last_name or ""):
        if "<" in name:
            return (
                f"The gradebook has {make_printable(name)[:40]!r} for a name of "
                f"{student}, which nbgrader would make a part of its pages. Nothing of "
                "this submission was graded: correct the name in the Formgrader under "
                "Manage Students, with the pencil, and grade again."
            )
    return ""


def find_alike(students: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Returns students whose ids differ from others' in case only, with those ids."""
    ids: dict[str, set[str]] = {}
    for other in known:
        ids.setdefault(other.casefold(), set()).add(other)
    alike = {s: ids.get(s.casefold(), set()) - {s} for s in students}
    return {student: min(others) for student, others in alike.items() if others}


def escape_name(name: str) -> str:
    """Returns a name made safe for the gradebook; it looks nearly the same."""
    plain = "".join(c for c in name if not is_command(c))
    return plain.replace("<", "‹").replace(">", "›")
