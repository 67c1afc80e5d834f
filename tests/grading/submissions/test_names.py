"""What a cell does to names: nothing that a later cell may need is overlooked."""

import pytest

from courseai_helpers.grading.submissions.names import find_names

READ = {
    "cam.sum()": {"cam"},
    "cam = 1\nprint(cam)": {"print"},
    "print(cam)\ncam = 1": {"cam", "print"},
    "for cam in cams:\n    cam + 1": {"cams"},
    "for cam in cams:\n    pass\ncam + 1": {"cam", "cams"},  # there may be none
    "if ready:\n    cam = 1\ncam + 1": {"cam", "ready"},
    "for row in rows:\n    for cam in row:\n        cam + row": {"rows"},
    "with open(cam) as file:\n    other": {"cam", "open", "other"},
    "try:\n    cam\nexcept KeyError:\n    pass": {"cam", "KeyError"},
    "match cam:\n    case [1]:\n        other": {"cam", "other"},
    "[cam for cam in cams]": {"cams"},
    "[cam for _ in cams]": {"cam", "cams"},
    "f'{cam:.2f}'": {"cam"},
    "count += 1": {"count"},
    "import numpy as np\nnp.ones(2)": set(),
    "def show(cam=first):\n    return cam": {"first"},
    "%matplotlib inline\ncam": {"cam"},
}
LATE = {
    "def show():\n    return cam": {"cam"},
    "def show(cam):\n    return cam": set(),
    "def show():\n    cam = 1\n    return [cam for _ in range(2)]": {"range"},
    "show = lambda: cam": {"cam"},
    "class Show:\n    cam = cams": {"cams"},
}
BOUND = {
    "cam, (box, *rest) = 1, (2, 3)": {"cam", "box", "rest"},
    "cams['cat'] = cam": {"cams"},
    "model.fc.weight = 1": {"model"},
    "model.eval()": {"model"},
    "boxes.items[0].clear()": {"boxes"},
    "count += 1": {"count"},
    "del cam": {"cam"},
    "import numpy.linalg, torch as t": {"numpy", "t"},
    "for cam in cams: pass": {"cam"},
    "with open('a') as file: pass": {"file"},
    "def show():\n    global cam\n    cam = 1": {"show", "cam"},
    "print(cam := 1)": {"cam"},
}
UNCLEAR = [
    "globals()['cam']",
    "exec('cam')",
    "def show():\n    return eval('cam')",
    "%run other.py",
    "%%time\ncam",
    "!echo {cam}",
    "print(_)",
    "Out[3]",
    "_3 + 1",
    "from numpy import *",
    "x = 1\n" * 10_000,
    "(" * 90 + "x" + ")" * 90 + "\n" + "-" * 9_000 + "x",
]


@pytest.mark.parametrize("source", READ)
def test_what_others_have_bound_is_read(source):
    names = find_names(source)
    assert names.read == READ[source] and not names.unclear


@pytest.mark.parametrize("source", LATE)
def test_what_a_function_reads_is_read_when_it_is_called(source):
    assert find_names(source).late == LATE[source]


@pytest.mark.parametrize("source", BOUND)
def test_what_is_bound_or_changed_is_found(source):
    assert find_names(source).bound >= BOUND[source]


@pytest.mark.parametrize("source", UNCLEAR)
def test_in_doubt_a_cell_is_said_to_be_unclear(source):
    assert find_names(source).unclear


@pytest.mark.parametrize("source", ["for i in range(3): print(i)", "x, _ = 1, 2"])
def test_usual_names_are_clear(source):
    assert not find_names(source).unclear


def test_what_can_t_be_run_needs_nothing():
    names = find_names("def show(:\n    cam")
    assert not (names.read or names.late or names.bound or names.unclear)
