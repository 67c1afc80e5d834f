"""Executes a submission for nbgrader: in the sandbox, and to the last cell.

A drop-in for nbgrader's own Execute preprocessor. The student's kernel runs all but the
test cells; these are run by the examiner, in a kernel of its own. A cell that ends its
kernel costs its own points and not the rest of the notebook: a new kernel is started
and runs the cells again that have worked. Why a cell failed is noted in the notebook's
metadata.
"""

import asyncio
import contextlib
import socket
import time

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
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
from courseai_helpers.grading.examiner import (
    Examiner,
    is_setup,
    is_test,
)
from courseai_helpers.grading.messages import UNREADABLE, clean_cell
from courseai_helpers.grading.provisioner import SandboxedKernelManager
from courseai_helpers.grading.sandbox import SandboxError
from courseai_helpers.grading.trial import require_sandbox

GRACE = 5.0  # seconds for a kernel to end whose link is broken
LABORATORY = "courseai_helpers.shortcut"  # see rehearsing.py
LISTEN = "from courseai_helpers.grading.serving import listen as _; _(); del _"


class StoppedError(Exception):
    """Says that an execution was ended because nobody wants its result any more."""


class SandboxedExecute(Execute):
    """Executes all cells of a submission, whatever some of them do.

    Attributes:
        stopped: Whether `stop` was called.
    """

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
    stopped = False
    examiner: Examiner | None = None

    def preprocess(self, nb, resources=None, km=None):
        """Executes the notebook in place and notes why cells failed."""
        self.examiner = None
        if self.sandbox:
            self.require_sandbox()
            self.kernel_manager_class = SandboxedKernelManager
            self.examiner = self.make_examiner(nb)
        self.lesson = any(LABORATORY in cell.source for cell in nb.cells)
        self.failures = {}
        self.done = []  # the cells that a new kernel has to run again
        self.deadline = time.monotonic() + self.submission_timeout
        try:
            nb, resources = super().preprocess(nb, resources, km)
        finally:
            if self.examiner:
                self.examiner.stop()
        for cell in nb.cells:  # a later one may have changed what an earlier one shows
            clean_cell(cell)
        nb.metadata[CAUSES] = {
            name: failure.to_dict() for name, failure in self.failures.items()
        }
        return nb, resources

    def stop(self) -> None:
        """Ends the execution before its time; called from another thread."""
        self.stopped = True
        for client in (self, self.examiner and self.examiner.client):
            if client and client.km and client.km.provisioner:
                asyncio.run(client.km.provisioner.kill())

    def make_examiner(self, nb: NotebookNode) -> Examiner:
        """Makes the examiner, which has the time limits of any other kernel."""
        names = (
            "timeout",
            "startup_timeout",
            "iopub_timeout",
            "raise_on_iopub_timeout",
            "interrupt_on_timeout",
            "error_on_timeout",
            "on_cell_executed",
        )
        options = {name: getattr(self, name) for name in names}
        return Examiner(SandboxedKernelManager, nb, **options)

    def create_kernel_manager(self):
        """Makes what starts a student's kernel, with a link to the examiner's."""
        manager = super().create_kernel_manager()
        if self.sandbox:
            manager.link, self.link = socket.socketpair()
            manager.lesson = self.lesson
        self.connected = False
        return manager

    def connect_examiner(self) -> None:
        """Makes the student's kernel answer to the examiner, from now on."""
        if self.connected:
            return
        # The examiner will notice.
        with contextlib.suppress(DeadKernelError, *UNREADABLE):
            self.wait_for_reply(
                self.kc.execute(LISTEN, silent=True, store_history=False)
            )
        with self.km.link, self.link:  # so that each kernel notices the other's end
            self.examiner.start(self.link)
        self.connected = True

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
        if self.stopped:
            raise StoppedError
        self.output_bytes = 0
        if time.monotonic() > self.deadline:
            limit = f"The notebook took more than {self.submission_timeout} s."
            self.fail(cell, Failure(TIME_OUT, limit))
            return cell, resources
        if self.examiner and is_test(cell):
            self.examine(cell, resources)
        else:
            self.run(cell, resources, index)
        return cell, resources

    def run(self, cell: NotebookNode, resources: dict, index: int) -> None:
        """Executes a cell in the student's kernel."""
        try:
            super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self.fail(cell, self.find_out(error))
            self.replace_kernel(resources)
        except UNREADABLE:
            self.watcher.cancel()  # nbclient forgets it
            message = "The kernel sent messages that can't be read."
            self.fail(cell, Failure(KILLED, message))
            self.replace_kernel(resources)
        else:
            self.note(cell)
        if self.examiner and is_setup(cell):
            self.connect_examiner()
            self.examiner.set_up(cell.source)

    def examine(self, cell: NotebookNode, resources: dict) -> None:
        """Has the examiner execute a test cell, which calls the student's functions."""
        self.connect_examiner()
        try:
            run_sync(self.examine_async)(cell)
        except (DeadKernelError, CellTimeoutError):
            self.fail(cell, Failure(KILLED, "The kernel that runs the tests ended."))
            return self.replace_kernel(resources)
        self.note(cell)
        failure = self.failures.get(name_cell(cell))
        if failure is None:
            return
        if failure.cause == TIME_OUT:
            run_sync(self.km.interrupt_kernel)()  # the function may still run
            if not run_sync(self.responds)():
                return self.replace_kernel(resources)
        if self.has_ended(failure):
            self.fail(cell, self.find_out(DeadKernelError()))
            self.replace_kernel(resources)

    async def responds(self) -> bool:
        """Tells whether the student's kernel is free again, after an interrupt."""
        question = self.async_wait_for_reply(self.kc.kernel_info())
        try:
            return await asyncio.wait_for(question, GRACE) is not None
        except (TimeoutError, DeadKernelError, *UNREADABLE):
            return False

    async def examine_async(self, cell: NotebookNode) -> None:
        """Executes a test cell, and meanwhile reads what the functions put out."""
        watching = asyncio.ensure_future(self.watch_output())
        try:
            await self.examiner.execute_async(cell)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def watch_output(self) -> None:
        """Counts what the student's kernel puts out; the examiner's output counts."""
        while True:
            with contextlib.suppress(*UNREADABLE):
                self.count(await self.kc.iopub_channel.get_msg(timeout=None))

    def has_ended(self, failure: Failure) -> bool:
        """Tells whether the student's kernel has ended; waits if it seems so."""
        alive = run_sync(self.km.is_alive)
        deadline = time.monotonic() + (
            GRACE if "the other process is gone" in failure.message else 0
        )
        while alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not alive()

    def note(self, cell: NotebookNode) -> None:
        """Notes how a cell ended whose kernel lives on."""
        clean_cell(cell)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if self.output_bytes > self.output_limit:
            size = f"more than {self.output_limit / 2**20:.0f} MiB"
            message = f"The cell put out {size} and was interrupted."
            self.fail(cell, Failure(OUTPUT_FLOOD, message))
        elif errors:
            self.failures[name_cell(cell)] = classify_error(errors[-1])
        elif not is_test(cell):
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
        if self.stopped:
            raise StoppedError
        self._cleanup_kernel()
        self.km = self.create_kernel_manager()
        self.start_new_kernel()
        self.start_new_kernel_client()
        for place, source in enumerate(self.done):
            if time.monotonic() > self.deadline:
                return  # nothing will be run in this kernel
            try:
                self.wait_for_reply(self.kc.execute(source), NotebookNode(metadata={}))
            except (DeadKernelError, CellTimeoutError, *UNREADABLE):
                del self.done[place]  # what worked once does not work any more
                return self.replace_kernel(resources)

    async def _async_cleanup_kernel(self):
        """Does what nbclient does, which asserts that there is a kernel.

        There is none if a new one could not be started, and the assertion would take
        the place of the reason.
        """
        if self.km is not None:
            await super()._async_cleanup_kernel()

    _cleanup_kernel = run_sync(_async_cleanup_kernel)

    async def _async_poll_kernel_alive(self):
        """Does what nbclient does, and can be stopped."""
        self.watcher = asyncio.current_task()
        await super()._async_poll_kernel_alive()

    def process_message(self, msg, cell, cell_index):
        """Keeps a message of the kernel, unless there are too many of them."""
        if self.count(msg):
            return super().process_message(msg, cell, cell_index)
        return None

    def count(self, message: dict) -> bool:
        """Counts a message of the student's kernel; if there are too many, it stops.

        Returns:
            Whether the message is within the limit.
        """
        if message["msg_type"] == "status":
            return True
        before = self.output_bytes
        self.output_bytes += measure_message(message)
        if before <= self.output_limit < self.output_bytes:
            self.interruption = asyncio.ensure_future(self.km.interrupt_kernel())
        return self.output_bytes <= self.output_limit


def name_cell(cell: NotebookNode) -> str:
    """Returns the name of a cell: its grade_id, or its id."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.get("id", "")


def measure_message(message: dict) -> int:
    """Returns about how many bytes of output a kernel's message holds."""
    content = message["content"]
    parts = [content.get("text", ""), *content.get("traceback", [])]
    parts += content.get("data", {}).values()
    return sum(len(part) if isinstance(part, str) else len(str(part)) for part in parts)
