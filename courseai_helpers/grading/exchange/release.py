"""Releases assignments and feedback into folders that the instructor owns."""

import os
import stat
from collections.abc import Callable
from typing import NoReturn

from nbgrader.exchange import default


class OwnFolders:
    """For steps that write to the course's folder in the exchange."""

    fail: Callable[[str], NoReturn]  # nbgrader's, in the other class

    def ensure_directory(self, path: str, mode: int) -> None:
        """Makes a folder, or makes sure that it is ours and not a link."""
        if os.path.islink(path):
            self.fail(f"{path} is a link that somebody has put there. Remove it.")
        super().ensure_directory(path, mode)  # type: ignore[misc]


class ExchangeReleaseAssignment(OwnFolders, default.ExchangeReleaseAssignment):
    """Releases into folders that the instructor owns."""

    def ensure_root(self) -> None:
        """Makes sure that students can't rename others' files in the exchange."""
        super().ensure_root()
        found = os.stat(self.root)
        if found.st_uid == os.geteuid() and not self.coursedir.groupshared:
            os.chmod(self.root, stat.S_IMODE(found.st_mode) | stat.S_ISVTX)


class ExchangeReleaseFeedback(OwnFolders, default.ExchangeReleaseFeedback):
    """Releases feedback into folders that the instructor owns."""

    def init_dest(self) -> None:
        """Looks at the course's folder before the one in it."""
        if self.coursedir.course_id:
            self.ensure_directory(
                os.path.join(self.root, self.coursedir.course_id), 0o755
            )
        super().init_dest()
