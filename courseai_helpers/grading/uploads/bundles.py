"""What was in a download, sorted by who sent it, and how much one may send.

Limits hold for each submission: one that exceeds them is refused with a reason, and the
others are not affected.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from courseai_helpers._common.errors import CourseError

MAX_FILES = 5_000  # in a submission, all its archives together, folders included
MAX_BYTES = 2**29  # of a submission, archives and what was in them together
MAX_REASONS = 10  # reasons that are given for one submission


class ExceededError(CourseError):
    """Says why nothing of a submission is taken."""


@dataclass(frozen=True)
class Found:
    """A file of a download.

    Attributes:
        name: Its path within the download; an archive counts as a folder.
        path: Where it is now.
        time: When it was last changed, in UTC without a zone, as nbgrader has it.
        archives: The archives that it is in, the outermost first.
    """

    name: PurePosixPath
    path: Path
    time: datetime
    archives: tuple["Found", ...] = ()


@dataclass
class Bundle:
    """What one student has sent.

    Attributes:
        files: The files.
        refused: For each file that was not taken, the reason.
        count: How many files were looked at.
        bytes: Their size, as far as they were unpacked.
        exceeded: Whether that was too much, so that nothing of it is taken.
    """

    files: list[Found] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    count: int = 0
    bytes: int = 0
    exceeded: bool = False

    def charge(self, files: int = 0, size: int = 0) -> None:
        """Adds to what was looked at, or unpacked.

        Raises:
            ExceededError: if that is more than one student may send.
        """
        self.count += files
        self.bytes += size
        if self.count > MAX_FILES or self.bytes > MAX_BYTES:
            raise ExceededError(
                f"It has more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB, so "
                "nothing of it was imported. Unpack it by hand, look what takes the "
                "room, and import the folder that it is in."
            )


class Unpacked:
    """What was in a download, by who sent it.

    Attributes:
        workspace: The folder for what was packed.
        find_sender: Tells by a file's name who sent it.
        bundles: What each has sent.
        count: How many files were unpacked.
    """

    def __init__(self, workspace: Path, find_sender: Callable[[PurePosixPath], str]):
        self.workspace = workspace
        self.find_sender = find_sender
        self.bundles: dict[str, Bundle] = defaultdict(Bundle)
        self.count = 0

    @property
    def files(self) -> list[Found]:
        """All files that were found."""
        return [found for bundle in self.bundles.values() for found in bundle.files]

    @property
    def refused(self) -> dict[str, str]:
        """For each file that was not taken, the reason; of each sender's the first."""
        reasons: dict[str, str] = {}
        for sender, bundle in self.bundles.items():
            reasons |= dict(list(bundle.refused.items())[:MAX_REASONS])
            if (more := len(bundle.refused) - MAX_REASONS) > 0:
                reasons[sender] = f"{more} more of its files were not taken."
        return reasons

    def drop(self, sender: str, reason: str) -> None:
        """Takes nothing of what one has sent, and makes its room on the disk free."""
        bundle = self.bundles[sender]
        for found in bundle.files:
            if found.path.is_relative_to(self.workspace):
                found.path.unlink()
        bundle.files, bundle.refused = [], {sender: reason}
        bundle.exceeded = True
