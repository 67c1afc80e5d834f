"""Results are remembered by content, and are never the results of something else."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers._common import cache
from courseai_helpers._common.cache import remember


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(cache, "_known", {})


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)
    return nn.Sequential(*layers).eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))


class Counter:
    """Counts how often something had to be computed."""

    def __init__(self):
        self.count = 0
        self.compute = remember(self._compute)

    def _compute(self, model, image, place=0):
        self.count += 1
        with torch.no_grad():
            return {"scores": model(image)[:, place]}


def test_the_same_question_is_answered_from_memory_to_the_last_bit(network, image):
    counter = Counter()
    first = counter.compute(network, image)["scores"]
    again = counter.compute(copy.deepcopy(network), image.clone())["scores"]
    assert counter.count == 1
    assert torch.equal(first, again) and torch.equal(first, network(image)[:, 0])


def test_who_changes_an_answer_changes_nobody_else_s(network, image):
    counter = Counter()
    want = counter.compute(network, image)["scores"].clone()
    counter.compute(network, image)["scores"].zero_()
    assert torch.equal(counter.compute(network, image)["scores"], want)


def change_weight_through_data(network):
    network[0].weight.data[0, 0, 0, 0] += 1e-3


def change_buffer(network):
    network[1].running_mean[2] += 1e-3


def change_mode(network):
    network.train()


def change_structure(network):
    network[0].stride = (2, 2)
    network[3] = nn.LazyLinear(2)
    network(torch.rand(1, 3, 6, 6))


def add_hook(network):
    network[1].register_forward_hook(lambda module, inputs, output: output * 2)


def replace_forward(network):
    network[2].forward = lambda maps: maps.flatten(1) * 2


@pytest.mark.parametrize(
    "change",
    [
        change_weight_through_data,
        change_buffer,
        change_mode,
        change_structure,
        add_hook,
        replace_forward,
    ],
)
def test_a_changed_network_is_asked_anew(network, image, change):
    counter = Counter()
    before = counter.compute(network, image)["scores"]
    change(network)
    after = counter.compute(network, image)["scores"]
    assert counter.count == 2 and not torch.equal(before, after)


def test_a_replaced_forward_of_a_class_is_noticed(network, image, monkeypatch):
    counter = Counter()
    before = counter.compute(network, image)["scores"]
    forward = nn.Flatten.forward
    monkeypatch.setattr(nn.Flatten, "forward", lambda self, x: forward(self, x) * 2)
    assert not torch.equal(counter.compute(network, image)["scores"], before)


def test_a_network_of_one_s_own_is_asked_every_time(image):
    class Own(nn.Module):
        def forward(self, image):
            return image.flatten(1)

    counter = Counter()
    for _ in range(2):
        counter.compute(Own(), image)
    assert counter.count == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda image: (image + 1e-6, 0),
        lambda image: (image.transpose(2, 3), 0),
        lambda image: (image.double().float(), 1),
    ],
)
def test_other_inputs_are_another_question(network, image, change):
    counter = Counter()
    counter.compute(network, image, 0)
    counter.compute(network, *change(image))
    assert counter.count == 2


def test_shape_and_type_of_an_input_matter():
    counter = Counter()
    network = nn.Sequential(nn.Flatten())
    for image in (torch.zeros(2, 3), torch.zeros(3, 2), torch.zeros(3, 2).double()):
        counter.compute(network, image)
    compute = remember(lambda model, value: np.array(value).dtype)
    assert compute(network, np.zeros(2)) != compute(network, np.zeros(2, np.float32))
    assert compute(network, 1) != compute(network, 1.0)
    assert counter.count == 3


def test_the_oldest_answer_makes_room(network, image, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 2)
    counter = Counter()
    for place in (0, 1, 0):
        counter.compute(network, image, place)
    assert counter.count == 2
    counter.compute(network, image + 1, 0)  # forgets place 0
    counter.compute(network, image, 1)
    assert counter.count == 3
    counter.compute(network, image, 0)
    assert counter.count == 4
