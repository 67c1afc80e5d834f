"""The authored notebook and the executed solution, run by real kernels."""

import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT
from nbclient import NotebookClient

from courseai_helpers.grading.authoring.build import VOLATILE, find_trouble

SECONDS = 60


@pytest.fixture
def copied(root: Path, tmp_path: Path):
    """Copies a notebook of the repository to a folder of its own."""

    def copy(kind: str) -> Path:
        return Path(
            shutil.copy(root / kind / ASSIGNMENT / f"{ASSIGNMENT}.ipynb", tmp_path)
        )

    return copy


def test_nbval_notices_what_changed_and_not_what_differs_between_machines(
    root, run, tmp_path
):
    """`make nbval` compares the stored outputs; here is what that can see."""
    for name, stored in (("same", "layer2 21, 0.25 s"), ("stale", "layer2 20, 0.25 s")):
        cell = nbformat.v4.new_code_cell("print('layer2', 3 * 7, end=', 0.75 s')")
        cell.outputs = [nbformat.v4.new_output("stream", text=stored)]
        notebook = nbformat.v4.new_notebook(cells=[cell])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    patterns = f"--nbval-sanitize-with={root / 'tests/nbval.cfg'}"
    options = ["-p", "no:cacheprovider", "--color=no", "--nbval-current-env"]
    result = run(tmp_path, "pytest", *options, "--nbval", patterns)
    assert result.returncode == 1 and "1 failed, 1 passed" in result.stdout
    assert "layer2 20" in result.stdout and "layer2 21" in result.stdout


def test_nbval_and_the_build_leave_out_the_same(root):
    content = (root / "tests/nbval.cfg").read_text()
    assert f"\nregex: {VOLATILE}\nreplace: <volatile>\n" in content


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
