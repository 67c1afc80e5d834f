"""A test cell that finds the lesson's network or image changed says so first."""

import copy
import re

import pytest
import torch
from bank import prepare, read_cells
from right_work import EXPERIMENTS
from torch import nn

from courseai_helpers.testing import require_setup
from courseai_helpers.testing.setup import note_network

IMAGE = torch.zeros(1, 3, 224, 224)
HIDDEN = re.compile(r"^### BEGIN HIDDEN.*?^### END HIDDEN TESTS", re.M | re.S)
# Those that ask for the lesson's network: one of each exercise.
CELLS = (
    "test_capture_activations_shapes",
    "test_grad_cam_form",
    "test_top_class_heatmaps_heatmaps",
)
# What the cells say, where Python does not say it: right answers pass with any image.
SAID = {
    "model_in_train_mode": "`model` is .* it is in train mode",
    "model_with_another_head": "`model` is .* fc.weight is not the same",
    "weights_overwritten": "`model` is .* conv1.weight is not the same",
    "another_network": "`model` is .* the network is not the same",
    "model_in_double_precision": "`model` is .* conv1.weight is not the same",
    "another_image": r"`img_tensor` is .* its shape is \[1, 3, 64, 64\]",
    "layers_removed": "`model` is .* layer4 is not the same",
    "frozen_and_graded": "`model` is .* the network is not the same",
}


@pytest.fixture
def net() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten()).eval()
    note_network(net)
    return net


@pytest.fixture(scope="module")
def cells() -> dict[str, str]:
    return read_cells()


@pytest.fixture(scope="module")
def prepared(cells) -> dict:
    return prepare(cells)


@pytest.fixture
def solved(prepared) -> dict:
    """A notebook's names after its setup and right answers."""
    note_network(prepared["model"])  # another test may have noted another one
    return dict(prepared)


@pytest.mark.parametrize("name", SAID)
def test_a_changed_lesson_is_said_first(cells, solved, name):
    tried = solved | {k: copy.deepcopy(solved[k]) for k in ("model", "img_tensor")}
    exec(EXPERIMENTS[name], tried)
    for cell in CELLS:
        with pytest.raises(AssertionError, match=SAID[name]) as caught:
            exec(HIDDEN.sub("", cells[cell]), tried)
        assert "Run the setup cells again" in str(caught.value)


def test_right_answers_pass_those_cells(cells, solved):
    for cell in CELLS:
        exec(HIDDEN.sub("", cells[cell]), dict(solved))


def test_what_right_answers_work_with_is_let_pass(net):
    net.requires_grad_(False)
    net[0].register_forward_hook(lambda *_: None)
    net[0].weight.grad = torch.ones(2, 3, 1, 1)
    require_setup(net, torch.rand(1, 3, 224, 224))
    require_setup(copy.deepcopy(net), IMAGE)


def test_a_network_without_a_part_lacks_it(net):
    with pytest.raises(AssertionError, match="2 is missing"):
        require_setup(net[:2], IMAGE)
    with pytest.raises(AssertionError, match="`model` is not .* nothing"):
        require_setup(None, IMAGE)


def test_statistics_that_were_gathered_are_a_change(net):
    net.train()(torch.rand(2, 3, 4, 4))
    with pytest.raises(AssertionError, match="1.running_mean is not the same"):
        require_setup(net.eval(), IMAGE)


@pytest.mark.parametrize("image", [None, IMAGE[0], IMAGE.double(), IMAGE.to("meta")])
def test_an_image_of_another_form_is_a_change(net, image):
    with pytest.raises(AssertionError, match="`img_tensor` is not as"):
        require_setup(net, image)


def test_loading_the_network_again_makes_it_good(cells, solved):
    solved["model"] = nn.Flatten()
    exec(cells["setup_model"], solved)
    require_setup(solved["model"], solved["img_tensor"])
