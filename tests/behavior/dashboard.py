"""Judges generated work: do the lesson's test cells agree with what the work does?

`python tests/behavior/dashboard.py [--sample N] [--keep FILE] [exercise ...]` makes
mutants and solutions put together from choices, lets the oracle label each by what it
does, runs the lesson's test cells over it, and prints a table and every disagreement.
It ends with 1 if there is any. With --keep, what is judged already, by these very test
cells, is read from the file: a run that was stopped goes on.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":
    os.environ.update(COURSEAI_OFFLINE="1", MPLBACKEND="Agg", OMP_NUM_THREADS="1")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bank import (
    EXERCISES,
    Entry,
    complete,
    make_verdict,
    prepare,
    read_cells,
    read_entries,
    run_cell,
    run_each,
    select_tests,
)
from behavior.cases import STRATEGIES, draw
from behavior.choices import compose
from behavior.mutants import make_mutants
from behavior.oracle import Behavior, find_differences, is_fair, watch

CASES = 250
MUTANTS = {
    "normalize_filters": 250,
    "filter_to_image": 110,
    "capture_activations": 360,
    "grad_cam": 480,
    "top_class_heatmaps": 230,
    "heat_inside": 190,
}
COMPOSED = {"capture_activations": 180, "grad_cam": 280}
MARK = "### BEGIN HIDDEN TESTS"
# Which test cells are about what differs; the others are not expected to notice it.
ABOUT = {
    "normalize_filters": {
        "value": "range constant",
        "form": "range",
        "inputs": "input",
        "error": "range constant input",
    },
    "filter_to_image": {
        "value": "axes any_tensor",
        "form": "axes any_tensor",
        "error": "axes any_tensor",
        "frozen": "any_tensor",
    },
    "capture_activations": {
        "names": "shapes",
        "form": "shapes detached",
        "value": "shapes values in_place",
        "detached": "detached",
        "device": "detached",
        "passes": "one_pass",
        "hooks": "hooks",
        "error": "shapes values hooks detached one_pass in_place",
        "later layers": "values in_place hooks shapes",
    },
}


@dataclass(frozen=True)
class Work:
    """A generated solution and what was found out about it.

    Attributes:
        exercise: The exercise.
        kind: "mutant" or "composed".
        title: How it was made.
        code: The solution.
        differences: Where it differs from the reference, as kind and text.
        messages: What each test cell that rejected it said, by its short name.
        visible: Those of them whose visible part did so.
    """

    exercise: str
    kind: str
    title: str
    code: str
    differences: tuple[tuple[str, str], ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    visible: tuple[str, ...] = ()

    @property
    def trouble(self) -> str:
        """Says how labels and tests disagree, '' if they do not."""
        if self.differences and not self.messages:
            kinds = dict(reversed(self.differences))
            return "accepted, but " + "; ".join(f"{k}: {t}" for k, t in kinds.items())
        if self.messages and not self.differences:
            return "rejected, but right: " + "; ".join(
                f"{cell}: {text}" for cell, text in self.messages
            )
        return ""


def make_work(exercise: str, cells: dict[str, str], seed: int = 0) -> list[Work]:
    """Makes the generated work for an exercise, always the same."""
    right = {"reference": cells[exercise]} | {
        entry.title: complete(entry, cells)
        for entry in read_entries(exercise)
        if not entry.caught_by
    }
    work = [
        Work(exercise, "mutant", f"{mutant.base}: {'; '.join(mutant.changes)}", code)
        for mutant in make_mutants(right, MUTANTS[exercise], seed)
        for code in [mutant.code]
    ]
    composed = compose(exercise, COMPOSED.get(exercise, 0), seed)
    return work + [Work(exercise, "composed", *made) for made in composed]


def draw_cases(exercise: str) -> list:
    """Draws the cases of an exercise that have one right answer."""
    return [case for case in draw(STRATEGIES[exercise], CASES) if is_fair(case)]


def judge(
    work: Iterable[Work], cells: dict[str, str], namespace: dict, jobs: int = 2
) -> Iterator[Work]:
    """Labels and tests generated work of one exercise; yields it as it is judged."""
    by_code = {piece.code: piece for piece in work}
    exercise = next(iter(by_code.values())).exercise
    cases = draw_cases(exercise)
    wanted = [watch(namespace[exercise], case) for case in cases]
    run = functools.partial(label_and_test, exercise, cases, wanted)
    entries = [Entry(exercise, "", frozenset(), code, 0) for code in by_code]
    tests = select_tests(cells, exercise)
    marks = {
        name: source[: source.index(MARK)].count("\n") + 1 if MARK in source else 10**6
        for name, source in tests.items()
    }
    for entry, said in run_each(entries, cells, namespace, jobs, run):
        verdict = make_verdict(entry, tests, said)
        differences = said.get("label", [[["error", "it ends the process or hangs"]]])
        visible = [name for name, line in verdict.lines.items() if line < marks[name]]
        yield Work(
            **asdict(by_code[entry.code])
            | {
                "differences": tuple(map(tuple, differences[0])),
                "messages": tuple(verdict.messages.items()),
                "visible": tuple(visible),
            }
        )


def label_and_test(
    exercise: str,
    cases: list,
    wanted: list[Behavior],
    code: str,
    tests: dict[str, str],
    namespace: dict,
    report,
) -> None:
    """Runs a solution, reports how it differs, and what the test cells say."""
    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.stdin = open(os.devnull)
    with contextlib.suppress(KeyError):
        del namespace[exercise]
    run_cell("answer", code, namespace, report)
    function = namespace.get(exercise)
    if function is None:
        found = [("error", "there is no such function")]
    else:
        found = [
            (difference.kind, f"{difference.text}, at {difference.case}")
            for difference in find_differences(exercise, function, cases, wanted)
        ]
    report.send(("label", found))
    for name, source in tests.items():
        run_cell(name, source, namespace, report)
    report.close()


def read_kept(path: Path | None, key: str) -> dict[str, Work]:
    """Reads what an earlier run has judged by the same test cells, by its code."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        row["code"]: Work(
            **row
            | {
                name: tuple(map(tuple, row[name]))
                for name in ("differences", "messages")
            }
            | {"visible": tuple(row["visible"])}
        )
        for row in rows
        if row.pop("key") == key
    }


