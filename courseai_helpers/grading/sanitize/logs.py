"""Formats log lines so that students' names and messages can't command a terminal."""

import logging
from typing import Any

from nbgrader.apps.baseapp import LogFormatter

from courseai_helpers._common.printing import make_lines_printable


class PrintableLines(logging.Formatter):
    """Formats log lines: what they quote is printable, and can't pass for a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line for a record; its color is ours and stays."""
        plain = logging.makeLogRecord(vars(record))
        lines = make_lines_printable(record.getMessage())
        plain.msg, plain.args = lines.replace("\n", "\n    "), None
        plain.exc_text = None  # another handler's, which may not be printable
        return super().format(plain)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Returns the lines of a traceback."""
        return make_lines_printable(super().formatException(ei))


class PrintableFormatter(PrintableLines, LogFormatter):
    """Formats nbgrader's log lines as nbgrader does, what is quoted made printable."""
