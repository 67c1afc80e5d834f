"""Judges generated work: do the lesson's test cells agree with what the work does?

`python tests/behavior/dashboard.py [--sample N] [--keep FILE] [exercise ...]` makes
mutants and solutions put together from choices, and adds those written by hand. It lets
the oracle label each by what it does, runs the lesson's test cells over it, and prints
every disagreement and a table. It ends with 1 if there is any. With --keep, what is
judged already, by these very test cells, is read from the file: a run that was stopped
goes on, and after a change of the test cells no solution is labelled again. With
--messages, every kind of message is printed, with the mistake that it was for.
"""

import argparse
import functools
import hashlib
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
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
from behavior.oracle import Difference, find_differences, is_fair, watch

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


@dataclass(frozen=True)
class Work:
    """A generated solution and what was found out about it.

    Attributes:
        exercise: The exercise.
        kind: "mutant", "pair" (a mutant with two changes), "composed" or "by hand".
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
    """Makes the work for an exercise, with the same seed always the same."""
    entries = read_entries(exercise)
    written = {entry.title: complete(entry, cells) for entry in entries}
    work = {
        code: Work(exercise, "by hand", title, code) for title, code in written.items()
    }
    right = {"reference": cells[exercise]} | {
        entry.title: written[entry.title] for entry in entries if not entry.caught_by
    }
    others = {*EXERCISES} - {exercise}
    for mutant in make_mutants(right, MUTANTS[exercise], seed, others):
        kind = "mutant" if len(mutant.changes) == 1 else "pair"
        title = f"{mutant.base}: {'; '.join(mutant.changes)}"
        work.setdefault(mutant.code, Work(exercise, kind, title, mutant.code))
    for title, code in compose(exercise, COMPOSED.get(exercise, 0), seed):
        work.setdefault(code, Work(exercise, "composed", title, code))
    return list(work.values())


def draw_cases(exercise: str) -> list:
    """Draws the cases of an exercise that have one right answer."""
    return [case for case in draw(STRATEGIES[exercise], CASES) if is_fair(case)]


def judge(
    work: Iterable[Work],
    cells: dict[str, str],
    namespace: dict,
    jobs: int = 2,
    labels: dict[str, tuple] | None = None,
) -> Iterator[Work]:
    """Labels and tests generated work of one exercise; yields it as it is judged.

    Args:
        work: The work.
        cells: The code cells of the authored notebook.
        namespace: What `prepare` made.
        jobs: How many processes work at a time.
        labels: What the oracle has said before, by code.
    """
    by_code = {piece.code: piece for piece in work}
    exercise = next(iter(by_code.values())).exercise
    cases = draw_cases(exercise)
    wanted = [watch(namespace[exercise], case) for case in cases]
    # Built once: each process gets them as they are now.
    ready = [case.arguments() for case in cases]
    compare = functools.partial(
        find_differences, exercise, cases=cases, wanted=wanted, ready=ready
    )
    run = functools.partial(label_and_test, exercise, compare, labels or {})
    entries = [Entry(exercise, "", frozenset(), code, 0) for code in by_code]
    tests = select_tests(cells, exercise)
    for entry, said in run_each(entries, cells, namespace, jobs, run):
        verdict = make_verdict(entry, tests, said)
        differences = said.get("label", [[["error", "it ends the process or hangs"]]])
        yield replace(
            by_code[entry.code],
            differences=tuple(map(tuple, differences[0])),
            messages=tuple(verdict.messages.items()),
            visible=tuple(sorted(verdict.visible)),
        )


def label_and_test(
    exercise: str,
    compare: Callable[[Callable], list[Difference]],
    labels: dict[str, tuple],
    code: str,
    tests: dict[str, str],
    namespace: dict,
    report,
) -> None:
    """Runs a solution, reports how it differs, and what the test cells say."""
    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.stdin = open(os.devnull)
    references = {name: namespace[name] for name in EXERCISES if name != exercise}
    del namespace[exercise]
    run_cell("answer", code, namespace, report)
    # A solution is not to blame for other exercises: it is labelled with right ones.
    brought = {name: namespace[name] for name in references}
    namespace.update(references)
    if code in labels:
        found = labels[code]
    elif exercise not in namespace:
        found = [("error", "there is no such function")]
    else:
        found = [
            (difference.kind, f"{difference.text}, at {difference.case}")
            for difference in compare(namespace[exercise])
        ]
    namespace.update(brought)
    report.send(("label", found))
    for name, source in tests.items():
        run_cell(name, source, namespace, report)
    report.close()


def read_kept(path: Path | None) -> Iterator[tuple[str, str, Work]]:
    """Yields what earlier runs have judged, with the keys of oracle and test cells."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    for row in map(json.loads, lines):
        oracle, tests = row.pop("oracle"), row.pop("tests")
        for name in ("differences", "messages"):
            row[name] = tuple(map(tuple, row[name]))
        yield oracle, tests, Work(**row | {"visible": tuple(row["visible"])})


