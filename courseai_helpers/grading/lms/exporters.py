"""The exporters for Canvas and Moodle.

Plain nbgrader can use them as well:

    nbgrader export --exporter=courseai_helpers.grading.lms.exporters.CanvasExporter
"""

from pathlib import Path
from typing import Any

from nbgrader.api import Assignment
from traitlets import Bool

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.gradebook.settings import (
    explain_database,
    open_gradebook,
    read_settings,
    require_gradebook,
)
from courseai_helpers.grading.lms.export import LmsExporter, Results
from courseai_helpers.grading.lms.matching import check_identifiers
from courseai_helpers.grading.lms.roster import Person, Roster


class CanvasExporter(LmsExporter):
    """Writes what Canvas's gradebook imports.

    Source: https://community.canvaslms.com (Instructor Guide, "How do I import grades
    in the Gradebook?") and Canvas's lib/gradebook_importer.rb.
    """

    def make_rows(
        self,
        people: list[Person],
        assignments: list[Assignment],
        results: Results,
        roster: Roster | None,
    ) -> list[list[str]]:
        """Returns header, possible points, and a row for each student."""
        identity = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
        titles = [self.find_title(assignment, roster) for assignment in assignments]
        possible = [format_points(assignment.max_score) for assignment in assignments]
        rows = [identity + titles, ["    Points Possible", "", "", "", "", *possible]]
        for person in people:
            identifiers = [person.lms_user_id, person.sis_user_id, person.sis_login_id]
            check_identifiers(person, identifiers, "Canvas id, SIS id or SIS login")
            name = f"{person.last_name}, {person.first_name}".strip(", ")
            row = [name or person.student, *identifiers, person.section]
            found = [results.get((person.student, a.name)) for a in assignments]
            rows.append([*row, *(format_points(r.points) if r else "" for r in found)])
        return rows

    def find_title(self, assignment: Assignment, roster: Roster | None) -> str:
        """Returns an assignment's title in Canvas, with its id if that is known."""
        if self.title:
            return self.title
        titles = roster.titles if roster else []
        same = [t for t in titles if simplify(t) == simplify(assignment.name)]
        return same[0] if len(same) == 1 else assignment.name

    def list_notices(
        self, assignments: list[Assignment], results: Results, roster: Roster | None
    ) -> list[str]:
        """Says for which assignments Canvas has to be told which one it is."""
        titles = [self.find_title(assignment, roster) for assignment in assignments]
        if not (unknown := [title for title in titles if not title.endswith(")")]):
            return []
        return [
            f"The id in Canvas is not known of: {', '.join(unknown)}. Canvas takes an "
            "assignment with just this title, or asks whether to make a new one. To be "
            'sure, give --title "Title (id)", or an export of Canvas\'s gradebook as '
            "--roster."
        ]


class MoodleExporter(LmsExporter):
    """Writes what Moodle's gradebook imports as CSV.

    Source: https://docs.moodle.org/en/Grade_import
    """

    feedback = Bool(False, help="add the graders' comments, in a column of their own")
    feedback.tag(config=True)

    # By preference: what Moodle can find a user by.
    keys = {
        "ID number": "id_number",
        "Username": "username",
        "Email address": "email",
    }

    def make_rows(
        self,
        people: list[Person],
        assignments: list[Assignment],
        results: Results,
        roster: Roster | None,
    ) -> list[list[str]]:
        """Returns the header and a row for each student."""
        key = self.choose_key(people)
        header = [key, "First name", "Last name"]
        for assignment in assignments:
            header.append(self.title or assignment.name)
            if self.feedback:
                header.append(f"{header[-1]} (feedback)")
        rows = [header]
        for person in people:
            identifier = getattr(person, self.keys[key])
            check_identifiers(person, [identifier], key)
            row = [identifier, person.first_name, person.last_name]
            for assignment in assignments:
                result = results.get((person.student, assignment.name))
                row.append(format_points(result.points) if result else "")
                if self.feedback:
                    row.append(result.comments if result else "")
            rows.append(row)
        return rows

    def choose_key(self, people: list[Person]) -> str:
        """Returns the first column that identifies everyone."""
        for key, name in self.keys.items():
            if all(getattr(person, name) for person in people):
                return key
        values = self.keys.values()
        lost = ", ".join(
            person.student
            for person in people
            if not any(getattr(person, name) for name in values)
        )
        raise CourseError(
            "Moodle finds a user by ID number, user name or e-mail address, and none "
            f"of these is known for everyone; none at all for {lost or 'some'}. "
            "Give an export of Moodle's participants as --roster."
        )

    def list_notices(
        self, assignments: list[Assignment], results: Results, roster: Roster | None
    ) -> list[str]:
        """Says whose points Moodle would cut."""
        above = [
            f"{student} ({assignment.name})"
            for assignment in assignments
            for (student, name), result in results.items()
            if name == assignment.name and result.points > assignment.max_score
        ]
        if not above:
            return []
        return [
            f"With extra credit, more than all points: {', '.join(above)}. Moodle cuts "
            "them unless its setting `unlimitedgrades` is on."
        ]


EXPORTERS = {"canvas": CanvasExporter, "moodle": MoodleExporter}


def export_grades(course: Path, form: str, **options: Any) -> list[str]:
    """Exports the grades of a course, as `nbgrader export` with an exporter does.

    Args:
        course: The top of the course directory.
        form: One of EXPORTERS.
        options: The exporter's settings.

    Returns:
        What the instructor has to know.

    Raises:
        CourseError: if nothing was exported.
    """
    application = read_settings(course)
    require_gradebook(application)
    exporter = EXPORTERS[form](parent=application, **options)
    with explain_database(application), open_gradebook(application) as gradebook:
        return exporter.write(gradebook)


def format_points(points: float) -> str:
    """Returns points as both LMSs read them: two decimals at most, a point."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def simplify(title: str) -> str:
    """Returns a title by which to compare: no id, no case, no punctuation."""
    without_id = title.rpartition(" (")[0] if title.endswith(")") else title
    return "".join(letter for letter in without_id.casefold() if letter.isalnum())
