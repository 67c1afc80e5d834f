"""The lesson where others host it: Binder, Google Colab, VS Code."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import kernels
import nbformat
import pytest
import yaml
from conftest import ASSIGNMENT
from small_course import ASSIGNMENT as SMALL
from small_course import SOLUTIONS, make_course, read_points, run

from courseai_helpers.grading.authoring.demo import fill_in, read_answers
from courseai_helpers.grading.steps.repair import repair
from courseai_helpers.grading.submissions.originals import Original

NOTEBOOK = f"{ASSIGNMENT}/{ASSIGNMENT}.ipynb"
COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('colab')\n"
FOUND = "\nimport courseai_helpers\nprint(courseai_helpers.__file__)"


def test_binder_has_the_versions_that_students_have(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    files = [root / ".binder" / "environment.yml", root / "environment.yml"]
    binder, students = (yaml.safe_load(path.read_text()) for path in files)
    option, *pinned = binder["dependencies"][-1]["pip"]
    assert option.startswith("--extra-index-url ") and option.endswith("/cpu")
    assert [pin.removesuffix("+cpu") for pin in pinned] == project["dependencies"]
    assert binder["dependencies"][:2] == students["dependencies"][:2]


def test_binder_adds_the_package_itself_and_nothing_more(root):
    script = root / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert "pip install --no-cache-dir --no-deps ." in script.read_text()


@pytest.fixture(scope="module")
def colab_cell(root) -> str:
    """The cell of the release that acts on Google Colab."""
    cells = nbformat.read(root / "release" / NOTEBOOK, as_version=4).cells
    return next(cell.source for cell in cells if cell.id == "setup_colab")


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    return make_bare_python(tmp_path_factory.mktemp("colab"))


def make_bare_python(folder: Path) -> Path:
    """Makes a Python that has pip, and not the course's package."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "pip").symlink_to(Path(sysconfig.get_path("purelib")) / "pip")
    return folder / "bin" / "python"


def make_wheel(folder: Path, version: str = "0.1.0") -> None:
    """Makes a wheel by the package's name that holds next to nothing."""
    info = f"courseai_helpers-{version}.dist-info"
    name = f"courseai_helpers-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as w:
        w.writestr("courseai_helpers/__init__.py", f"version = {version!r}")
        w.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: courseai-helpers\nVersion: {version}\n"
            "Requires-Dist: torch==0.0.0\n",
        )
        w.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        w.writestr(f"{info}/RECORD", "")


