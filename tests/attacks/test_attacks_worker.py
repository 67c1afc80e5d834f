"""A worker that somebody has taken over: what it can get from the grader."""

import re
import shutil
from pathlib import Path

import kernels
import pytest
from schedulers import start_cluster, use_certificate
from small_course import (
    ASSIGNMENT,
    SOLUTIONS,
    TESTS,
    grade,
    make_course,
    read_points,
    submit,
)

pytestmark = kernels.needs_sandbox

HOSTILE = Path(__file__).parents[1] / "hostile_worker.py"
ATTACKS = re.findall(r"@attack\ndef (\w+)", HOSTILE.read_text())
# What makes no promise: these bring a result, which says what it may.
TAKEN = {"an_event", "odd_outputs"}
GRADER = ("courseai_helpers.cli", "courseai_helpers.grading.cluster.courier")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A course that was graded by such a worker, the output, and its folder."""
    folder = tmp_path_factory.mktemp("attacked")
    course = make_course(folder / "course")
    for name in ATTACKS:
        attack = f'\nattack = "{name}"'
        submit(course, f"by-{name}", double=SOLUTIONS["double"] + attack)
    submit(course, "honest")
    work = folder / "work"
    work.mkdir()
    shutil.copy(HOSTILE, work)
    with pytest.MonkeyPatch.context() as patch:
        use_certificate(patch, folder)
        with start_cluster(work, HOSTILE.name) as address:
            result = grade(course, f"--scheduler={address}")
    return course, result.stdout, work


def test_a_hostile_worker_gets_nothing(attacked, show_table):
    course, output, work = attacked
    points = read_points(course)
    bombs = (work / "bombs").read_text() if (work / "bombs").exists() else ""
    code = sum(program in bombs for program in GRADER)
    harm = int(points["honest"] != dict.fromkeys(TESTS, 1.0))
    rows = [f"{'attack':20} code run  harm to another   what became of it"]
    got = []
    for name in ATTACKS:
        said = re.search(f"by-{name} was not graded, .*?: (.*)", output)
        result = points.get(f"by-{name}", {})
        points_got = [score for score in result.values() if score]
        scored = any(score is not None for score in result.values())
        fair = scored if name in TAKEN else said and not scored
        got += [] if fair and (not points_got or name in TAKEN) else [name]
        text = said[1][:70] if said else "taken, as outputs of this submission"
        rows.append(f"{name:20} {code:8}  {harm:16}  {text}")
    show_table("\n".join(rows))
    assert not got and not code and not harm, output
    assert "multiprocessing.spawn" in bombs  # in the worker: the bombs are bombs
    assert f"{len(TAKEN) + 1} graded, 0 graded before" in output


def test_a_hostile_worker_writes_nothing_on_the_terminal(attacked):
    _, output, _ = attacked
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", output)
    assert "Traceback" not in output and max(map(len, output.splitlines())) < 11_000


def test_what_a_worker_receives_names_no_student_and_holds_no_gradebook(attacked):
    course, _, work = attacked
    received = (work / "received").read_bytes()
    assert b"assert triple(2) == 6" in received  # the hidden tests it must have
    for secret in (b"by-", b"honest", b"gradebook", str(course).encode()):
        assert secret not in received


def test_results_are_what_was_sent_with_outputs_of_the_worker(attacked):
    course, _, _ = attacked
    folder = course / "autograded"
    graded = {path.name for path in folder.iterdir()}
    assert graded == {f"by-{name}" for name in TAKEN} | {"honest"}
    for path in folder.glob(f"by-*/{ASSIGNMENT}/*"):
        assert path.name == f"{ASSIGNMENT}.ipynb" and "triple" in path.read_text()
