"""How long a cell may take: a few times what it takes in right work.

An endless loop is recognized by the CPU time that it uses, which is about the same on a
busy machine. Code that only waits is ended by the clock.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from courseai_helpers.grading.sandbox.supervisor import TICKS

BUSY = 6  # seconds of the clock for one of CPU time


def measure_cpu(process: int | None) -> float:
    """Returns how many seconds of CPU time a process has used.

    If the process can't be looked at, the clock counts.
    """
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return sum(map(int, fields[11:13])) / TICKS


class Patient:
    """Makes a client of nbclient measure its time limits in CPU time.

    Attributes:
        read_cpu: Says how many seconds the student's kernel has used.
    """

    read_cpu: Callable[[], float] = staticmethod(time.monotonic)

    def _get_timeout(self, cell: NotebookNode | None) -> Any:
        """Does what nbclient does at the start of a cell, and notes that start."""
        self.start = time.monotonic(), self.read_cpu()
        return super()._get_timeout(cell)  # type: ignore[misc]

    async def _async_handle_timeout(
        self, timeout: int, cell: NotebookNode | None = None
    ) -> Any:
        """Does what nbclient does when a cell has run out of time, if it has."""
        clock, cpu = self.start
        passed, used = time.monotonic() - clock, self.read_cpu() - cpu
        longest = min(self.timeout, BUSY * timeout)  # type: ignore[attr-defined]
        if used < timeout and passed < longest:
            await asyncio.sleep(0.1)
            return None
        # The next class is nbclient's.
        return await super()._async_handle_timeout(  # type: ignore[misc]
            timeout, cell
        )
