"""Executes a submission for nbgrader: in the sandbox, and to the last cell.

A drop-in for nbgrader's own Execute preprocessor. The student's kernel runs all but the
test cells; these are run by the examiner, in a kernel of its own. A cell that ends its
kernel costs its own points and not the rest of the notebook: a new kernel is started
and runs the cells again that have worked. Why a cell failed is noted in the notebook's
metadata.
"""

import asyncio
import contextlib
import math
import socket
import time
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_solution
from traitlets import Bool, Dict, Float, Integer

from courseai_helpers.grading.examiner.kernel import Examiner, is_setup, is_test
from courseai_helpers.grading.examiner.time_limits import Patient, measure_cpu
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError
from courseai_helpers.grading.sandbox.provisioner import SandboxedKernelManager
from courseai_helpers.grading.sandbox.trial import require_sandbox
from courseai_helpers.grading.steps.failures import (
    CAUSES,
    OVERRUN,
    Cause,
    Failure,
    classify_death,
    classify_error,
)
from courseai_helpers.grading.steps.looking import choose_skipped, show_not_run
from courseai_helpers.grading.steps.messages import UNREADABLE, clean_cell
from courseai_helpers.grading.submissions.reading import name_cell

# What such a cell did before it failed stays; it may be needed.
HARMLESS = (Cause.ERROR, Cause.WRONG_ANSWER)
# The examiner's own: its words for these are for the feedback.
SAID_PLAINLY = (Cause.TIME_OUT, Cause.KILLED)
LEAST_CELLS = 12  # with the least time limit each, a submission may have
GRACE = 5.0  # seconds for a kernel to end whose link is broken
# Code of ours for the student's kernel: at its start, around a setup cell, and before
# the first test cell.
EXAMINER = "courseai_helpers.grading.examiner"
STEADY = f"from {EXAMINER} import stabilize as _; _.steady(); del _"
START = (
    f"from {EXAMINER} import lesson_state as _; _.start(get_ipython().user_ns); del _"
)
BEGIN_SETUP = f"from {EXAMINER} import lesson_state as _; _.begin_setup(); del _"
END_SETUP = f"from {EXAMINER} import lesson_state as _; _.end_setup({{!r}}); del _"
GIVE_UP = f"from {EXAMINER} import lesson_state as _; _.give_up({{!r}}); del _"
LISTEN = f"from {EXAMINER} import student_side as _; _.listen(); del _"


class StoppedError(Exception):
    """Says that an execution was stopped because its result is no longer wanted."""


