"""Names the causes for which a cell fails."""

import re
import signal
from dataclasses import asdict, dataclass

from nbformat import NotebookNode

CAUSES = "courseai_causes"  # the key in the metadata of an executed notebook
AUDIT = "courseai_audit"  # that of what was repaired before

WRONG_ANSWER = "wrong answer"
ERROR = "error"
TIME_OUT = "time-out"
OUT_OF_MEMORY = "out of memory"
KILLED = "killed"
OUTPUT_FLOOD = "output flood"
ALL = (WRONG_ANSWER, ERROR, TIME_OUT, OUT_OF_MEMORY, KILLED, OUTPUT_FLOOD)

OVERRUN = "It took too long and was interrupted. Does a loop not end?"
# The errors by which nbclient and the examiner say that something took too long.
TOO_LATE = ("CellTimeoutError", "NotAskedAgainError")
# How Python and torch say that they got no memory.
NO_MEMORY = re.compile("MemoryError|can't allocate memory|Cannot allocate memory")
ANSI_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Why a cell failed.

    Attributes:
        cause: One of this module's constants.
        message: What a student can do something with, in a sentence or two.
    """

    cause: str
    message: str

    def to_dict(self) -> dict[str, str]:
        """Returns what can be stored as JSON."""
        return asdict(self)


def classify_error(output: NotebookNode) -> Failure:
    """Returns the failure that an error output tells of."""
    name, message = output.ename, ANSI_COLOR.sub("", output.evalue)
    if NO_MEMORY.search(f"{name} {message}"):
        return Failure(OUT_OF_MEMORY, message or "There was no memory left.")
    if name in TOO_LATE:
        return Failure(TIME_OUT, message or OVERRUN)
    if name == "AssertionError":
        return Failure(WRONG_ANSWER, message)
    return Failure(ERROR, f"{name}: {message}")


def classify_death(report: dict | None) -> Failure:
    """Returns the failure that the end of a kernel means.

    Args:
        report: What the kernel's supervisor reported, or None if it did not.
    """
    report = report or {"status": 1, "cause": None}
    if cause := report["cause"]:
        kinds = {"out of memory": OUT_OF_MEMORY, "put out": OUTPUT_FLOOD}
        kind = next((kind for words, kind in kinds.items() if words in cause), KILLED)
        return Failure(kind, f"The kernel was stopped: {cause}.")
    status = report["status"]
    if status >= 0:
        return Failure(KILLED, f"The code ended the kernel, with exit code {status}.")
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return Failure(KILLED, f"The kernel was ended by {name}.")
