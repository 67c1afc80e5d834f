"""Grades a class of 200 with 10 % hostile submissions, and looks at what is left.

    python benchmarks/hostile_class.py --students 200 --jobs 2

The assignment is the small one of the tests, so that this measures grading and not
the lesson. Every honest student must have full points, every hostile one loses the
exercise that the attack is in and nothing else, and no process is left running.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import small_course
from small_course import TESTS, make_course, read_points, submit

BODIES = {
    "loop": "while True: pass",
    "memory": "x = []\n    while True: x.append(bytearray(2**26))",
    "forks": "import os\n    while True:\n        try: os.fork()\n"
    "        except OSError: pass",
    "exit": "import os; os._exit(1)",
    "flood": "while True: print('x' * 10000)",
}
TORN = "torn"


def main() -> None:
    """Makes the class, grades it, and says what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    kinds = [*BODIES, TORN]
    with tempfile.TemporaryDirectory() as directory:
        course = make_course(Path(directory, "course"))
        attacks = {}
        for number in range(options.students):
            kind = kinds[number // 10 % len(kinds)] if number % 10 == 0 else None
            attacks[f"student{number:03}"] = kind
            enrol(course, f"student{number:03}", kind)
        start = time.monotonic()
        result = small_course.grade(course, f"--jobs={options.jobs}")
        seconds = time.monotonic() - start
        wrong = find_wrong(read_points(course), attacks)
    print(result.stdout)
    hostile = sum(kind is not None for kind in attacks.values())
    print(f"{len(attacks)} submissions, {hostile} hostile: {seconds:.0f} s")
    print(f"wrong scores: {wrong or 'none'}; processes left: {count_left()}")


def enrol(course: Path, student: str, kind: str | None) -> None:
    """Hands in one student's submission."""
    body = BODIES.get(kind, "return 2 * x")
    folder = submit(course, student, double=f"def double(x):\n    {body}")
    if kind == TORN:
        next(folder.glob("*.ipynb")).write_text("{ not a notebook")


def find_wrong(points: dict, attacks: dict[str, str | None]) -> dict:
    """Returns the students whose points are not what they should be."""
    wrong = {}
    for student, kind in attacks.items():
        want = {name: float(not (kind and "double" in name)) for name in TESTS}
        got = points.get(student)
        if got != (None if kind == TORN else want):
            wrong[student] = kind, got
    return wrong


def count_left() -> int:
    """Counts the kernels and sandboxes that outlived the run."""
    found = subprocess.run(
        ["pgrep", "-fc", "bwrap --|grading[.]forkserver"], capture_output=True
    )
    return int(found.stdout)


if __name__ == "__main__":
    main()
