"""The authored notebook and the executed solution, run by real kernels."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT, Run
from nbclient import NotebookClient

from courseai_helpers.grading.build import VOLATILE, find_trouble

SECONDS = 60


@pytest.fixture
def copied(root: Path, tmp_path: Path):
    """Copies a notebook of the repository to a folder of its own."""

    def copy(kind: str) -> Path:
        return Path(
            shutil.copy(root / kind / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", tmp_path)
        )

    return copy


def run_nbval(run: Run, notebook: Path, *options: str) -> tuple[int, str, int]:
    """Runs nbval over a notebook and returns exit code, report and cells passed."""
    result = run(
        notebook.parent,
        "pytest",
        "-p",
        "no:cacheprovider",
        "--color=no",
        "--nbval-current-env",
        *options,
        notebook.name,
    )
    passed = re.search(r"(\d+) passed", result.stdout)
    return result.returncode, result.stdout, int(passed[1]) if passed else 0


def count_code_cells(notebook: Path) -> int:
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(cell.cell_type == "code" for cell in cells)


def test_every_cell_of_the_authored_notebook_runs_under_nbval(run, copied):
    notebook = copied("source")
    code, report, passed = run_nbval(run, notebook, "--nbval-lax")
    assert code == 0, report
    assert passed == count_code_cells(notebook)


def test_the_solution_prints_again_what_is_stored_in_it(run, copied, tmp_path):
    notebook = copied("solutions")
    patterns = tmp_path / "volatile.cfg"
    patterns.write_text(f"regex: {VOLATILE}\nreplace: <volatile>\n")
    code, report, passed = run_nbval(
        run, notebook, "--nbval", f"--nbval-sanitize-with={patterns}"
    )
    assert code == 0, report
    assert passed == count_code_cells(notebook)


def test_nbval_notices_a_stored_output_that_is_no_longer_true(run, tmp_path):
    cell = nbformat.v4.new_code_cell("print('layer2', 3 * 7)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", text="layer2 20\n")]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(notebook, tmp_path / "stale.ipynb")
    code, report, _ = run_nbval(run, tmp_path / "stale.ipynb", "--nbval")
    assert code == 1
    assert "layer2 20" in report and "layer2 21" in report


def test_the_notebook_runs_twice_in_one_kernel_in_time_and_without_a_warning(
    copied, tmp_path, monkeypatch, show_table
):
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(copied("source"), as_version=4)
    # CPU seconds of a kernel with one thread: what the notebook takes on a quiet
    # machine, however busy this one is.
    clock = nbformat.v4.new_code_cell("import time; print(time.process_time())")
    notebook.cells.append(clock)
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": tmp_path}}
    )
    seconds = [0.0]
    with client.setup_kernel():
        for _ in ("first", "second"):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            assert find_trouble(notebook) is None
            seconds.append(float(notebook.cells[-1].outputs[0].text))
    first, second = seconds[1], seconds[2] - seconds[1]
    show_table(f"The notebook took {first:.1f} and {second:.1f} CPU seconds.")
    assert max(first, second) < SECONDS
