"""What the tests share: where things are, and processes that see no network."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import nbformat
import pytest

# Set before any test imports torch or matplotlib, and inherited by every process that a
# test starts: no network, no window, one thread, this environment's own commands, and
# quick starts.
os.environ.update(
    PYTHONPATH=str(Path(__file__).parent / "quick"),
    COURSEAI_OFFLINE="1",
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
)

ASSIGNMENT = "visualizing_features"
TABLE = "table"  # the name under which a test's report carries what it has measured

# Files that take long, the longest first: `make test` gives each file as a whole to one
# of its processes, and all should end at about the same time.
LONGEST = (
    "test_class_run.py",
    "test_attacks.py",
    "test_right_work.py",
    "test_guides.py",
    "test_jupyterhub.py",
    "test_attacks_page.py",
    "test_nbgrader_loop.py",
    "test_generated.py",
    "test_examiner.py",
    "test_behavior.py",
    "test_bank_examiner.py",
    "test_class_in_browser.py",
    "test_notebook.py",
    "test_bank.py",
    "test_embedded.py",
    "test_broken_trees.py",
    "test_robustness.py",
    "test_attacks_neighbor.py",
    "test_bundle.py",
    "test_changes.py",
    "test_looking.py",
    "test_shortcut.py",
    "test_places.py",
    "test_settings.py",
    "test_sandbox.py",
    "test_printing.py",
    "test_attacks_worker.py",
    "test_bank_sample.py",
    "test_feedback.py",
    "test_attacks_archive.py",
    "test_claims.py",
    "test_explorer_browser.py",
    "test_forkserver.py",
    "test_doctor.py",
    "test_postgresql.py",
)
Run = Callable[..., subprocess.CompletedProcess]

needs_root = pytest.mark.skipif(
    not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("useradd")),
    reason="They need root, who can be several users: sudo make test",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets the longest files begin first."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure in CI, where everything has to be tested."""
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"In CI nothing may be skipped: {report.longrepr[-1]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    """Looks at the report on a test."""
    report = yield
    fail_if_skipped(report)
    # A process can't send the other half of a surrogate pair, and ends if it tries.
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode())
        for name, text in report.sections
    ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    """Looks at the report on the collection of a file."""
    report = yield
    fail_if_skipped(report)
    return report


@pytest.fixture
def show_table(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a text to print when all tests are done, whichever process ran them."""
    return lambda text: request.node.user_properties.append((TABLE, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what the tests have measured, and a line for each reason to skip some."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[-1] for report in skipped)
    for reason, count in reasons.items():
        reason = reason.removeprefix("Skipped: ")
        terminalreporter.write_line(f"{count} tests were not run. {reason}")
    for report in sum(terminalreporter.stats.values(), []):
        if getattr(report, "when", "") == "call":
            for name, text in report.user_properties:
                if name == TABLE:
                    terminalreporter.section(report.nodeid, sep="-")
                    terminalreporter.write_line(text.strip("\n"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a Python module in an environment in which notebooks can run.

    Takes the working directory, the module's name and its arguments, and the Python to
    use; returns the finished process with all that it printed in `stdout`.
    """
    from courseai_helpers.grading.authoring.nbgrader_commands import make_environment

    environment = make_environment(tmp_path_factory.mktemp("private"))

    def run_module(
        directory: Path,
        module: str,
        *arguments: str,
        python: Path | str = sys.executable,
    ):
        return subprocess.run(
            [python, "-m", module, *arguments],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    return run_module


def copy_course(root: Path, destination: Path) -> Path:
    """Copies what makes a folder a course directory: settings and source."""
    shutil.copy(root / "nbgrader_config.py", destination)
    shutil.copytree(
        root / "source",
        destination / "source",
        ignore=shutil.ignore_patterns(".ipynb_checkpoints"),
    )
    return destination


def drop_figures(path: Path) -> None:
    """Leaves of the lesson's notebook what is graded and what that needs: it is quick.

    The figures and the laboratory are in cells that nbgrader knows nothing of.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    nbformat.write(notebook, path)


@pytest.fixture(scope="session")
def demonstration(
    root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder of a fresh `courseai demo`, and its output."""
    course = copy_course(root, tmp_path_factory.mktemp("course"))
    # `make demo` shows the whole lesson; here it is about the gradebook and the pages.
    drop_figures(course / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb")
    (course / "demo").mkdir()
    shutil.copy(root / "nbgrader_config.py", course / "demo")
    (course / "demo" / "earlier.txt").write_text("from an earlier run")
    result = run(course, "courseai_helpers.cli", "demo")
    assert result.returncode == 0, result.stdout
    return course / "demo", result.stdout
