"""Watching a call, and describing values."""

import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers.testing import (
    describe,
    difference,
    is_number,
    observe,
    paper_image,
    paper_net,
    read_classes,
    read_heatmap,
)


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()


def nothing(module, *arguments):
    return None


def test_a_clean_call_leaves_nothing_to_report(net):
    call = observe(lambda model, image: model(image), net, torch.ones(1, 2))
    assert call.result.shape == (1, 2)
    assert call.forward_passes == 1
    assert call.error is None and not call.inputs_changed
    assert not (call.hooks_left or call.hooks_lost)
    assert not (call.modes_changed or call.state_changed)


@pytest.mark.parametrize(
    "register",
    [
        lambda model: model[0].register_forward_hook(nothing),
        lambda model: model[0].register_forward_pre_hook(nothing),
        lambda model: model.register_full_backward_hook(nothing),
        lambda model: model[0].weight.register_hook(nothing),
    ],
)
def test_a_hook_that_stays_is_counted(net, register):
    assert observe(register, net).hooks_left == 1


def test_a_hook_that_is_taken_away_is_counted(net):
    net[0].register_forward_hook(nothing)
    call = observe(lambda model: model[0]._forward_hooks.clear(), net)
    assert (call.hooks_left, call.hooks_lost) == (0, 1)


def test_a_hook_that_is_replaced_by_another_counts_on_both_sides(net):
    net[0].register_forward_hook(nothing)

    def replace(model):
        model[0]._forward_hooks.clear()
        model[0].register_forward_hook(lambda *arguments: None)

    call = observe(replace, net)
    assert (call.hooks_left, call.hooks_lost) == (1, 1)


def test_modes_and_buffers_that_change_are_named(net):
    def run_in_train_mode(model, image):
        model.train()
        model(image)

    call = observe(run_in_train_mode, net, torch.rand(4, 2))
    assert call.modes_changed == ["", "0", "1"]
    assert "1.running_mean" in call.state_changed


def test_a_parameter_that_changes_its_shape_only_is_named(net):
    def turn(model):
        model[0].weight.data = model[0].weight.data.reshape(-1)

    assert observe(turn, net).state_changed == ["0.weight"]


def test_inputs_that_change_are_told_by_position():
    def change(number, tensor, array):
        tensor += 1
        array[0] = 5

    call = observe(change, 3, torch.zeros(2), np.zeros(2))
    assert call.inputs_changed == [1, 2]


def test_an_exception_is_reported_with_what_was_left_behind(net):
    def fail(model):
        model[0].register_forward_hook(nothing)
        raise KeyError("layer9")

    call = observe(fail, net)
    assert isinstance(call.error, KeyError) and call.raised == "KeyError('layer9')"
    assert call.hooks_left == 1
    assert observe(len, "word").raised == "no exception"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.tensor([[1.0, -2.0]]), "a float32 tensor of shape [1, 2], values from"),
        (np.zeros((2, 3)), "a float64 NumPy array of shape [2, 3], values from 0 to 0"),
        (torch.tensor([float("nan")]), "with 1 NaN values"),
        (torch.zeros(0, 3), "a float32 tensor of shape [0, 3]"),
        (torch.tensor(281), "an int64 tensor of one number, 281 (item() takes it out)"),
        ([1, 2], "a list of length 2"),
        ({"a": 1}, "a dict with the keys ['a']"),
        (None, "nothing (None; is a return missing?)"),
        ("x" * 100, "... (str)"),
    ],
)
def test_values_are_described_in_a_few_words(value, words):
    assert words in describe(value)


def test_a_heatmap_in_the_place_of_the_class_is_named():
    with pytest.raises(AssertionError, match=r"cam: .* got 281 \(int\).*the first"):
        read_heatmap((281, np.ones((2, 2))))


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "got nothing"),
        ([], "got a list of length 0"),
        ([np.ones((2, 2))], "one of them is a float64 NumPy array of shape"),
        ([(1, 0.5)], "one of them is a tuple of length 2"),
        ([("cat", 0.5, np.ones((2, 2)))], "one class_index is 'cat'"),
    ],
)
def test_what_is_no_list_of_classes_is_named(result, words):
    with pytest.raises(AssertionError, match=words):
        read_classes(result)
    assert read_classes([(1, 0.5, None)]) == [(1, 0.5, None)]


def test_a_difference_names_the_worst_index():
    want, got = torch.zeros(2, 3), torch.zeros(2, 3)
    got[1, 2], got[0, 0] = 0.5, 0.1
    assert difference(want, got) == "at index [1, 2]: expected 0, got 0.5"
    assert difference(want, got.numpy(), tolerance=0.6) == ""


def test_a_difference_in_shape_type_or_nan_is_told_first():
    want = torch.zeros(2, 3)
    assert difference(want, want.T) == "expected shape [2, 3], got shape [3, 2]"
    assert "nothing (None;" in difference(want, None)
    assert difference(want, want * float("nan")) == (
        "expected numbers, got NaN in 6 of 6 values"
    )


def test_a_paper_net_scores_what_its_rows_say():
    net = paper_net([[1.0, 2.0], [0.0, -1.0]], channels=2, pool=2)
    image = paper_image([[4.0, 4.0], [4.0, 4.0]], [[0.0, 4.0], [0.0, 0.0]])
    assert image.shape == (1, 3, 2, 2)
    assert net(image).tolist() == [[6.0, -1.0]]


@pytest.mark.parametrize(
    "number", [0, 0.5, np.float32(0.5), np.float64(1), np.int64(0)]
)
def test_numbers_of_python_and_of_numpy_are_numbers(number):
    assert is_number(number)


@pytest.mark.parametrize(
    "value", [None, True, "0.5", torch.tensor(0.5), np.ones(1), 1j]
)
def test_tensors_arrays_and_truth_values_are_no_numbers(value):
    assert not is_number(value)
