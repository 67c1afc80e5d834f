"""The authored notebook and the executed solution, run by real kernels."""

import ast
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
        cell.execution_count = 1
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


@pytest.mark.long
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


def is_for_looking(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.metadata.get("courseai", {}).get("looking"))


def list_names(source: str, kind: type) -> set[str]:
    """Returns the names that a cell binds (`ast.Store`) or reads (`ast.Load`)."""
    nodes = ast.walk(ast.parse(source))
    return {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, kind)
    }


def test_what_is_for_looking_has_no_points_and_says_so_in_the_release(root):
    path = root / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    looking = [cell for cell in cells if is_for_looking(cell)]
    assert {"gallery", "find_shortcut", "optimize", "sanity_check"} <= {
        cell.id for cell in looking
    }
    for cell in looking:
        assert "nbgrader" not in cell.metadata, cell.id
        assert "NotImplementedError" not in cell.source, cell.id  # it runs as it is


def test_no_graded_cell_reads_what_a_cell_for_looking_defines(root):
    path = root / "source" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    for place, cell in enumerate(code):
        if is_for_looking(cell):
            defined = list_names(cell.source, ast.Store)
            for later in code[place:]:
                if later.metadata.get("nbgrader", {}).get("grade"):
                    own = list_names(later.source, ast.Store)
                    read = list_names(later.source, ast.Load) - own
                    assert not defined & read, (cell.id, later.id, defined & read)


def test_test_cells_and_set_up_are_folded_to_a_line_that_says_what_they_do(root):
    path = root / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    for cell in nbformat.read(path, as_version=4).cells:
        graded = cell.metadata.get("nbgrader", {}).get("grade")
        if cell.cell_type == "code" and (graded or cell.id == "setup_colab"):
            assert cell.metadata.jupyter.source_hidden, cell.id
            first = cell.source.splitlines()[0]
            assert first.startswith(('"""', "#")) and len(first) > 20, cell.id
