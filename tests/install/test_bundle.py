"""What students get, opened: `git archive`, and the wheel built from it.

Both are made of the last commit, as the README says. Nothing of the solutions, the
hidden tests, the reference or the grading code may be in them, by name or by content.
"""

import ast
import subprocess
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from conftest import ASSIGNMENT

NOTEBOOK = f"{ASSIGNMENT}.ipynb"
SHORT = 24  # Shorter lines are found in any program.
HARMLESS = {"left, top, right, bottom = box"}  # Names that give nothing away.


@pytest.fixture(scope="module")
def archive(root, tmp_path_factory) -> Path:
    """The unpacked bundle."""
    folder = tmp_path_factory.mktemp("archive")
    packed = folder / "bundle.tar"
    subprocess.run(
        ["git", "archive", "--prefix=bundle/", "-o", packed, "HEAD"],
        cwd=root,
        check=True,
    )
    with tarfile.open(packed) as tar:
        # As the documentation of tarfile has it: Python before 3.11.4 has no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)
    return folder / "bundle"


@pytest.fixture(scope="module")
def wheel(archive, run, tmp_path_factory) -> Path:
    """The wheel, built from the bundle as a student's installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--wheel", "--no-isolation", "--outdir", str(folder))
    result = run(archive, "build", *options)
    assert result.returncode == 0, result.stdout
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def student(wheel, run, tmp_path_factory) -> Path:
    """The Python of a student, who has the wheel and what it depends on.

    It borrows the dependencies from the environment that runs the tests, but not the
    editable install of the repository that is there.
    """
    folder = tmp_path_factory.mktemp("student")
    python = folder / "bin" / "python"
    assert run(folder, "venv", "--without-pip", str(folder)).returncode == 0
    options = ("--no-deps", "--no-index", str(wheel))
    result = run(folder, "pip", "--python", str(python), "install", *options)
    assert result.returncode == 0, result.stdout
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def list_names(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }


def read_texts(folder: Path) -> dict[str, str]:
    """Returns every file as text, whatever it is; a notebook as its cells' sources."""
    texts = {}
    for name in list_names(folder):
        if name.endswith(".ipynb"):
            cells = nbformat.read(folder / name, as_version=4).cells
            texts[name] = "\n".join(cell.source for cell in cells)
        else:
            texts[name] = (folder / name).read_bytes().decode("utf-8", "replace")
    return texts


def list_secret_lines(root: Path) -> dict[str, str]:
    """Returns what only instructors may read, a line each, and where it is from.

    A line that the lesson itself shows, as part of a scaffold or a visible test, is no
    secret, even if a solution or the reference has it as well.
    """
    secret, shown = split_cells(root / "source" / ASSIGNMENT / NOTEBOOK)
    for package, list_lines in (
        ("reference", list_statements),
        ("grading", list_docstrings),
    ):
        for path in sorted((root / "courseai_helpers" / package).rglob("*.py")):
            secret |= dict.fromkeys(list_lines(path), f"{package}/{path.name}")
    return {
        line: place
        for line, place in secret.items()
        if len(line) >= SHORT and line not in shown and line not in HARMLESS
    }


def split_cells(notebook: Path) -> tuple[dict[str, str], str]:
    """Returns the lines of solutions and hidden tests, and all the rest as one text."""
    secret, shown = {}, []
    for cell in nbformat.read(notebook, as_version=4).cells:
        marks = cell.metadata.get("nbgrader", {})
        hidden = marks.get("solution") and "BEGIN SOLUTION" not in cell.source
        for line in map(str.strip, cell.source.splitlines()):
            if "BEGIN SOLUTION" in line or "BEGIN HIDDEN TESTS" in line:
                hidden = True
            elif "END SOLUTION" in line or "END HIDDEN TESTS" in line:
                hidden = False
            elif hidden:
                secret[line] = cell.id
            else:
                shown.append(line)
    return secret, "\n".join(shown)


def list_statements(path: Path) -> set[str]:
    """Returns the first line of every statement in a function, but for docstrings."""
    lines = path.read_text().splitlines()
    functions = (
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef)
    )
    statements = (
        statement
        for function in functions
        for statement in ast.walk(function)
        if isinstance(statement, ast.stmt)
        and statement is not function
        and not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
        )
    )
    return {lines[statement.lineno - 1].strip() for statement in statements}


def list_docstrings(path: Path) -> set[str]:
    """Returns the first line of every docstring: what marks a program as this one."""
    nodes = ast.walk(ast.parse(path.read_text()))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (ast.get_docstring(node) for node in nodes if isinstance(node, documented))
    return {docstring.splitlines()[0] for docstring in found if docstring}


def find_leaks(secret: dict[str, str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name} holds a line of {place}: {line}"
        for name, text in texts.items()
        for line, place in secret.items()
        if line in text
    ]


