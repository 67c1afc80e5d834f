"""Names the causes for which a cell fails."""

import errno
import re
import signal
from dataclasses import dataclass
from enum import StrEnum

from nbformat import NotebookNode

from courseai_helpers.grading.sandbox.bubblewrap import End, Stop

CAUSES = "courseai_causes"  # the key in the metadata of an executed notebook
AUDIT = "courseai_audit"  # that of what was repaired before


class Cause(StrEnum):
    """What keeps a cell from having worked."""

    WRONG_ANSWER = "wrong answer"
    ERROR = "error"
    TIME_OUT = "time-out"
    OUT_OF_MEMORY = "out of memory"
    KILLED = "killed"
    OUTPUT_FLOOD = "output flood"


# What it means for a cell that its kernel was ended for it; the rest is KILLED.
STOPS = {Stop.MEMORY: Cause.OUT_OF_MEMORY, Stop.OUTPUT: Cause.OUTPUT_FLOOD}
OVERRUN = "It took too long and was interrupted. Does a loop not end?"
# The errors by which nbclient and the examiner say that something took too long, and
# the one by which the examiner says that the student's kernel has left it. No error
# from the student's kernel gets there under these names: see `wire.OUR_ERRORS`.
TOO_LATE = ("CellTimeoutError", "NotAskedAgainError")
GONE = "GoneError"
# The system and torch have no type of their own for it. Who raises what looks like one
# of these is told of memory where the error was another, and loses nothing else by it.
NO_MEMORY = {
    "OSError": re.compile(rf"\[Errno {errno.ENOMEM}\]"),
    "RuntimeError": re.compile(r"DefaultCPUAllocator: (can't|not enough) "),
}
ANSI_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Why a cell failed.

    Attributes:
        cause: What it was.
        message: What helps a student, in a sentence or two.
    """

    cause: Cause
    message: str

    def to_dict(self) -> dict[str, str]:
        """Returns what can be stored as JSON."""
        return {"cause": self.cause.value, "message": self.message}


def classify_error(output: NotebookNode) -> Failure:
    """Returns the failure that an error output tells of."""
    name, message = output.ename, ANSI_COLOR.sub("", output.evalue)
    if is_out_of_memory(name, message):
        return Failure(Cause.OUT_OF_MEMORY, message or "There was no memory left.")
    if name in TOO_LATE:
        return Failure(Cause.TIME_OUT, message or OVERRUN)
    if name == GONE:
        return Failure(Cause.KILLED, "The kernel has ended, or its link was closed.")
    if name == "AssertionError":
        return Failure(Cause.WRONG_ANSWER, message)
    return Failure(Cause.ERROR, f"{name}: {message}")


def is_out_of_memory(name: str, message: str) -> bool:
    """Tells by an error's type, and its number where it has one, if memory ran out."""
    if name.endswith("MemoryError"):  # Python's, NumPy's, torch's on a GPU
        return True
    return name in NO_MEMORY and bool(NO_MEMORY[name].search(message))


def classify_death(report: End | None) -> Failure:
    """Returns the failure that the end of a kernel means.

    Args:
        report: What the kernel's supervisor reported, or None if it did not.
    """
    report = report or End()
    if report.stop:
        kind = STOPS.get(report.stop, Cause.KILLED)
        return Failure(kind, f"The kernel was stopped: {report.message}.")
    status = report.status
    if status >= 0:
        text = f"The code ended the kernel, with exit code {status}."
        return Failure(Cause.KILLED, text)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return Failure(Cause.KILLED, f"The kernel was ended by {name}.")
