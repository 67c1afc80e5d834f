"""What functions that never end cost a class: measured, in one run with right work."""

import statistics

import kernels
import pytest
import sqlalchemy
from conftest import ASSIGNMENT
from right_work import LESSON, Way, find, hand_in
from small_course import run
from test_right_work import make_course

from courseai_helpers.grading.gradebook.ledger import read_entries

pytestmark = [kernels.needs_sandbox, pytest.mark.long]

LOOP = "\n\n\ndef {name}(*arguments, **options):\n    while True:\n        pass"
# Each never ends: the costliest function, a quick one, and one that others call.
LOOPS = ("grad_cam", "normalize_filters", "capture_activations")
RIGHT = 8  # with the others enough for the pace of right work to be measured
# With 20 loops among 200 a class may take 25 % longer than 200 that are right.
MOST = (1.25 * 200 - 180) / 20  # times what right work takes


def hand_in_loop(course, exercise: str | None, student: str) -> None:
    """Hands right work in, but for one function, if any."""

    def edit(notebook, folder) -> None:
        if exercise:
            find(notebook, exercise).source += LOOP.format(name=exercise)

    hand_in(Way(student, edit, LESSON), course, ASSIGNMENT)


def test_a_loop_costs_a_class_a_few_times_what_right_work_takes(tmp_path, show_table):
    course = make_course(tmp_path / "course", LESSON, more="")
    for number in range(RIGHT):
        hand_in_loop(course, None, f"right{number}")
    for name in LOOPS:
        hand_in_loop(course, name, name)
    result = run(course, "courseai_helpers.cli", "grade", ASSIGNMENT, "--jobs=2")
    engine = sqlalchemy.create_engine(f"sqlite:///{course / 'gradebook.db'}")
    entries = read_entries(engine, ASSIGNMENT)
    assert len(entries) == RIGHT + len(LOOPS), result.stdout
    seconds = {student: entry.seconds for student, entry in entries.items()}
    usual = statistics.median(seconds[f"right{number}"] for number in range(RIGHT))
    times = {name: seconds[name] / usual for name in LOOPS}
    longer = (180 + 20 * statistics.mean(times.values())) / 200 - 1
    lines = [f"{name} never ends: {times[name]:.1f} times" for name in LOOPS]
    show_table(
        f"right work: {usual:.1f} s\n" + "\n".join(lines) + "\n"
        f"20 loops among 200: {longer:.0%} longer"
    )
    assert statistics.mean(times.values()) < MOST, seconds
