"""The same work gets the same points, every time."""

import json
import os
import subprocess
import sys

import pytest
from bank import ROOT

pytestmark = pytest.mark.long

SEEDS = ("0", "1", "42", "4294967295")
THREADS = (1, 2, 3, 2, 1)
# Threads that wait without spinning: there may be more of them than cores.
VARIABLES = {"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "PASSIVE"}
# Work of all kinds, some of it close to a tolerance.
GRADE = """
import json, sys
import torch
sys.path.insert(0, "tests")
import bank
from bank import judge, prepare, read_cells, read_entries
bank.SECONDS = 300
wanted = {
    "normalize_filters": "a tiny number added to the span",
    "filter_to_image": "half precision loses digits",
    "capture_activations": "a class with __call__, through NumPy",
    "grad_cam": "softmax over the channel weights",
    "top_class_heatmaps": "the logarithms are sorted, then raised again",
    "heat_inside": "rounded to two digits",
}
cells = read_cells()
namespace = prepare(cells)
entries = [e for name in wanted for e in read_entries(name) if e.title == wanted[name]]
assert len(entries) == len(wanted)
for threads in map(int, sys.argv[1:]):
    torch.set_num_threads(threads)
    verdicts = judge(entries, cells, namespace, jobs=1)
    print(json.dumps(sorted([v.entry.exercise, *sorted(v.messages)] for v in verdicts)))
"""


def grade(seed: str) -> list[str]:
    """Grades a submission in a new process, once for each number of threads."""
    result = subprocess.run(
        [sys.executable, "-c", GRADE, *map(str, THREADS)],
        cwd=ROOT,
        env=os.environ | VARIABLES | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_gradings_give_the_same_points(seed):
    outcomes = grade(seed)
    assert len(outcomes) * len(SEEDS) == 20
    assert set(outcomes) == {
        json.dumps(
            [
                ["capture_activations"],
                ["filter_to_image", "axes"],
                ["grad_cam", "relu", "weights"],
                ["heat_inside", "share"],
                ["normalize_filters"],
                ["top_class_heatmaps"],
            ]
        )
    }
