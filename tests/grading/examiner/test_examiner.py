"""Submissions whose test cells run in the examiner's kernel."""

import time

import nbformat
import pytest
from kernels import needs_sandbox
from nbformat.v4 import new_code_cell, new_notebook
from small_course import make_cell

from courseai_helpers._common.errors import CourseError
from courseai_helpers.grading.examiner.kernel import compute_salt
from courseai_helpers.grading.steps.execute import GRACE, SandboxedExecute
from courseai_helpers.grading.steps.failures import CAUSES

pytestmark = needs_sandbox

SETUP = "import torch\nmodel = torch.nn.Linear(1, 1)\nlimit = 10"


def make_setup(source: str):
    """Makes a cell that the instructor wrote and both kernels run."""
    cell = make_cell("setup", source)
    cell.metadata.nbgrader.locked = True
    return cell


def run(tmp_path, cells, **options):
    """Executes a submission and returns its cells by name, and why some failed."""
    nb = new_notebook(cells=cells)
    nb.metadata.kernelspec = {"name": "python3", "display_name": "", "language": ""}
    execute = SandboxedExecute(timeout=20, startup_timeout=120, **options)
    nb, _ = execute.preprocess(nb, {"metadata": {"path": str(tmp_path)}})
    nbformat.validate(nb)
    causes = {name: failure["cause"] for name, failure in nb.metadata[CAUSES].items()}
    return {cell.id: cell for cell in nb.cells}, causes


def read_text(cell) -> str:
    """Returns all that a cell put out, but for tracebacks."""
    return "".join(o.get("text", "") + o.get("evalue", "") for o in cell.outputs)


def test_only_student_s_cells_enter_the_student_s_kernel(tmp_path):
    look = "def double(x):\n    return sorted(k for k in globals() if k[:2] != '__')"
    cells, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            make_cell("double", f"mine = 1\n{look}", solution=True),
            make_cell(
                "test_double", "ours = 2\nprint(double(0), 'mine' in vars())", points=1
            ),
            make_cell("test_again", "print(double(0))", points=1),
        ],
    )
    seen = read_text(cells["test_double"])
    assert "'mine'" in seen and "'limit'" in seen and "False" in seen
    assert "ours" not in seen + read_text(cells["test_again"]) and not causes


def test_a_test_cell_observes_a_function_where_it_runs(tmp_path):
    answer = "def act(weights):\n    weights += 1\n    return 2"
    check = (
        "from courseai_helpers.testing import observe\n"
        "call = observe(act, torch.ones(2))\n"
        "assert call.result == 2 and call.inputs_changed == [0]\n"
        "assert observe(lambda weights: weights.zero_(), torch.ones(2)).inputs_changed"
    )
    cells, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            make_cell("act", answer, solution=True),
            make_cell("test_act", check, points=1),
        ],
    )
    assert not causes, read_text(cells["test_act"])


def test_a_crash_a_loop_and_a_flood_cost_the_cells_that_meet_them(tmp_path):
    answer = """
    import os, time
    def act(what):
        if what == "crash":
            os._exit(3)
        while what == "loop":
            pass
        while what == "flood":
            print("x" * 10_000)
        print("noise")
        return what
    """.replace("\n    ", "\n")
    kinds = ("good", "flood", "better", "crash", "fine", "loop", "again")
    cells, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            make_cell("act", answer, solution=True),
            *[
                make_cell(f"test_{k}", f"assert act({k!r}) == {k!r}", points=1)
                for k in kinds
            ],
            make_cell("other", "def other():\n    return 1", solution=True),
            make_cell("test_other", "assert other() == 1", points=1),
        ],
        output_limit=2**20,
    )
    assert causes == {
        "test_flood": "output flood",
        "test_crash": "killed",
        "test_loop": "time-out",
        "test_again": "time-out",
    }
    assert "act took too long in an earlier check" in read_text(cells["test_again"])
    assert "noise" not in "".join(read_text(cells[f"test_{kind}"]) for kind in kinds)


