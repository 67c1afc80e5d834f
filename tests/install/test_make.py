"""What make installs and shows, with a pip that only notes what it is asked for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_locks import read_lock

PIP = """#!/bin/sh
echo "$@" >> asked.txt
for line in $(seq 100); do echo "pip says $line"; done
exit ${PIP_FAILS:-0}
"""
COURSEAI = "#!/bin/sh\necho graded\n"
JUPYTER = "#!/bin/sh\n"


@pytest.fixture
def course(root, tmp_path) -> Path:
    """A course whose environment has this pip, under a path with a space."""
    folder = tmp_path / "my course"
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "locks", "tools"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, folder / name)
    scripts = {"pip": PIP, "courseai": COURSEAI, "jupyter": JUPYTER}
    for name, content in scripts.items():
        (folder / ".venv/bin" / name).write_text(content)
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def run_make(
    course: Path, *words: str, pip_fails: int = 0
) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", *words],
        cwd=course,
        env=os.environ | {"PIP_FAILS": str(pip_fails)},
        capture_output=True,
        text=True,
    )


def read_asked(course: Path) -> list[str]:
    """Returns what pip was asked to install, one call a line."""
    return (course / "asked.txt").read_text().splitlines()


@pytest.mark.parametrize("extra", ("instructor", "test"))
def test_what_the_lock_names_is_installed_and_nothing_else(course, extra):
    assert run_make(course, f".venv/installed-{extra}").returncode == 0
    assert read_asked(course) == [
        f"install --no-deps --require-hashes -r locks/{extra}.txt",
        "install --no-deps --no-build-isolation -e .",
    ]


def test_a_step_is_one_line_with_its_time_and_is_done_once(course):
    first = run_make(course, "--silent", "demo")
    assert re.fullmatch(
        r"Installing the packages in locks/instructor.txt \(minutes\) \.\.\. \d+ s\n"
        r"Installing the course \.\.\. \d+ s\ngraded\n",
        first.stdout,
    )
    assert first.stderr == ""
    asked = read_asked(course)
    assert run_make(course, "--silent", "demo").stdout == "graded\n"
    assert read_asked(course) == asked


def test_whoever_can_test_can_grade_too(course):
    run_make(course, ".venv/installed-test")
    asked = read_asked(course)
    assert run_make(course, "--silent", "demo").stdout == "graded\n"
    assert read_asked(course) == asked


def test_a_step_that_fails_shows_the_end_of_its_log_and_is_tried_again(course):
    result = run_make(course, "demo", pip_fails=1)
    assert result.returncode and "graded" not in result.stdout
    assert result.stdout.rstrip().endswith("(minutes) ... failed")
    assert "pip says 100" in result.stderr and "pip says 80\n" not in result.stderr
    assert f"{course}/.venv/set-up.log" in result.stderr
    assert "graded" in run_make(course, "demo").stdout


def test_students_get_the_build_for_the_cpu_with_one_word(course):
    run_make(course, ".venv/installed-student", "TORCH=cpu")
    index = "https://download.pytorch.org/whl/cpu"
    assert read_asked(course) == [f"install --extra-index-url {index} -e ."]


def test_graders_get_the_build_for_the_cpu_and_else_what_the_lock_names(course):
    run_make(course, ".venv/installed-instructor", "TORCH=cpu")
    locked, torch, _ = read_asked(course)
    without, whole = (
        ".venv/without-cuda.txt",
        read_lock(course / "locks/instructor.txt"),
    )
    assert locked == f"install --no-deps --require-hashes -r {without}"
    left = whole.keys() - read_lock(course / without).keys()
    assert {"torch", "torchvision", "triton"} < left and "torchcam" not in left
    cuda = {name for name in whole if name.startswith(("cuda-", "nvidia-"))}
    assert left == cuda | {"torch", "torchvision", "triton"}
    versions = [f"{name}=={max(whole[name])}" for name in ("torch", "torchvision")]
    index = "--index-url https://download.pytorch.org/whl/cpu"
    assert torch == f"install --no-deps {index} {' '.join(versions)}"
