"""Executes sanitized submissions, and answers in JSON whatever happens."""

import os
import pickle
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from courseai_helpers.grading.cluster.replies import write_error, write_reply
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError
from courseai_helpers.grading.sandbox.trial import require_sandbox
from courseai_helpers.grading.steps.execute import SandboxedExecute
from courseai_helpers.grading.steps.failures import AUDIT, CAUSES


@dataclass
class Submission:
    """A submission on its way to a worker.

    Attributes:
        student: The student's id; it is not sent.
        notebooks: Name and content (JSON) of each notebook.
        files: Path and content of each other file.
        config: The settings of those who execute it.
    """

    student: str
    notebooks: dict[str, str]
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    config: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass
class Executed:
    """What came back of a submission.

    Attributes:
        student: The student's id.
        notebooks: Each notebook that was executed, by its name.
        seconds: How long that took.
        trouble: Why it was not executed, by no fault of the student; else nothing.
    """

    student: str
    notebooks: dict[str, NotebookNode] = field(default_factory=dict, repr=False)
    seconds: float = 0.0
    trouble: str = ""

    def list_failures(self) -> dict[str, dict[str, str]]:
        """Returns cause and message for each cell that failed, by its name."""
        failures: dict[str, dict[str, str]] = {}
        for notebook in self.notebooks.values():
            failures |= notebook.metadata.get(CAUSES, {})
        return failures

    def list_notes(self) -> list[str]:
        """Returns what was repaired or left out before it was executed."""
        found = [book.metadata.get(AUDIT, []) for book in self.notebooks.values()]
        return list(dict.fromkeys(note for notes in found for note in notes))


class Executions:
    """The executions that are under way in this process; they can be stopped."""

    def __init__(self) -> None:
        self.running: set[SandboxedExecute] = set()
        self.stopped = False
        self.lock = threading.Lock()

    def answer(self, submission: Submission) -> bytes:
        """Executes a submission, in kernels that are sandboxed if wanted.

        Returns:
            A reply for `replies.read_reply`, even if something went wrong here.
        """
        start = time.monotonic()
        try:
            executed = self.execute(submission)
            return write_reply(executed, time.monotonic() - start)
        except Exception as error:  # sent as text: exceptions would be sent as pickles
            return write_error(f"{type(error).__name__}: {error}")

    def execute(self, submission: Submission) -> dict[str, NotebookNode]:
        """Returns the submission's notebooks, executed."""
        # For kernels without a sandbox. nbgrader's `setenv` takes it back, which a
        # process with several threads must not do.
        os.environ["NBGRADER_EXECUTION"] = "autograde"
        executed = {}
        with tempfile.TemporaryDirectory() as directory:
            for name, content in submission.files.items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            for name, text in submission.notebooks.items():
                notebook = nbformat.reads(text, as_version=4)
                resources = {"metadata": {"path": directory}}
                preprocessor = SandboxedExecute(config=Config(submission.config))
                executed[name] = self.run(preprocessor, notebook, resources)
        return executed

    def run(
        self,
        preprocessor: SandboxedExecute,
        notebook: NotebookNode,
        resources: dict[str, Any],
    ) -> NotebookNode:
        """Executes a notebook, unless everything is to stop."""
        with self.lock:
            self.running.add(preprocessor)
            preprocessor.stopped = self.stopped
        try:
            return preprocessor.preprocess(notebook, resources)[0]
        finally:
            with self.lock:
                self.running.discard(preprocessor)

    def stop(self) -> None:
        """Makes all executions end soon, and every later one at once."""
        with self.lock:
            self.stopped = True
            for preprocessor in self.running:
                preprocessor.stop()


def try_sandbox() -> bytes:
    """Says why student code can't be run on a worker; nothing if it can."""
    try:
        require_sandbox()  # warms what every kernel is forked from, too
    except SandboxError as error:
        return str(error).encode()
    return b""


def answer_packed(submission: bytes) -> bytes:
    """Executes a pickled submission on a worker, and replies."""
    return Executions().answer(pickle.loads(submission))