def compute_key(*parts: str) -> str:
    """Returns a short text that changes with any of some texts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def judge_all(
    exercises: Iterable[str], sample: int | None, keep: Path | None, jobs: int = 2
) -> Iterator[Work]:
    """Makes and judges the work of some exercises; yields it as it is judged.

    Args:
        exercises: Which exercises.
        sample: How many solutions of each, None for all.
        keep: Where to keep what is judged. What is there by the same oracle and the
            same test cells is not judged again; where only the test cells are others,
            its label is taken.
        jobs: How many processes work at a time.
    """
    cells = read_cells()
    namespace = prepare(cells)
    here = [
        Path(__file__).with_name(f"{n}.py").read_text() for n in ("cases", "oracle")
    ]
    kept = list(read_kept(keep))
    for exercise in exercises:
        work = make_work(exercise, cells)
        if sample is not None:
            work = random.Random(0).sample(work, min(sample, len(work)))
        oracle = compute_key(str(CASES), *here, *map(cells.get, EXERCISES))
        tests = compute_key(*select_tests(cells, exercise).values())
        labels = {w.code: w.differences for key, _, w in kept if key == oracle}
        known = {w.code: w for *keys, w in kept if keys == [oracle, tests]}
        yield from (known[piece.code] for piece in work if piece.code in known)
        todo = [piece for piece in work if piece.code not in known]
        for piece in judge(todo, cells, namespace, jobs, labels) if todo else ():
            if keep is not None:
                row = asdict(piece) | {"oracle": oracle, "tests": tests}
                with keep.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            yield piece


def make_table(judged: list[Work]) -> str:
    """Returns the table: what was killed, what survived, what was rejected unfairly.

    "Visibly" is the share of the wrong solutions that a visible test rejects.
    """
    head = ("wrong", "killed", "survive", "visibly", "right", "accepted", "rejected")
    lines = [f"{'':30}" + "".join(f"{name:>10}" for name in head)]
    exercises = list(dict.fromkeys(work.exercise for work in judged))
    for exercise in [*exercises, "all"]:
        for kind in ["by hand", "mutant", "pair", "composed", ""]:
            part = [
                work
                for work in judged
                if exercise in (work.exercise, "all") and kind in (work.kind, "")
            ]
            if part:
                lines.append(f"{exercise:21}{kind:9}" + make_row(part))
    return "\n".join(lines)


def make_row(part: list[Work]) -> str:
    """Returns the numbers of a part of the work."""
    wrong = [work for work in part if work.differences]
    killed = sum(bool(work.messages) for work in wrong)
    visibly = sum(bool(work.visible) for work in wrong)
    right = len(part) - len(wrong)
    unfair = sum(bool(work.messages) for work in part) - killed
    share = f"{visibly / len(wrong):.1%}" if wrong else ""
    row = [len(wrong), killed, len(wrong) - killed, share, right, right - unfair]
    return "".join(f"{value:>10}" for value in [*row, unfair])


def list_messages(judged: list[Work]) -> Iterator[str]:
    """Yields each kind of message, with a mistake that it was for, by test cell.

    Messages that differ in numbers only are of one kind.
    """
    groups: dict[tuple, list[tuple[Work, str]]] = {}
    for piece in judged:
        for cell, message in piece.messages:
            if piece.differences:
                kind = re.sub(r"-?\d[\d.e+-]*", "#", message)[:90]
                groups.setdefault((piece.exercise, cell, kind), []).append(
                    (piece, message)
                )
    for (exercise, cell, _), group in sorted(groups.items()):
        titles = sorted({piece.title for piece, _ in group}, key=len)
        yield (
            f"{exercise}, {cell}, {len(group)} times: {' / '.join(titles[:3])}\n"
            f"    {group[0][1]}"
        )


def main() -> int:
    """Judges generated work and prints what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("exercises", nargs="*", choices=[*EXERCISES, []])
    parser.add_argument("--sample", type=int, help="how many of each exercise")
    parser.add_argument("--keep", type=Path, help="where to keep what is judged")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--messages", action="store_true", help="show all of them")
    options = parser.parse_args()
    start = time.monotonic()
    judged = []
    exercises = options.exercises or EXERCISES
    for piece in judge_all(exercises, options.sample, options.keep, options.jobs):
        judged.append(piece)
        if piece.trouble:
            print(f"{piece.exercise}, {piece.title}\n    {piece.trouble}", flush=True)
    if options.messages:
        print(*list_messages(judged), sep="\n")
    print(make_table(judged))
    bad = sum(bool(piece.trouble) for piece in judged)
    seconds = time.monotonic() - start
    print(f"{len(judged)} solutions, {bad} misjudged, {seconds:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
