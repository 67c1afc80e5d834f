"""Executes a submission for nbgrader: in the sandbox, and to the last cell.

A drop-in for nbgrader's own Execute preprocessor. A cell that ends its kernel costs
its own points and not the rest of the notebook: a new kernel is started and runs the
cells again that have worked. Why a cell failed is noted in the notebook's metadata.
"""

import asyncio
import time

import zmq
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade
from traitlets import Bool, Integer

from courseai_helpers.grading.causes import (
    CAUSES,
    KILLED,
    OUTPUT_FLOOD,
    TIME_OUT,
    Failure,
    classify_death,
    classify_error,
)
from courseai_helpers.grading.sandbox import SandboxError, require_sandbox

MAX_MESSAGE = 2**24  # bytes; what is longer closes the connection
MAX_WAITING = 100  # messages that wait for the grader


class SandboxedKernelManager(AsyncKernelManager):
    """Starts the one kind of kernel that student code runs in.

    A submission names the kernel it wants; whatever it says, it is this one.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            display_name="Python in a sandbox",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": "courseai-sandbox"}},
        )

    def _context_default(self) -> zmq.Context:
        context = super()._context_default()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        context.setsockopt(zmq.RCVHWM, MAX_WAITING)
        return context


class SandboxedExecute(Execute):
    """Executes all cells of a submission, whatever some of them do."""

    sandbox = Bool(
        True,
        help="Run student code in a sandbox. False lets it run with your own rights.",
    ).tag(config=True)
    output_limit = Integer(
        5 * 2**20, help="Bytes that a cell may put out before it is interrupted."
    ).tag(config=True)
    submission_timeout = Integer(
        1800, help="Seconds for a notebook; cells that are left then are not run."
    ).tag(config=True)
    shutdown_kernel = "immediate"  # nothing in there is worth a farewell

    def preprocess(self, nb, resources=None, km=None):
        """Executes the notebook in place and notes why cells failed."""
        if self.sandbox:
            self.require_sandbox()
            self.kernel_manager_class = SandboxedKernelManager
        self.failures = {}
        self.done = []  # the cells that a new kernel has to run again
        self.deadline = time.monotonic() + self.submission_timeout
        nb, resources = super().preprocess(nb, resources, km)
        nb.metadata[CAUSES] = {
            name: failure.to_dict() for name, failure in self.failures.items()
        }
        return nb, resources

    def require_sandbox(self) -> None:
        """Says plainly why nothing is run; nbgrader itself shows a traceback only."""
        try:
            require_sandbox()
        except SandboxError as error:
            self.log.critical(error)
            raise

    def preprocess_cell(self, cell, resources, index):
        """Executes one cell; whatever happens, the next one can be executed."""
        if cell.cell_type != "code":
            return cell, resources
        self.output_bytes = 0
        if time.monotonic() > self.deadline:
            limit = f"The notebook took more than {self.submission_timeout} s."
            self.fail(cell, Failure(TIME_OUT, limit))
            return cell, resources
        try:
            super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self.fail(cell, self.find_out(error))
            self.replace_kernel(resources)
        else:
            self.note(cell)
        return cell, resources

    def note(self, cell: NotebookNode) -> None:
        """Notes how a cell ended whose kernel lives on."""
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if self.output_bytes > self.output_limit:
            size = f"more than {self.output_limit / 2**20:.0f} MiB"
            message = f"The cell put out {size} and was interrupted."
            self.fail(cell, Failure(OUTPUT_FLOOD, message))
        elif errors:
            self.failures[name_cell(cell)] = classify_error(errors[-1])
        elif not is_grade(cell):
            self.done.append(cell.source)

    def fail(self, cell: NotebookNode, failure: Failure) -> None:
        """Makes a cell a failed one that says why."""
        self.failures[name_cell(cell)] = failure
        kept = [o for o in cell.get("outputs", []) if o.output_type != "error"]
        text = f"{failure.cause}: {failure.message}"
        error = {"ename": failure.cause, "evalue": failure.message, "traceback": [text]}
        cell.outputs = [*kept, new_output("error", **error)]

    def find_out(self, error: Exception) -> Failure:
        """Finds out why the kernel is of no use any more."""
        if isinstance(error, CellTimeoutError):
            message = f"The cell took more than {self.timeout} s. Does a loop not end?"
            return Failure(TIME_OUT, message)
        if self.sandbox:
            return classify_death(self.km.provisioner.report)
        return Failure(KILLED, "The kernel ended while the cell ran.")

    def replace_kernel(self, resources: dict) -> None:
        """Starts a new kernel and brings it to where the old one was."""
        self._cleanup_kernel()
        self.km = self.create_kernel_manager()
        self.start_new_kernel()
        self.start_new_kernel_client()
        sources, self.done = self.done, []
        for source in sources:
            try:
                self.wait_for_reply(self.kc.execute(source), NotebookNode(metadata={}))
            except DeadKernelError:
                return self.replace_kernel(resources)
            self.done.append(source)

    def process_message(self, msg, cell, cell_index):
        """Keeps a message of the kernel, unless there are too many of them."""
        if msg["msg_type"] != "status":
            before = self.output_bytes
            self.output_bytes += measure_message(msg)
            if self.output_bytes > self.output_limit:
                if before <= self.output_limit:
                    self.interruption = asyncio.ensure_future(
                        self.km.interrupt_kernel()
                    )
                return None
        return super().process_message(msg, cell, cell_index)


def name_cell(cell: NotebookNode) -> str:
    """Returns the name of a cell: its grade_id, or its id."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.get("id", "")


def measure_message(message: dict) -> int:
    """Returns about how many bytes of output a kernel's message holds."""
    content = message["content"]
    parts = [content.get("text", ""), *content.get("traceback", [])]
    parts += content.get("data", {}).values()
    return sum(len(part) if isinstance(part, str) else len(str(part)) for part in parts)