class SandboxedExecute(Patient, Execute):
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
        1800,
        help="Seconds for a notebook. Then only what is graded is run, the student's "
        "own cells are not.",
    ).tag(config=True)
    patience = Float(
        5,
        help="How many times as long as in right work a cell, or a submission, may "
        "take. `courseai grade` measures what right work takes.",
    ).tag(config=True)
    least_timeout = Integer(
        5, help="Seconds of the processor that every cell may take, however short."
    ).tag(config=True)
    usual_seconds = Dict(
        help="What right work takes: seconds by the name of a cell, or by its source."
    ).tag(config=True)
    run_all = Bool(
        False,
        help="Run the cells for looking, too, on which no point depends.",
    ).tag(config=True)
    shutdown_kernel = "immediate"  # nothing in it needs a clean shutdown
    stopped = False
    examiner: Examiner | None = None

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: Any = None
    ) -> tuple[NotebookNode, Any]:
        """Executes the notebook in place and notes why cells failed."""
        self.examiner = None
        if self.sandbox:
            self.require_sandbox()
            self.kernel_manager_class = SandboxedKernelManager
            self.examiner = self.make_examiner(nb)
        self.skipped = set() if self.run_all else choose_skipped(nb.cells)
        self.failures: dict[str, Failure] = {}
        # What a new kernel has to run again: the student's cells, and code of ours.
        self.done: list[tuple[NotebookNode | None, str]] = []
        self.seconds: dict[str, float] = {}
        usual = self.patience * sum(self.usual_seconds.values())
        limit = max(LEAST_CELLS * self.least_timeout, usual) if usual else math.inf
        self.limit = min(self.submission_timeout, limit)
        self.deadline = time.monotonic() + self.limit
        self.timeout_func = self.find_limit
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
        examiner = Examiner(
            SandboxedKernelManager, nb, timeout_func=self.find_limit, **options
        )
        examiner.client.read_cpu = self.read_cpu
        return examiner

    def read_cpu(self) -> float:
        """Returns how many seconds of CPU time the student's kernel has used."""
        return measure_cpu(getattr(self.km.provisioner, "pid", None))

    def find_limit(self, cell: NotebookNode) -> float:
        """Returns how many seconds a cell may take."""
        if not self.usual_seconds:
            return self.timeout
        known = self.usual_seconds.values()
        usual = self.usual_seconds.get(name_time(cell), sum(known) / len(known))
        return min(self.timeout, max(self.least_timeout, self.patience * usual))

    def create_kernel_manager(self) -> Any:
        """Makes what starts a student's kernel, with a link to the examiner's."""
        manager = super().create_kernel_manager()
        if self.sandbox:
            manager.link, self.link = socket.socketpair()
        self.prepared = self.connected = self.closed = False
        return manager

    def tell(self, code: str) -> None:
        """Has the student's kernel run code of ours, if it is still alive.

        It must work whatever a cell did to the process, so it uses no names that a
        student may have given to something else.
        """
        with contextlib.suppress(DeadKernelError, *UNREADABLE):
            self.wait_for_reply(self.kc.execute(code, silent=True, store_history=False))

    def prepare_kernel(self) -> None:
        """Prepares a new kernel for all that cells may do to it."""
        if not self.prepared:
            self.tell(STEADY)
            if self.sandbox:
                self.tell(START)
            self.prepared = True

    def connect_examiner(self) -> None:
        """Makes the student's kernel answer to the examiner, from now on."""
        if self.connected:
            return
        self.prepare_kernel()
        self.tell(LISTEN)
        with self.km.link, self.link:  # so that each kernel notices the other's end
            self.examiner.start(self.link)
        self.connected = True

    def require_sandbox(self) -> None:
        """Says plainly why nothing is run; nbgrader itself shows only a traceback."""
        try:
            require_sandbox()
        except SandboxError as error:
            self.log.critical(error)
            raise

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, index: int
    ) -> tuple[NotebookNode, Any]:
        """Executes one cell; whatever happens, the next one can be executed."""
        if cell.cell_type != "code":
            return cell, resources
        if self.stopped:
            raise StoppedError
        if index in self.skipped:
            show_not_run(cell)
            return cell, resources
        self.output_bytes = 0
        start = time.monotonic()
        if start > self.deadline and not is_needed(cell):
            limit = f"The notebook took more than {self.limit:.0f} s."
            self.fail(cell, Failure(Cause.TIME_OUT, limit))
            return cell, resources
        if self.examiner and is_test(cell):
            self.examine(cell, resources)
        else:
            self.run(cell, resources, index)
        self.seconds[name_time(cell)] = time.monotonic() - start
        return cell, resources

    def run(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> None:
        """Executes a cell in the student's kernel."""
        self.require_kernel(resources)
        setup = self.examiner is not None and is_setup(cell)
        if setup:
            self.tell(BEGIN_SETUP)
            self.done.append((None, BEGIN_SETUP))
        try:
            super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self.fail(cell, self.find_out(error))
            self.replace_kernel(resources)
        except UNREADABLE:
            self.watcher.cancel()  # nbclient forgets it
            message = "The kernel sent messages that can't be read."
            self.fail(cell, Failure(Cause.KILLED, message))
            self.replace_kernel(resources)
        else:
            self.note(cell)
            if self.has_overrun(cell) and not run_sync(self.responds)():
                self.replace_kernel(resources)
        if setup:
            self.tell(END_SETUP.format(cell.source))
            self.done.append((None, END_SETUP.format(cell.source)))
            self.connect_examiner()
            self.examiner.set_up(cell.source)

    def require_kernel(self, resources: dict[str, Any]) -> None:
        """Makes sure that there is a kernel, ready for the next cell.

        A cell can end its kernel after its reply. Such a cell is not run again, and the
        next cell does not fail for it.
        """
        self.prepare_kernel()
        while run_sync(self.has_gone)() and self.blame_last():
            self.replace_kernel(resources)

    async def has_gone(self) -> bool:
        """Tells whether the student's kernel has ended before it was asked."""
        try:
            await self.async_wait_for_reply(self.kc.kernel_info())
        except DeadKernelError:
            return True
        except UNREADABLE:
            pass  # any reply shows that the kernel is there
        return False

    def blame_last(self) -> bool:
        """Marks the last cell that seemed to have worked as failed.

        Returns:
            Whether there is such a cell.
        """
        for place in reversed(range(len(self.done))):
            cell, _ = self.done[place]
            if cell is not None and not is_setup(cell):
                del self.done[place]
                self.fail(cell, self.find_out(DeadKernelError()))
                return True
        return False

    def examine(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        """Has the examiner execute a test cell, which calls the student's functions."""
        self.require_kernel(resources)
        self.connect_examiner()
        try:
            run_sync(self.examine_async)(cell)
        except (DeadKernelError, CellTimeoutError):
            message = "The kernel that runs the tests ended."
            self.fail(cell, Failure(Cause.KILLED, message))
            return self.replace_kernel(resources)
        self.note(cell)
        failure = self.failures.get(name_cell(cell))
        if failure is None:
            return
        if self.has_overrun(cell) and not self.stop_function():
            return self.replace_kernel(resources)
        if self.has_ended(failure):
            self.fail(cell, self.find_out(DeadKernelError()))
            self.replace_kernel(resources)

    def stop_function(self) -> bool:
        """Stops the student's function that took too long, and does not call it again.

        Returns:
            Whether the student's kernel can still be used.
        """
        run_sync(self.km.interrupt_kernel)()
        free = run_sync(self.responds)()
        if name := self.examiner.give_up():
            if free:
                self.tell(GIVE_UP.format(name))
            self.done.append((None, GIVE_UP.format(name)))
        return free

    def has_overrun(self, cell: NotebookNode) -> bool:
        """Tells whether a cell has run out of time."""
        failure = self.failures.get(name_cell(cell))
        return failure is not None and failure.cause == Cause.TIME_OUT

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
        """Tells whether the student's kernel has ended; waits if it seems so.

        Its link breaks a moment before it ends. A kernel that lives on has closed it
        on purpose, and is waited for once.
        """
        alive = run_sync(self.km.is_alive)
        wait = failure.cause is Cause.KILLED and not self.closed
        deadline = time.monotonic() + (GRACE if wait else 0)
        while alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.closed = self.closed or failure.cause is Cause.KILLED
        return not alive()

    def note(self, cell: NotebookNode) -> None:
        """Notes how a cell ended whose kernel is still alive."""
        clean_cell(cell)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if self.output_bytes > self.output_limit:
            size = f"more than {self.output_limit / 2**20:.0f} MiB"
            message = f"The cell put out {size} and was interrupted."
            self.fail(cell, Failure(Cause.OUTPUT_FLOOD, message))
        elif errors and (failure := classify_error(errors[-1])).cause in SAID_PLAINLY:
            self.fail(cell, failure)
        elif errors:
            self.failures[name_cell(cell)] = failure
        noted = self.failures.get(name_cell(cell))
        if not is_test(cell) and (noted is None or noted.cause in HARMLESS):
            self.done.append((cell, cell.source))

    def fail(self, cell: NotebookNode, failure: Failure) -> None:
        """Makes a cell a failed one that says why."""
        self.failures[name_cell(cell)] = failure
        kept = [o for o in cell.get("outputs", []) if o.output_type != "error"]
        text = f"{failure.cause}: {failure.message}"
        error = {"ename": failure.cause, "evalue": failure.message, "traceback": [text]}
        cell.outputs = [*kept, new_output("error", **error)]

    def find_out(self, error: Exception) -> Failure:
        """Finds out why the kernel can no longer be used."""
        if isinstance(error, CellTimeoutError):
            return Failure(Cause.TIME_OUT, OVERRUN)
        if self.sandbox:
            return classify_death(self.km.provisioner.report)
        return Failure(Cause.KILLED, "The kernel ended while the cell ran.")

    def replace_kernel(self, resources: dict[str, Any]) -> None:
        """Starts a new kernel and brings it to where the old one was."""
        if self.stopped:
            raise StoppedError
        self._cleanup_kernel()
        self.km = self.create_kernel_manager()
        self.start_new_kernel()
        self.start_new_kernel_client()
        self.prepare_kernel()
        late = time.monotonic() > self.deadline
        for place, (cell, source) in enumerate(self.done):
            if late and cell is not None and not is_needed(cell):
                continue
            try:
                marks = cell.metadata.get("nbgrader", {}) if cell is not None else {}
                timed = NotebookNode(source=source, metadata={"nbgrader": marks})
                self.wait_for_reply(self.kc.execute(source), timed)
            except (DeadKernelError, CellTimeoutError, *UNREADABLE):
                del self.done[place]  # a cell that worked before fails now
                return self.replace_kernel(resources)
        return None

    def on_comm_open_jupyter_widget(self, msg: Any) -> None:
        """Avoids nbclient's stand-in for Output widgets.

        It needs the state of all widgets, which we don't store. What goes to such a
        widget is put out by the cell instead, where it can be read as well.
        """
        return None

    async def _async_cleanup_kernel(self) -> None:
        """Does what nbclient does, which asserts that there is a kernel.

        If a new one could not be started, that assertion would hide the reason.
        """
        if self.km is not None:
            await super()._async_cleanup_kernel()

    _cleanup_kernel = run_sync(_async_cleanup_kernel)

    async def _async_poll_kernel_alive(self) -> None:
        """Does what nbclient does, and can be stopped."""
        self.watcher: Any = asyncio.current_task()
        await super()._async_poll_kernel_alive()

    def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> Any:
        """Keeps a message of the kernel, unless there are too many of them."""
        if self.count(msg):
            return super().process_message(msg, cell, cell_index)
        return None

    def count(self, message: dict[str, Any]) -> bool:
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


def name_time(cell: NotebookNode) -> str:
    """Returns the key for the time that a cell takes: its name, or its source.

    Only marked cells have a name that stays.
    """
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.source


def is_needed(cell: NotebookNode) -> bool:
    """Tells whether points depend on a cell, whatever time the others took."""
    return is_test(cell) or is_setup(cell) or is_solution(cell)


def measure_message(message: dict[str, Any]) -> int:
    """Returns about how many bytes of output a kernel's message holds."""
    content = message["content"]
    parts = [content.get("text", ""), *content.get("traceback", [])]
    parts += content.get("data", {}).values()
    return sum(len(part) if isinstance(part, str) else len(str(part)) for part in parts)
