"""What the exporters for all LMSs share: whose points go into the file."""

import sys
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student
from nbgrader.plugins import ExportPlugin
from traitlets import Bool, Unicode

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.lms.matching import match
from courseai_helpers.grading.lms.roster import Person, Roster, read_roster
from courseai_helpers.grading.lms.tables import write_table


@dataclass(frozen=True)
class Result:
    """What a student got for an assignment.

    Attributes:
        points: With extra credit, less the penalty for being late; 0 or more.
        penalty: What was taken off for being late.
        comments: What the graders wrote.
    """

    points: float
    penalty: float = 0.0
    comments: str = ""


# By student and assignment.
Results = dict[tuple[str, str], Result]


class LmsExporter(ExportPlugin):
    """What the exporters share; each LMS has a class of its own."""

    usual_file = "grades.csv"

    roster = Unicode("", help="CSV file with the LMS's ids, as the LMS exports it").tag(
        config=True
    )
    title = Unicode("", help="the LMS's title of the assignment, if only one").tag(
        config=True
    )
    missing_as_zero = Bool(
        False, help="give 0 points to those who have not submitted"
    ).tag(config=True)
    unfinished = Bool(
        False, help="export points also where answers wait for an instructor"
    ).tag(config=True)

    def export(self, gradebook: Gradebook) -> None:
        """Writes the file; an error ends the program with a paragraph about it."""
        try:
            *notices, done = self.write(gradebook)
            for notice in notices:
                self.log.warning(notice)
            self.log.info(done)
        except CourseError as error:
            self.log.critical(error)
            sys.exit(1)

    def write(self, gradebook: Gradebook) -> list[str]:
        """Writes the file, and returns what the instructor has to know about it.

        The last line says where the file was written.

        Raises:
            CourseError: if the grades are not final, or can't be matched to the LMS.
        """
        assignments = self.choose_assignments(gradebook)
        students = self.choose_students(gradebook)
        results = {
            (student.id, assignment.name): result
            for assignment in assignments
            for student in students
            if (result := self.find_result(gradebook, assignment, student))
        }
        roster = read_roster(Path(self.roster)) if self.roster else None
        graded = {student for student, _ in results}
        people, lost = match([s for s in students if s.id in graded], roster)
        notices = self.check_finished(gradebook, assignments, people)
        if lost:
            notices.append(
                f"Left out, because {self.roster} does not have them: "
                f"{', '.join(lost)}."
            )
        rows = self.make_rows(people, assignments, results, roster)
        path = Path(self.to or self.usual_file)
        write_table(path, rows)
        notices += self.list_notices(assignments, results, roster)
        return [*notices, f"Wrote the grades of {len(people)} students to {path}."]

    def choose_assignments(self, gradebook: Gradebook) -> list[Assignment]:
        """Returns the assignments to export: those that were named, or all."""
        wanted = [str(name) for name in self.assignment]
        found = {assignment.name: assignment for assignment in gradebook.assignments}
        if unknown := [name for name in wanted if name not in found]:
            raise CourseError(
                f"The gradebook has no assignment {unknown[0]!r}, only "
                f"{', '.join(found) or 'none at all'}. `nbgrader generate_assignment` "
                "puts one there."
            )
        chosen = [found[name] for name in wanted] or list(found.values())
        if self.title and len(chosen) != 1:
            raise CourseError(
                "A title is for one assignment, and there are several to export. Name "
                "the assignment as well."
            )
        return chosen

    def choose_students(self, gradebook: Gradebook) -> list[Student]:
        """Returns the students to export: those that were named, or all."""
        wanted = {str(name) for name in self.student}
        students = sorted(gradebook.students, key=lambda student: student.id)
        if unknown := wanted - {student.id for student in students}:
            raise CourseError(
                f"The gradebook has no student {', '.join(sorted(unknown))}. `courseai "
                "import roster FILE` or `nbgrader db student add` puts them there."
            )
        return [s for s in students if not wanted or s.id in wanted]

    def find_result(
        self, gradebook: Gradebook, assignment: Assignment, student: Student
    ) -> Result | None:
        """Returns what a student got, or nothing if there was no submission."""
        try:
            submission = gradebook.find_submission(assignment.name, student.id)
        except MissingEntry:
            return Result(0.0) if self.missing_as_zero else None
        penalty = submission.late_submission_penalty or 0.0
        comments = [
            f"{comment.name}: {comment.comment}"
            for notebook in submission.notebooks
            for comment in notebook.comments
            if comment.comment
        ]
        points = max(0.0, submission.score - penalty)
        return Result(points, penalty, "\n".join(comments))

    def check_finished(
        self,
        gradebook: Gradebook,
        assignments: list[Assignment],
        people: list[Person],
    ) -> list[str]:
        """Says whose answers still have to be graded.

        Raises:
            CourseError: if there are any, unless it was asked for.
        """
        names = {person.student for person in people}
        waiting = [
            f"{submission.student.id} ({assignment.name})"
            for assignment in assignments
            for submission in gradebook.assignment_submissions(assignment.name)
            if submission.needs_manual_grade and submission.student.id in names
        ]
        if not waiting:
            return []
        described = f"Not finally graded: {', '.join(sorted(waiting))}."
        if self.unfinished:
            return [f"{described} Their points so far were exported."]
        raise CourseError(
            f"{described} Answers of theirs wait for autograding or for an instructor, "
            "so nothing was exported. Grade them in Formgrader, or export the points "
            "so far with --unfinished (plain nbgrader: "
            f"--{type(self).__name__}.unfinished=True)."
        )

    def make_rows(
        self,
        people: list[Person],
        assignments: list[Assignment],
        results: Results,
        roster: Roster | None,
    ) -> list[list[str]]:
        """Returns the header and all rows, as the LMS wants them."""
        raise NotImplementedError

    def list_notices(
        self, assignments: list[Assignment], results: Results, roster: Roster | None
    ) -> list[str]:
        """Says what to mind when the file is imported."""
        raise NotImplementedError
