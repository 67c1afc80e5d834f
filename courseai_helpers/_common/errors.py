"""The error that every `courseai` command reports as one paragraph."""


class CourseError(Exception):
    """Says in one paragraph what is wrong with the course and what to do next."""
