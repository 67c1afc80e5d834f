"""`nbgrader list --inbound`, without looking into students' folders."""

import os
import re
from typing import Any

from nbgrader.exchange import default

# Student, assignment, time and mostly random letters.
NAME = re.compile(r"[^+]+\+[^+]+\+[^+]+(\+[^+]*)?")


class ExchangeList(default.ExchangeList):
    """Lists what students have handed in by the names of the folders alone.

    nbgrader opens notebooks there: a pipe in place of one would block it for ever, and
    a name with a line break stops it.
    """

    assignments: list[str]

    def init_dest(self) -> None:
        """Finds what there is to list."""
        super().init_dest()
        if self.inbound:
            self.assignments = [path for path in self.assignments if is_plain(path)]

    def parse_assignments(self) -> list[dict[str, Any]]:
        """Returns what there is, as nbgrader has it."""
        if not self.inbound:
            return super().parse_assignments()
        groups: dict[tuple[str, ...], dict[str, Any]] = {}
        for path in self.assignments:
            info = self.parse_assignment(path) | {
                "path": path,
                "status": "removed" if self.remove else "submitted",
                "notebooks": [],
                "has_local_feedback": False,
                "has_exchange_feedback": False,
                "feedback_updated": False,
                "local_feedback_path": None,
            }
            names = ("course_id", "student_id", "assignment_id", "status")
            key = tuple(info[name] for name in names)
            group = dict(zip(names, key, strict=True)) | {"submissions": []}
            groups.setdefault(key, group)["submissions"].append(info)
        return [groups[key] for key in sorted(groups)]


def is_plain(path: str) -> bool:
    """Tells whether a path is that of a submission, and can be printed."""
    name = os.path.basename(path)
    usual = name.isprintable() and NAME.fullmatch(name)
    return bool(usual) and os.path.isdir(path) and not os.path.islink(path)
