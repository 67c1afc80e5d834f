"""Installing and running the course, as README.md says it."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from courseai_helpers.cli.main import explain_missing, make_parser


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def commands(root) -> list[str]:
    """The commands in README.md, one a line."""
    blocks = re.findall(r"```console\n(.*?)```", (root / "README.md").read_text(), re.S)
    return [line for block in blocks for line in block.splitlines()]


def list_imports(paths: list[Path], lazy: bool) -> set[str]:
    """Returns the top-level names that modules import: at once, or also when needed."""
    names = set()
    for path in paths:
        module = ast.parse(path.read_text())
        for node in ast.walk(module) if lazy else module.body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    return {name.split(".")[0] for name in names}


def find_undeclared(
    paths: list[Path], requirements: list[str], lazy: bool = False
) -> set[str]:
    """Returns the imported modules that no requirement brings by its own name."""
    declared = {re.split(r"[=\[]", line)[0].lower() for line in requirements}
    brought = packages_distributions()
    foreign = list_imports(paths, lazy) - sys.stdlib_module_names - {"courseai_helpers"}
    return {
        name
        for name in foreign
        if not declared & {o.lower().replace("_", "-") for o in brought.get(name, [])}
    }


def run_make(folder: Path, root: Path, python: str) -> subprocess.CompletedProcess:
    """Runs `make demo` in a folder that has no environment yet."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, folder)
    shutil.copytree(root / "locks", folder / "locks", dirs_exist_ok=True)
    return subprocess.run(
        ["make", "demo", f"PYTHON={python}"], cwd=folder, capture_output=True, text=True
    )


def write_script(path: Path, content: str) -> str:
    path.write_text(f"#!/bin/sh\n{content}\n")
    path.chmod(0o755)
    return str(path)


def test_conda_and_pip_users_get_the_same_versions(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    pinned = environment["dependencies"][-1]["pip"]
    assert pinned == [*project["dependencies"], "-e ."]


def test_every_dependency_is_pinned(project):
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *sum(extras.values(), [])]:
        assert re.fullmatch(
            r"[\w-]+(\[\w+\])?==[\w.]+(;.+)?|courseai-helpers\[\w+\]", line
        ), line


def test_students_get_every_module_that_their_package_imports(root, project):
    modules = sorted((root / "courseai_helpers").glob("*.py"))
    assert find_undeclared(modules, project["dependencies"]) == set()


def test_instructors_get_every_module_that_grading_imports(root, project):
    modules = sorted((root / "courseai_helpers").rglob("*.py"))
    instructor = project["optional-dependencies"]["instructor"]
    assert find_undeclared(modules, project["dependencies"] + instructor) == set()


def test_some_extra_brings_every_module_that_is_imported_when_needed(root, project):
    modules = sorted((root / "courseai_helpers").rglob("*.py"))
    extras = sum(project["optional-dependencies"].values(), project["dependencies"])
    assert find_undeclared(modules, extras, lazy=True) == set()


def test_a_module_that_nobody_declared_is_noticed(tmp_path):
    (tmp_path / "module.py").write_text("import yaml.nodes\nfrom PIL import Image\n")
    undeclared = find_undeclared([tmp_path / "module.py"], ["pillow==1.0"])
    assert undeclared == {"yaml"}


def test_make_has_the_targets_that_the_readme_names(root):
    named = set(re.findall(r"make (\w+)", (root / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (root / "Makefile").read_text(), re.M))
    assert {"demo", "test", "lab"} <= named <= targets


def test_the_commands_that_the_readme_names_exist(commands, run, tmp_path):
    for command in commands:
        command = re.sub(r"^(\w+=\S+ )*(\.venv/bin/)?", "", command)
        words = command.split()
        if words[0] == "courseai":
            make_parser().parse_args(words[1:])
        elif words[0] == "nbgrader":
            result = run(tmp_path, "nbgrader", words[1], "--help")
            assert f"nbgrader {words[1]}" in result.stdout
        else:
            assert words[0] in {
                "make",
                "python3",
                "pip",
                "source",
                "cp",
                "git",
                "jupyter",
                "pytest",
            }


def test_make_refuses_a_python_that_is_missing_or_too_old(root, tmp_path):
    old = write_script(tmp_path / "python3.10", "exit 1")
    for python in (old, str(tmp_path / "nowhere")):
        result = run_make(tmp_path, root, python)
        assert result.returncode != 0
        assert "This needs Python 3.11 or newer" in result.stderr
        assert not (tmp_path / ".venv").exists()


def test_make_says_what_to_install_where_python_makes_no_environments(root, tmp_path):
    # As on Debian without python3-venv: the version is right, `-m venv` breaks off.
    script = (
        'case "$2" in venv) mkdir -p .venv/bin; touch .venv/bin/python; exit 1;; esac'
    )
    result = run_make(tmp_path, root, write_script(tmp_path / "python3", script))
    assert result.returncode != 0
    assert "apt install python3-venv" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    message = explain_missing("rich")
    assert "'rich' is missing" in message
    assert 'pip install -e ".[instructor]"' in message