def test_who_calls_a_function_that_took_too_long_does_not_wait_for_it_again(tmp_path):
    cells, causes = run(
        tmp_path,
        [
            make_cell("slow", "def slow():\n    while True: pass", solution=True),
            make_cell("test_slow", "slow()", points=1),
            make_cell("user", "def user():\n    return slow()", solution=True),
            make_cell("test_user", "user()", points=1),
        ],
    )
    assert causes == {"test_slow": "time-out", "test_user": "error"}
    assert "slow took too long in a check" in read_text(cells["test_user"])


def test_what_is_graded_is_run_however_long_the_student_s_own_cells_took(tmp_path):
    start = time.monotonic()
    own = [new_code_cell("while True: pass") for _ in range(9)]
    _, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            *own,
            make_cell("double", "def double(x):\n    return 2 * x", solution=True),
            make_cell("test_double", "assert double(1) == 2", points=1),
        ],
        usual_seconds={"double": 0.01, "test_double": 0.01},
        least_timeout=1,
    )
    assert "test_double" not in causes and len(causes) == len(own)
    assert time.monotonic() - start < 60


def test_where_right_work_was_timed_a_new_kernel_runs_the_other_cells_again(tmp_path):
    _, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            make_cell("ten", "def ten():\n    return limit", solution=True),
            make_cell("crash", "import os\nos._exit(1)", solution=True),
            make_cell("test_ten", "assert ten() == 10", points=1),
        ],
        usual_seconds={"ten": 0.01, "test_ten": 0.01},
    )
    assert causes == {"crash": "killed"}


def test_a_cell_that_worked_once_only_costs_nothing_of_what_comes_after(tmp_path):
    """It ends its kernel when it is run again, to bring a new one to where it was."""
    run(tmp_path, [make_setup(SETUP)])  # so that the next kernel starts at once
    end = time.time() + 12
    _, causes = run(
        tmp_path,
        [
            make_setup(SETUP),
            make_cell("first", "def first():\n    return 1", solution=True),
            make_cell(
                "once",
                f"import os, time\nif time.time() > {end}:\n    os._exit(3)",
                solution=True,
            ),
            make_cell("last", "def last():\n    return 2", solution=True),
            make_cell(
                "crash",
                f"time.sleep(max(0, {end} - time.time()) + 0.1)\nos._exit(3)",
                solution=True,
            ),
            make_cell("test_first", "assert first() == 1", points=1),
            make_cell("test_last", "assert last() == 2", points=1),
        ],
    )
    assert causes == {"crash": "killed"}


def test_a_new_kernel_that_cannot_be_started_is_said_to_be_the_reason(
    tmp_path, monkeypatch
):
    start = SandboxedExecute.start_new_kernel_client
    started = []

    def start_once(execute):
        start(execute)
        started.append(execute.kc)
        if len(started) == 2:
            execute._cleanup_kernel()  # as nbclient does
            raise RuntimeError("Kernel died before replying")

    monkeypatch.setattr(SandboxedExecute, "start_new_kernel_client", start_once)
    crash = make_cell("crash", "import os\nos._exit(3)", solution=True)
    with pytest.raises(RuntimeError, match="Kernel died before replying"):
        run(tmp_path, [make_setup(SETUP), crash])


def test_a_cell_that_keeps_the_kernel_from_listening_is_not_run_again(tmp_path):
    trap = """
    import os
    from courseai_helpers.grading.examiner import student_side
    student_side.listen = lambda: os._exit(1)
    """.replace("\n    ", "\n")
    _, causes = run(
        tmp_path,
        [
            make_cell("trap", trap, solution=True),
            make_setup(SETUP),
            make_cell("double", "def double(x):\n    return 2 * x", solution=True),
            make_cell("test_double", "assert double(1) == 2", points=1),
        ],
    )
    assert causes == {"trap": "killed"}


