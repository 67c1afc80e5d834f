"""The form of log lines, in which names and messages of students command nothing."""

import logging
from typing import Any

from nbgrader.apps.baseapp import LogFormatter

from courseai_helpers._common.printing import make_lines_printable


class PrintableFormatter(LogFormatter):
    """Formats nbgrader's log lines as nbgrader does, what is quoted made printable."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line for a record; its color is ours and stays."""
        plain = logging.makeLogRecord(vars(record))
        plain.msg, plain.args = make_lines_printable(record.getMessage()), None
        return super().format(plain)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Returns the lines of a traceback."""
        return make_lines_printable(super().formatException(ei))