def run_code(python: Path, folder: Path, code: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PIP_NO_INDEX": "1"}
    return subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_on_colab_the_cell_installs_the_wheel_that_was_uploaded(
    colab_cell, bare_python, tmp_path
):
    missing = run_code(bare_python, tmp_path, COLAB + colab_cell)
    assert missing.returncode == 1
    assert "FileNotFoundError: The course's package is not here" in missing.stderr
    make_wheel(tmp_path)
    result = run_code(bare_python, tmp_path, COLAB + colab_cell + FOUND)
    assert result.returncode == 0, result.stderr
    assert str(bare_python.parents[1]) in result.stdout
    (tmp_path / "courseai_helpers-0.1.0-py3-none-any.whl").unlink()
    again = run_code(bare_python, tmp_path, COLAB + colab_cell)
    assert again.returncode == 0, again.stderr


def test_on_colab_the_newest_of_several_wheels_is_installed(
    colab_cell, tmp_path_factory, tmp_path
):
    python = make_bare_python(tmp_path_factory.mktemp("newest"))
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        make_wheel(tmp_path, version)
    code = f"{COLAB}{colab_cell}\nimport courseai_helpers as c\nprint(c.version)"
    result = run_code(python, tmp_path, code)
    assert (result.returncode, result.stdout) == (0, "0.10.0\n"), result.stderr


def test_anywhere_else_the_cell_does_nothing(colab_cell, bare_python, tmp_path):
    make_wheel(tmp_path)
    before = sorted(bare_python.parents[1].rglob("courseai_helpers/__init__.py"))
    result = run_code(bare_python, tmp_path, colab_cell)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    after = sorted(bare_python.parents[1].rglob("courseai_helpers/__init__.py"))
    assert after == before


def save_in_vs_code(notebook: dict) -> None:
    """Does what VS Code does to a notebook's metadata when it saves."""
    notebook["nbformat_minor"] = 5
    notebook["metadata"] |= {
        "kernelspec": {"display_name": ".venv", "language": "python", "name": "python3"}
    }
    notebook["metadata"]["language_info"] |= {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "nbconvert_exporter": "python",
        "version": "3.12.4",
    }
    for cell in notebook["cells"]:
        cell["metadata"]["vscode"] = {"languageId": "python"}


def save_in_old_vs_code(notebook: dict) -> None:
    """The same for the versions that did not write ids."""
    save_in_vs_code(notebook)
    notebook["nbformat_minor"] = 2
    notebook["metadata"]["orig_nbformat"] = 4
    notebook["metadata"]["vscode"] = {"interpreter": {"hash": "0" * 64}}
    for cell in notebook["cells"]:
        del cell["id"]


def save_in_colab(notebook: dict) -> None:
    """Does what Google Colab does: ids of its own, in the metadata."""
    notebook["nbformat_minor"] = 0
    notebook["metadata"] = {
        "colab": {"provenance": [], "gpuType": "T4"},
        "accelerator": "GPU",
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook["cells"]):
        del cell["id"]
        cell["metadata"] |= {
            "id": f"aB3dE{index:07}",
            "colab": {"base_uri": "https://localhost:8080/", "height": 35},
            "executionInfo": {"status": "ok", "elapsed": 5, "user_tz": -60},
            "outputId": "12345678-1234-1234-1234-123456789012",
        }


def save_in_colab_without_marks(notebook: dict) -> None:
    """The worst of Colab: nbgrader's marks are lost as well."""
    save_in_colab(notebook)
    for cell in notebook["cells"]:
        cell["metadata"].pop("nbgrader", None)


EDITORS = (
    save_in_vs_code,
    save_in_old_vs_code,
    save_in_colab,
    save_in_colab_without_marks,
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> dict[str, dict[str, float]]:
    """The points that nbgrader gives for the same work, saved by each editor."""
    course = make_course(tmp_path_factory.mktemp("editors") / "course")
    release = course / "release" / SMALL / f"{SMALL}.ipynb"
    for editor in EDITORS:
        notebook = json.loads(release.read_text())
        for cell in notebook["cells"]:
            cell["source"] = SOLUTIONS.get(cell["id"], cell["source"])
        notebook["metadata"].setdefault("language_info", {"name": "python"})
        editor(notebook)
        folder = course / "submitted" / editor.__name__ / SMALL
        folder.mkdir(parents=True)
        (folder / release.name).write_text(json.dumps(notebook, indent=4))
    result = run(course, "nbgrader", "autograde", SMALL)
    assert result.returncode == 0, result.stdout
    return read_points(course)


@kernels.needs_sandbox
@pytest.mark.parametrize("editor", EDITORS)
def test_work_saved_by_another_editor_has_its_points(graded, editor):
    assert set(graded[editor.__name__].values()) == {1.0}


@pytest.mark.parametrize("editor", EDITORS)
def test_every_cell_of_the_lesson_is_found_again_with_its_answer(
    root, tmp_path, editor
):
    path = Path(shutil.copy(root / "release" / NOTEBOOK, tmp_path))
    released = nbformat.read(path, as_version=4)
    originals = {
        cell.id: Original(
            cell.id, cell.cell_type, cell.source, cell.metadata.nbgrader, cell.source
        )
        for cell in released.cells
        if "nbgrader" in cell.metadata
    }
    answers = read_answers(root / "source" / NOTEBOOK)
    # A written answer stands below its question.
    for name, original in originals.items():
        if original.cell_type == "markdown":
            answers[name] = original.source + f"\n\nWhat I think of {name}."
    fill_in(path, answers)
    raw = json.loads(path.read_text())
    editor(raw)
    path.write_text(json.dumps(raw))
    handed_in = nbformat.read(path, as_version=4)
    repair(handed_in, originals)
    nbformat.validate(handed_in)
    found = {cell.id: cell for cell in handed_in.cells}
    for name, original in originals.items():
        # The only one that is no function and has a beginning like others.
        if name != "stretch_code":
            assert found[name].metadata.nbgrader.grade_id == name
            assert found[name].source == answers.get(name, original.source)
    sources = "\n".join(cell.source for cell in handed_in.cells)
    for name in originals.keys() & answers.keys():
        assert sources.count(answers[name]) == 1, name