def test_the_bundle_has_what_a_student_installs_and_opens(archive):
    names = list_names(archive)
    assert {
        "LICENSE",
        "README.md",
        "environment.yml",
        "pyproject.toml",
        "courseai_helpers/__init__.py",
        f"release/{ASSIGNMENT}/{NOTEBOOK}",
    } <= names


def test_the_bundle_has_no_path_of_an_instructor(archive):
    top = {path.name for path in archive.iterdir()}
    assert top <= {
        ".binder",
        "LICENSE",
        "Makefile",
        "README.md",
        "courseai_helpers",
        "docs",
        "environment.yml",
        "pyproject.toml",
        "release",
    }
    parts = {part for name in list_names(archive) for part in Path(name).parts}
    assert not parts & {"reference", "grading", "oracles", "solutions", "tests"}
    guides = {name for name in list_names(archive) if name.startswith("docs/")}
    pictures = {"assignment_list", "feedback", "heatmap", "validate"}
    assert guides <= {
        "docs/students.md",
        *(f"docs/{name}.webp" for name in pictures),
    }


def test_the_bundle_holds_no_line_of_an_answer_or_a_hidden_test(root, archive):
    secret = list_secret_lines(root)
    assert find_leaks(secret, read_texts(archive)) == []


def test_the_wheel_holds_no_line_of_an_answer_or_a_hidden_test(root, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    parts = {part for name in list_names(tmp_path) for part in Path(name).parts}
    assert not parts & {"reference", "grading", "oracles"}
    assert find_leaks(list_secret_lines(root), read_texts(tmp_path)) == []


def test_the_search_for_leaks_finds_what_instructors_have(root):
    secret = list_secret_lines(root)
    for package in ("reference", "grading"):
        assert find_leaks(secret, read_texts(root / "courseai_helpers" / package))
    places = set(secret.values())
    assert {"grad_cam", "test_grad_cam_relu", "reflect_context"} <= places
    assert f"reference/{ASSIGNMENT}.py" in places
    leaks = find_leaks(secret, read_texts(root / "source"))
    assert {"grad_cam", "test_grad_cam_relu"} <= {
        leak.split(": ")[0].split()[-1] for leak in leaks
    }


def test_a_student_opens_the_release_with_the_wheel_alone(
    archive, student, run, tmp_path
):
    released = archive / "release" / ASSIGNMENT / NOTEBOOK
    options = ("--to=notebook", "--execute", "--allow-errors", "--output=run.ipynb")
    result = run(
        tmp_path,
        "nbconvert",
        *options,
        f"--output-dir={tmp_path}",
        str(released),
        python=student,
    )
    assert result.returncode == 0, result.stdout
    errors = {
        output.ename
        for cell in nbformat.read(tmp_path / "run.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    }
    # Exercises that are still to be written, their tests, and cells that go on with
    # what they should have returned; but no module that is missing.
    assert "NotImplementedError" in errors
    assert errors <= {"NotImplementedError", "AssertionError", "NameError"}


@pytest.mark.parametrize("command", ["build", "demo"])
def test_an_instructors_command_tells_a_student_what_to_do_instead(
    run, student, tmp_path, command
):
    result = run(tmp_path, "courseai_helpers.cli", command, python=student)
    assert result.returncode == 1
    assert result.stdout.startswith("This command belongs to instructors")
    assert "Traceback" not in result.stdout


def test_the_wheel_installs_the_courseai_command(wheel):
    with zipfile.ZipFile(wheel) as packed:
        name = next(n for n in packed.namelist() if n.endswith("entry_points.txt"))
        assert "courseai = courseai_helpers.cli.main:main" in packed.read(name).decode()


def test_a_student_checks_the_machine_and_takes_a_pack_with_the_wheel_alone(
    run, student, tmp_path
):
    result = run(
        tmp_path, "courseai_helpers.cli", "doctor", "--student", python=student
    )
    assert "Traceback" not in result.stdout
    *table, total = result.stdout.splitlines()
    found = {line[9:].split("  ")[0]: line.split()[0] for line in table}
    assert found["Python"] == found["packages"] == found["stand-in"] == "ok", table
    assert {"weights", "photos", "server validate_assignment", "memory"} <= set(found)
    assert total.startswith("ok: ")
    assert result.returncode == (0 if total.endswith("problem: 0") else 1)
    (tmp_path / "room.zip").write_bytes(b"cut off")
    command = ("fetch", "--from", "room.zip")
    result = run(tmp_path, "courseai_helpers.cli", *command, python=student)
    assert result.returncode == 1 and "room.zip is damaged" in result.stdout


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["export", "canvas"], ["import", "roster", "x.csv"]],
)
def test_a_student_is_told_what_only_instructors_can_run(
    run, student, tmp_path, command
):
    result = run(tmp_path, "courseai_helpers.cli", *command, python=student)
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert result.stdout.startswith("This command belongs to instructors")
