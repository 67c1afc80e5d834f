"""The examiner: a kernel that runs the test cells of one submission.

The student's own cells never run in it. It runs the setup cells itself, and the names
of the exercises stand for functions in the student's kernel, see `proxies.py`.
"""

import hashlib
import json
import socket
from typing import Any

from nbclient import NotebookClient
from nbclient.util import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import is_grade, is_locked, is_solution

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.examiner.time_limits import Patient

WHO = (
    "from courseai_helpers.grading.examiner.proxies import print_asked as _; _(); del _"
)

SET_UP = (
    "from courseai_helpers.grading.examiner.proxies import set_up as _\n"
    "_(globals(), {!r}, {!r}, salt={!r}, given_up={!r})\n"
    "del _"
)


class ExaminerError(CourseError):
    """Says that the examiner can't be set up, which is not a submission's fault."""


def is_test(cell: NotebookNode) -> bool:
    """Whether the examiner runs a cell, and decides with it about points."""
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def is_setup(cell: NotebookNode) -> bool:
    """Whether the instructor wrote a cell that both kernels need to run."""
    if cell.cell_type != "code" or is_grade(cell) or is_solution(cell):
        return False
    return is_locked(cell)


def compute_salt(nb: NotebookNode) -> int:
    """Returns a number that depends on all that a student wrote, and on nothing else.

    The hidden tests' random inputs depend on it: see `oracles.make_generator`.
    """
    sources = [cell.source for cell in nb.cells if not is_test(cell)]
    digest = hashlib.sha256(json.dumps(sources).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def list_exercises(nb: NotebookNode) -> list[str]:
    """Returns the names of the functions that students write."""
    marks = [
        cell.metadata.nbgrader.grade_id
        for cell in nb.cells
        if cell.cell_type == "code" and is_solution(cell)
    ]
    return [name for name in marks if name.isidentifier()]


class PatientClient(Patient, NotebookClient):
    """Executes test cells, for as long as the student's kernel may take."""


class Examiner:
    """A kernel for test cells, and what it takes to start it again.

    Attributes:
        client: What executes cells in its kernel.
        exercises: The names of the functions that students write.
        salt: What the hidden tests' inputs depend on.
        done: The setup cells that were run.
        given_up: The functions that are no longer called.
    """

    def __init__(self, manager_class: type, nb: NotebookNode, **options: Any):
        """Prepares a kernel, but does not start it.

        Args:
            manager_class: What starts kernels.
            nb: The submission, repaired.
            **options: Those of nbclient's NotebookClient.
        """
        self.client = PatientClient(
            new_notebook(cells=[new_code_cell()]),
            kernel_manager_class=manager_class,
            allow_errors=True,
            shutdown_kernel="immediate",
            record_timing=False,
            **options,
        )
        self.exercises, self.salt = list_exercises(nb), compute_salt(nb)
        self.done: list[str] = []
        self.given_up: set[str] = set()

    def start(self, link: socket.socket) -> None:
        """Starts a kernel, a new one if there was one, and sets it up.

        Args:
            link: What leads to the student's kernel.
        """
        self.stop()
        manager: Any = self.client.create_kernel_manager()
        manager.link, manager.examiner = link, True
        self.client.km = manager
        self.client.start_new_kernel()
        self.client.start_new_kernel_client()
        sources, self.done = self.done, []
        for source in sources or [""]:  # the stand-ins are always there
            self.set_up(source)

    def set_up(self, source: str) -> None:
        """Runs a setup cell.

        Raises:
            ExaminerError: if it fails.
        """
        prepare = SET_UP.format(self.exercises, source, self.salt, self.given_up)
        # Nobody looks at the figure that a setup cell may end in.
        for code in (f"{source}\nNone", prepare):
            cell = self.execute(new_code_cell(code))
            errors = [o for o in cell.outputs if o.output_type == "error"]
            if errors:
                raise ExaminerError(
                    "A setup cell fails where the tests are run, by no fault of the "
                    f"student ({errors[0].ename}: {errors[0].evalue}). Does the "
                    "authored notebook run from top to bottom?"
                )
        self.done += [source] if source else []

    def give_up(self) -> str | None:
        """Stops calling the function that has just run out of time.

        Returns:
            Its name, or None if it is not a function that took the time.
        """
        cell = self.execute(new_code_cell(WHO))
        name = "".join(output.get("text", "") for output in cell.outputs).strip()
        if name not in self.exercises:
            return None
        self.given_up.add(name)
        self.set_up("")
        return name

    async def execute_async(self, cell: NotebookNode) -> NotebookNode:
        """Executes a cell and returns it with its outputs."""
        self.client.nb.cells[0] = cell
        return await self.client.async_execute_cell(cell, 0, store_history=False)

    execute = run_sync(execute_async)

    def stop(self) -> None:
        """Ends the kernel, if there is one."""
        if self.client.km is not None and self.client.kc is not None:
            self.client._cleanup_kernel()
