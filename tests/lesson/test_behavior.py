"""The lesson's test cells judge work by what it does, and by nothing else.

Solutions are generated, and an oracle labels them: see tests/behavior/dashboard.py. By
default a sample of about 100 is judged; `-m long` judges all, some 2,300.
"""

import pytest
from bank import EXERCISES, prepare, read_cells
from behavior.cases import STRATEGIES, draw
from behavior.dashboard import (
    Work,
    draw_cases,
    judge_all,
    make_table,
    make_work,
)
from behavior.oracle import find_differences, watch

SAMPLE = 17  # of each exercise
VISIBLE = 0.97  # of the wrong solutions a visible test rejects at least so many


@pytest.fixture(scope="module")
def sample() -> list[Work]:
    """A sample of the work, judged."""
    return list(judge_all(EXERCISES, SAMPLE, None))


def list_troubles(judged: list[Work]) -> list[str]:
    return [f"{w.exercise}, {w.title}: {w.trouble}" for w in judged if w.trouble]


def share_rejected_visibly(judged: list[Work]) -> float:
    wrong = [work for work in judged if work.differences]
    return sum(bool(work.visible) for work in wrong) / len(wrong)


def test_a_sample_of_generated_work_is_judged_by_what_it_does(sample, show_table):
    show_table(make_table(sample))
    assert len(sample) >= 100
    assert list_troubles(sample) == []


def test_what_is_rejected_when_graded_is_rejected_at_home(sample):
    assert share_rejected_visibly(sample) >= VISIBLE


@pytest.mark.long
def test_all_the_generated_work_is_judged_by_what_it_does(show_table):
    judged = list(judge_all(EXERCISES, None, None))
    show_table(make_table(judged))
    assert list_troubles(judged) == []
    assert share_rejected_visibly(judged) >= VISIBLE
    right = [work for work in judged if not work.differences]
    assert sum(work.kind == "composed" for work in right) >= 300


@pytest.fixture(scope="module")
def cells() -> dict[str, str]:
    """The code cells of the authored notebook."""
    return read_cells()


def test_there_is_much_work_of_every_kind_and_none_of_it_twice(cells):
    work = [piece for name in EXERCISES for piece in make_work(name, cells)]
    kinds = [piece.kind for piece in work]
    assert kinds.count("mutant") + kinds.count("pair") >= 1500
    assert kinds.count("pair") >= 150
    assert kinds.count("composed") >= 300
    assert kinds.count("by hand") >= 250
    assert len({(piece.exercise, piece.code) for piece in work}) == len(work)


def test_the_same_seed_makes_the_same_work_and_draws_the_same_cases(cells):
    for name in ("heat_inside", "capture_activations"):
        assert make_work(name, cells, 1) == make_work(name, cells, 1)
        assert make_work(name, cells, 1) != make_work(name, cells, 2)
        assert draw(STRATEGIES[name], 20) == draw(STRATEGIES[name], 20)


def test_the_reference_is_the_same_as_itself_and_no_other_exercise(cells):
    namespace = prepare(cells)
    for name in EXERCISES:
        cases = draw_cases(name)[:25]
        wanted = [watch(namespace[name], case) for case in cases]
        assert find_differences(name, namespace[name], cases, wanted) == []
        nothing = find_differences(name, lambda *_: None, cases, wanted)
        assert len({difference.case for difference in nothing}) == 8
