"""release/ and solutions/ are what `courseai build` makes of source/."""

from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT, copy_course
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from courseai_helpers.grading.authoring.build import (
    PICTURES,
    compare_files,
    find_stale_figures,
    find_trouble,
    make_page,
    read_figure,
)

NOT_EXECUTED = "--ExecutePreprocessor.enabled=False"
POINTS = {
    "normalize_filters": 2,
    "filter_to_image": 1,
    "capture_activations": 3,
    "grad_cam": 5,
    "top_class_heatmaps": 2,
    "heat_inside": 1,
    "reflect_hierarchy": 2,
    "reflect_context": 2,
    "stretch_wrong_prediction": 0,
}


def read(root: Path, kind: str) -> nbformat.NotebookNode:
    path = root / kind / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    return nbformat.read(path, as_version=4)


def get_metadata(cell: nbformat.NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def make_course(root: Path, directory: Path, answer: str) -> Path:
    """Writes a course directory with one small assignment, and its settings."""
    marks = {"grade": False, "solution": True, "locked": False, "points": 0}
    code = f"def double(x):\n    ### BEGIN SOLUTION\n    {answer}\n    ### END SOLUTION"
    cell = new_code_cell(code, id="double", metadata={"nbgrader": marks})
    cell.metadata.nbgrader |= {"grade_id": "double", "schema_version": 3, "task": False}
    cells = [
        new_markdown_cell("# Doubling", id="title"),
        cell,
        new_code_cell(
            "import time\nprint(double(2), flush=True)\ntime.sleep(0.5)\n"
            "print(time.time())",
            id="try_it",
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = directory / "source" / "doubling" / "doubling.ipynb"
    source.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
    (directory / "nbgrader_config.py").write_bytes(
        (root / "nbgrader_config.py").read_bytes()
    )
    return directory


def list_content(directory: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.mark.long
def test_the_committed_notebooks_are_what_a_fresh_build_makes(root, run):
    result = run(root, "courseai_helpers.cli", "build", "--check")
    assert result.returncode == 0, result.stdout


def test_the_committed_notebooks_have_the_cells_of_a_fresh_build(root, run, tmp_path):
    # `make nbval` compares what the solution's cells show.
    course = copy_course(root, tmp_path)
    commands = ["generate_assignment"], ["generate_solution", NOT_EXECUTED]
    for command, *options in commands:
        assert run(course, "nbgrader", command, ASSIGNMENT, *options).returncode == 0
    release = Path("release", ASSIGNMENT, f"{ASSIGNMENT}.ipynb")
    assert (course / release).read_bytes() == (root / release).read_bytes()
    fresh, committed = (
        [
            (c.id, c.cell_type, c.source, c.metadata)
            for c in read(top, "solutions").cells
        ]
        for top in (course, root)
    )
    assert fresh == committed


def test_the_guides_show_the_figures_of_the_committed_solution(root):
    assert len(make_page(root)) == 11  # the page, and ten pictures
    assert find_stale_figures(root) == []
    cells = {cell.id: cell for cell in read(root, "solutions").cells}
    _, description = read_figure(cells["show_grad_cam_top"])
    readme = " ".join((root / "README.md").read_text().split())
    assert f"![{description}]({PICTURES}/show_grad_cam_top.webp)" in readme


def test_a_build_can_be_repeated_and_notices_a_change_of_the_source(
    root, run, tmp_path
):
    course = make_course(root, tmp_path, "return 2 * x")
    assert run(course, "courseai_helpers.cli", "build").returncode == 0
    release = course / "release" / "doubling" / "doubling.ipynb"
    assert "NotImplementedError" in release.read_text()
    assert "2 * x" not in release.read_text()
    result = run(course, "courseai_helpers.cli", "build", "--check")
    assert result.returncode == 0, result.stdout
    make_course(root, tmp_path, "return x + x")
    before = list_content(course)
    result = run(course, "courseai_helpers.cli", "build", "--check")
    assert result.returncode == 1
    assert "solutions/doubling/doubling.ipynb: cell 'double' differs" in result.stdout
    assert list_content(course) == before


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("raise ValueError('too small')", "cell 'try_it' raised ValueError: too small"),
        (
            "import sys; print('careful', file=sys.stderr)",
            "cell 'try_it' wrote on stderr: careful",
        ),
    ],
)
def test_a_solution_that_does_not_run_cleanly_changes_nothing(
    root, run, tmp_path, answer, complaint
):
    course = make_course(root, tmp_path, answer)
    (course / "release").mkdir()
    (course / "release" / "kept.txt").write_text("as it was")
    before = list_content(course)
    result = run(course, "courseai_helpers.cli", "build")
    assert result.returncode == 1
    assert complaint in result.stdout
    assert "Traceback" not in result.stdout
    assert list_content(course) == before


def test_what_a_cell_prints_in_pieces_is_one_output(root, run, tmp_path):
    course = make_course(root, tmp_path, "return 2 * x")
    assert run(course, "courseai_helpers.cli", "build").returncode == 0
    path = course / "solutions" / "doubling" / "doubling.ipynb"
    (output,) = nbformat.read(path, as_version=4).cells[-1].outputs
    assert output.text.startswith("4\n") and output.text.count("\n") == 2


def test_a_folder_that_is_no_course_directory_is_named_in_the_message(run, tmp_path):
    for command in ("build", "demo"):
        result = run(tmp_path, "courseai_helpers.cli", command)
        assert result.returncode == 1
        assert result.stdout.startswith(f"{tmp_path} has no nbgrader_config.py")


@pytest.mark.parametrize(
    ("old", "new", "read"),
    [
        ("layer2 took 0.25 s", "layer2 took 1.5e-05 s", None),
        (
            '<img alt="8 maps" src="data:image/png;base64,Aa1/+=">',
            '<img alt="8 maps" src="data:image/png;base64,zZ==">',
            None,
        ),
        (
            '<img alt="8 maps" src="data:image/png;base64,Aa1/+=">',
            '<img alt="9 maps" src="data:image/png;base64,Aa1/+=">',
            "9 maps",
        ),
        ("<Hook at 0x7f1234567890>", "<Hook at 0x7f0987654321>", None),
        ("tabby, tabby cat", "tiger cat", "tiger cat"),
        ("[1, 128, 28, 28]", "[1, 128, 14, 14]", "14, 14"),
    ],
)
def test_outputs_are_compared_except_for_measured_numbers_and_addresses(
    tmp_path, old, new, read
):
    paths = []
    for name, text in (("old", old), ("new", new)):
        cell = new_code_cell("run()", id="one", execution_count=1)
        cell.outputs = [new_output("display_data", data={"text/html": text})]
        paths.append(tmp_path / name / "solutions" / "one.ipynb")
        paths[-1].parent.mkdir(parents=True)
        nbformat.write(new_notebook(cells=[cell]), paths[-1])
    found = compare_files(*paths)
    if read:
        assert found.startswith("cell 'one' differs: was …")
        assert read in found.split("is …")[1]
    else:
        assert found is None


def test_the_solution_was_executed_in_full_without_a_complaint(root):
    solution = read(root, "solutions")
    assert find_trouble(solution) is None
    code = [cell for cell in solution.cells if cell.cell_type == "code" and cell.source]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_a_test_cell_that_passes_says_so_in_a_word(root):
    for cell in read(root, "solutions").cells:
        if get_metadata(cell).get("grade") and not get_metadata(cell)["solution"]:
            assert cell.outputs[0].text == "Visible checks: passed\n", cell.id


def test_a_picture_stands_in_the_solution_for_the_widget(root):
    (explorer,) = [c for c in read(root, "solutions").cells if c.id == "explorer"]
    assert set(explorer.outputs[-1].data) == {"text/html", "text/plain"}
    assert 'src="data:image/' in explorer.outputs[-1].data["text/html"]


def test_the_release_has_the_cells_of_the_source_and_no_output(root):
    source, release = read(root, "source"), read(root, "release")
    assert [cell.id for cell in release.cells] == [cell.id for cell in source.cells]
    assert not any(cell.get("outputs") for cell in release.cells)


def test_a_graded_or_answer_cell_is_known_by_its_grade_id(root):
    for cell in read(root, "source").cells:
        if get_metadata(cell):
            assert cell.id == get_metadata(cell)["grade_id"]


def test_points_per_exercise_are_those_of_the_course_plan(root):
    points = dict.fromkeys(POINTS, 0)
    for cell in read(root, "release").cells:
        if get_metadata(cell).get("grade"):
            name = cell.id.removeprefix("test_")
            exercise = max((e for e in POINTS if name.startswith(e)), key=len)
            points[exercise] += get_metadata(cell)["points"]
    assert points == POINTS


def test_every_answer_cell_of_the_release_is_still_to_be_written(root):
    for cell in read(root, "release").cells:
        if get_metadata(cell).get("solution"):
            stub = "NotImplementedError" if cell.cell_type == "code" else "Double-click"
            assert stub in cell.source, cell.id


def test_the_release_shows_no_markers(root):
    for cell in read(root, "release").cells:
        for marker in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TEST", "MARK SCHEME"):
            assert marker not in cell.source, cell.id