def judge_all(
    exercises: Iterable[str], sample: int | None, keep: Path | None, jobs: int = 2
) -> Iterator[Work]:
    """Makes and judges the work of some exercises; yields it as it is judged."""
    cells = read_cells()
    namespace = prepare(cells)
    for exercise in exercises:
        work = make_work(exercise, cells)
        if sample is not None:
            work = random.Random(0).sample(work, min(sample, len(work)))
        tests = json.dumps([select_tests(cells, exercise), CASES])
        key = hashlib.sha256(tests.encode()).hexdigest()
        known = read_kept(keep, key)
        yield from (known[piece.code] for piece in work if piece.code in known)
        todo = [piece for piece in work if piece.code not in known]
        if todo:
            for piece in judge(todo, cells, namespace, jobs):
                if keep is not None:
                    with keep.open("a") as file:
                        file.write(json.dumps(asdict(piece) | {"key": key}) + "\n")
                yield piece


def make_table(judged: list[Work]) -> str:
    """Returns the table: what was killed, what survived, what was rejected unfairly."""
    head = ("wrong", "killed", "survive", "visibly", "right", "accepted", "rejected")
    lines = [f"{'':30}" + "".join(f"{name:>10}" for name in head)]
    groups = sorted({(w.exercise, w.kind) for w in judged}, key=lambda g: g[::-1])
    for exercise, kind in [*groups, ("all", "")]:
        part = [
            w
            for w in judged
            if exercise == "all" or (w.exercise, w.kind) == (exercise, kind)
        ]
        counts = Counter(
            (bool(w.differences), bool(w.messages), bool(w.visible)) for w in part
        )
        wrong = sum(n for (different, _, _), n in counts.items() if different)
        killed = sum(n for (d, rejected, _), n in counts.items() if d and rejected)
        visibly = sum(n for (d, _, seen), n in counts.items() if d and seen)
        right = len(part) - wrong
        unfair = sum(n for (d, rejected, _), n in counts.items() if not d and rejected)
        share = f"{visibly / wrong:.1%}" if wrong else ""
        row = [wrong, killed, wrong - killed, share, right, right - unfair, unfair]
        lines.append(f"{exercise + ' ' + kind:30}" + "".join(f"{v:>10}" for v in row))
    return "\n".join(lines)


def main() -> int:
    """Judges generated work and prints what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("exercises", nargs="*", choices=[*EXERCISES, []])
    parser.add_argument("--sample", type=int, help="how many of each exercise")
    parser.add_argument("--keep", type=Path, help="where to keep what is judged")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start = time.monotonic()
    judged = []
    exercises = options.exercises or EXERCISES
    for piece in judge_all(exercises, options.sample, options.keep, options.jobs):
        judged.append(piece)
        if piece.trouble:
            print(f"{piece.exercise}, {piece.title}\n    {piece.trouble}", flush=True)
    print(make_table(judged))
    bad = sum(bool(piece.trouble) for piece in judged)
    seconds = time.monotonic() - start
    print(f"{len(judged)} solutions, {bad} misjudged, {seconds:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
