"""What make installs and shows, with a pip that only notes what it is asked for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import needs_root
from test_locks import read_lock

PIP = """#!/bin/sh
echo "$@" >> asked.txt
for line in $(seq 100); do echo "pip says $line"; done
exit ${PIP_FAILS:-0}
"""
COURSEAI = "#!/bin/sh\necho graded\n"


@pytest.fixture
def course(root, tmp_path) -> Path:
    """A course whose environment has this pip, under a path with a space."""
    folder = tmp_path / "my course"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/etc/jupyter/jupyter_server_config.d").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "deploy", "locks", "tools"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, folder / name)
    for name, content in (("pip", PIP), ("courseai", COURSEAI)):
        (folder / ".venv/bin" / name).write_text(content)
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def run_make(
    course: Path, *words: str, pip_fails: int = 0
) -> subprocess.CompletedProcess:
    # Within `make test` this make would take itself for a part of that one.
    names = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "TORCH")
    outside = {name: v for name, v in os.environ.items() if name not in names}
    return subprocess.run(
        ["make", *words],
        cwd=course,
        env=outside | {"PIP_FAILS": str(pip_fails)},
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


APT = """#!/bin/sh
[ "$2" = update ] && exit
for name; do :; done  # the last word: the package
echo "$name" >> "$0.asked"
ln -s /bin/true "$(dirname "$0")/${APT_MAKES:-$name}"
"""


@pytest.fixture
def install_programs(course):
    """Runs the script as in CI, on a machine with next to nothing and an apt-get."""
    place = course / "bin"
    place.mkdir()
    for name in ("sh", "dirname", "id", "ln", "grep", "python3", "git", "make"):
        (place / name).symlink_to(shutil.which(name))
    (place / "apt-get").write_text(APT)
    (place / "apt-get").chmod(0o755)
    for name in ("openssl", "npm"):
        (place / name).symlink_to("/bin/true")

    def run_script(**variables: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        result = subprocess.run(
            [course / "tools/install_programs.sh"],
            env={"PATH": str(place), "HOME": str(course)} | variables,
            capture_output=True,
            text=True,
        )
        return result, (place / "apt-get.asked").read_text().split()

    return run_script


@needs_root
def test_root_gets_what_is_missing_and_nothing_else(install_programs):
    result, asked = install_programs(CI="true", APT_MAKES="useradd")
    assert (result.returncode, asked) == (0, ["passwd", "chromium"]), result.stderr


@needs_root
def test_in_ci_what_can_not_be_installed_is_a_failure_and_at_home_it_is_not(
    install_programs,
):
    result, _ = install_programs(CI="true", APT_MAKES="nothing")
    assert result.returncode == 1
    assert result.stderr.endswith("could not be installed: passwd\n")
    assert install_programs(APT_MAKES="nothing")[0].returncode == 0


@needs_root
def test_in_ci_a_browser_is_missing_only_when_playwright_had_its_turn(
    course, install_programs
):
    (course / ".venv/bin/playwright").symlink_to("/bin/false")
    result, asked = install_programs(CI="true", APT_MAKES="useradd")
    assert (result.returncode, asked) == (1, ["passwd", "chromium"])
    assert result.stderr.endswith("could not be installed: chromium\n")