def test_the_instructor_sees_where_the_submission_raised(tmp_path):
    answer = "def halve(x):\n    return x / 0"
    cells, causes = run(
        tmp_path,
        [
            make_cell("halve", answer, solution=True),
            make_cell("test_halve", "assert halve(2) == 1", points=1),
        ],
    )
    text = read_text(cells["test_halve"])
    assert "In the submission:\nline 2, in halve: return x / 0" in text
    assert "division by zero" in text and causes == {"test_halve": "error"}


def test_a_setup_cell_that_fails_for_the_examiner_is_nobody_s_wrong_answer(tmp_path):
    broken = make_setup("open('data.csv')")  # which only submissions have
    (tmp_path / "data.csv").write_text("1")
    with pytest.raises(CourseError, match="by no fault of the student"):
        run(tmp_path, [broken, make_cell("test_it", "assert True", points=1)])


def test_hidden_inputs_are_the_same_for_the_same_submission_only():
    def make(answer):
        return new_notebook(
            cells=[
                make_cell("double", answer, solution=True),
                make_cell("test_double", "assert double(1) == 2", points=1),
            ]
        )

    assert compute_salt(make("a")) == compute_salt(make("a")) != compute_salt(make("b"))


def test_without_a_sandbox_the_notebook_runs_in_one_kernel(tmp_path):
    cells, causes = run(
        tmp_path,
        [
            make_cell("double", "def double(x):\n    return 2 * x", solution=True),
            make_cell("test_double", "import os\nassert double(1) == 2", points=1),
        ],
        sandbox=False,
    )
    assert not causes


SALTED = (
    "from courseai_helpers.grading.examiner.oracles import make_generator\n"
    "print(make_generator(1).initial_seed())"
)


def test_a_test_cell_meets_the_numbers_of_its_submission(tmp_path):
    seeds = []
    for answer in ("a = 1", "a = 2"):
        nb = [
            make_cell("double", answer, solution=True),
            make_cell("test_seed", SALTED, points=1),
        ]
        salt = compute_salt(new_notebook(cells=nb))
        cells, causes = run(tmp_path, nb)
        assert not causes
        seeds.append(int(read_text(cells["test_seed"])))
        assert seeds[-1] == 1 + 1_000_000 * salt
    assert len(set(seeds)) == 2


def test_words_in_an_exception_decide_nothing(tmp_path):
    """They name the grader's own errors; each would cost seconds, or a kernel."""
    answer = """
    class GoneError(Exception):
        pass
    class NotAskedAgainError(Exception):
        pass
    def fail(kind):
        if kind == "text":
            raise ValueError("the other process is gone, MemoryError, out of memory")
        raise {"gone": GoneError, "asked": NotAskedAgainError}[kind]("put out")
    """.replace("\n    ", "\n")
    kinds = ("text", "gone", "asked")
    tests = [make_cell(f"test_{k}", f"fail({k!r})", points=1) for k in kinds]
    start = time.monotonic()
    run(tmp_path, [make_cell("none", "pass", solution=True)])  # how long that takes
    usual = time.monotonic() - start
    cells = [make_cell("fail", answer, solution=True), *tests]
    start = time.monotonic()
    _, causes = run(tmp_path, cells)
    assert causes == {f"test_{kind}": "error" for kind in kinds}
    assert time.monotonic() - start < usual + 3 * GRACE


def test_a_closed_link_is_waited_for_once(tmp_path, monkeypatch):
    waited = []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: (waited.append(s), sleep(s)))
    close = "import os\nos.close(3)\ndef double(x):\n    return 2 * x"
    tests = [make_cell(f"test_{n}", "double(1)", points=1) for n in range(3)]
    cells, causes = run(tmp_path, [make_cell("double", close, solution=True), *tests])
    assert causes == {f"test_{n}": "killed" for n in range(3)}
    assert "link was closed" in read_text(cells["test_2"])
    assert sum(waited) < 1.5 * GRACE
