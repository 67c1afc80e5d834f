"""What is computed ahead is just what the notebook asks for."""

from pathlib import Path

import nbformat
import pytest
import torch

from courseai_helpers._common import cache
from courseai_helpers.grading.sandbox.rehearsal import rehearse
from courseai_helpers.models import embedded

NOTEBOOK = Path(__file__).parents[3] / (
    "source/visualizing_features/visualizing_features.ipynb"
)


@pytest.fixture
def lesson(monkeypatch) -> dict:
    """The lesson's names, after a rehearsal."""
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    monkeypatch.setattr(cache, "_known", {})
    monkeypatch.setattr(embedded, "_spare", [])
    rehearse()
    names = {}
    for cell in ("setup_imports", "setup_model", "setup_photo", "grad_cam"):
        run(cell, names)
    return names


def run(cell: str, names: dict) -> set:
    """Executes a cell and returns the keys of what had to be computed in it."""
    before = set(cache._known)
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (source,) = (other.source for other in cells if other.id == cell)
    exec(compile(source, cell, "exec"), names)
    return set(cache._known) - before


def test_the_notebook_s_given_cells_find_all_that_was_computed_ahead(lesson, capsys):
    assert not embedded._spare  # the notebook has taken it
    assert run("shortcut_train", lesson) == set()
    assert run("comparison", lesson) == set()
    # Left are the scores of one's own heatmaps, and the forward passes for them.
    # HiResCAM's may be the same to the last bit.
    assert 4 <= len(run("comparison_scores", lesson)) <= 6
    assert "balanced model: 100% on biased scenes" in capsys.readouterr().out


def test_a_student_s_own_network_gets_what_it_computes(lesson, capsys):
    with torch.no_grad():
        lesson["model"].layer4[1].conv2.weight.mul_(-1)
    assert len(run("shortcut_train", lesson)) == 4
    assert len(run("comparison", lesson)) == 1


def test_a_spare_network_is_given_away_once():
    embedded.keep_spare()
    first, second = embedded.load_stand_in(), embedded.load_stand_in()
    assert not embedded._spare and first is not second
    with torch.no_grad():
        first.fc.bias.add_(1)
    third = embedded.load_stand_in()
    for name, value in second.state_dict().items():
        assert torch.equal(value, third.state_dict()[name])
    assert not torch.equal(first.fc.bias, third.fc.bias)
