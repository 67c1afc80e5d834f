"""Runs attacks where nothing is protected: in one process with the tests.

That is how notebooks are graded without an examiner. An attack that finds nothing here
would find nothing anywhere. Run as a program: `unprotected.py REQUEST`, a file with
"setup", "tests" and "attacks" (code by name) in JSON; it is overwritten with what each
attack put out.
"""

import json
import os
import signal
import sys
import tempfile

import torch  # noqa: F401 - so that no child has to import it
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from courseai_helpers.grading.examiner import proxies  # noqa: F401
from courseai_helpers.plots import grids  # noqa: F401

SECONDS = 30


def run(code: str, setup: list[str], tests: list[str]) -> None:
    """Runs an attack between set-up and tests, in a shell of its own."""
    config = Config({"HistoryManager": {"hist_file": ":memory:"}})
    shell = InteractiveShell.instance(config=config)
    shell.history_manager.db_log_output = False
    for source in (*setup, code, *tests):
        result = shell.run_cell(source, store_history=True)
        print(repr(result.error_in_exec))


def collect(code: str, setup: list[str], tests: list[str]) -> str:
    """Returns what an attack puts out, in a child."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            signal.alarm(SECONDS)
            try:
                run(code, setup, tests)
            finally:
                sys.stdout.flush()
                os._exit(0)
        os.waitpid(child, 0)
        output.seek(0)
        return output.read().decode(errors="replace")


def main() -> None:
    """Runs every attack of a request."""
    with open(sys.argv[1]) as file:
        request = json.load(file)
    setup, tests = request["setup"], request["tests"]
    found = {
        name: collect(code, setup, tests) for name, code in request["attacks"].items()
    }
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main()
