"""Measures what the examiner's kernel adds to the grading of a submission.

Run it at the top of the repository:

    python benchmarks/examiner.py --rounds 4

The authored notebook is executed as a right submission, in turn with and without the
examiner, by one process as in a class; the first two of each warm it up.
Times are medians; CPU time is that of the kernels.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import nbformat

from courseai_helpers.grading.sandbox import forkserver_client
from courseai_helpers.grading.steps.execute import SandboxedExecute
from courseai_helpers.grading.steps.failures import CAUSES

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "source/visualizing_features/visualizing_features.ipynb"
WARM_UP = 2


class OneKernel(SandboxedExecute):
    """Executes the test cells in the student's kernel, as all others."""

    def make_examiner(self, nb):
        """Makes none."""
        return None

    def create_kernel_manager(self):
        """Makes what starts a kernel that finds what the tests are made of."""
        manager = super().create_kernel_manager()
        manager.examiner = True
        return manager


def grade(kind: type[SandboxedExecute]) -> tuple[float, float]:
    """Grades the notebook once; returns seconds, and CPU seconds of the kernels."""
    nb = nbformat.read(NOTEBOOK, as_version=4)
    before, start = read_cpu(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nb, _ = kind(timeout=180, startup_timeout=120).preprocess(nb, resources)
    seconds = time.monotonic() - start
    if nb.metadata[CAUSES]:
        raise SystemExit(
            f"It was not graded as right: {json.dumps(nb.metadata[CAUSES])}"
        )
    return seconds, read_cpu() - before


def read_cpu() -> float:
    """Returns the CPU seconds of the forkserver and of the kernels that have ended."""
    if forkserver_client._server is None:
        return 0.0
    path = Path("/proc", str(forkserver_client._server[1].pid), "stat")
    fields = path.read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints seconds, CPU seconds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", COURSEAI_OFFLINE="1")
    costs = {OneKernel: [], SandboxedExecute: []}
    for number in range(options.rounds + WARM_UP):
        for kind, measured in costs.items():
            cost = grade(kind)
            if number >= WARM_UP:
                measured.append(cost)
    medians = [
        [statistics.median(values) for values in zip(*measured, strict=True)]
        for measured in costs.values()
    ]
    for name, (wall, cpu) in zip(
        ("one kernel", "with the examiner"), medians, strict=True
    ):
        print(f"{name:18} {wall:6.1f} s   {cpu:6.1f} CPU s")
    wall, cpu = (b / a for a, b in zip(*medians, strict=True))
    print(f"{'ratio':18} {wall:6.2f}     {cpu:6.2f}")


if __name__ == "__main__":
    main()
