"""The reference solutions: their contracts, and the notebook's copies of them."""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers.grading.examiner import oracles
from courseai_helpers.reference import visualizing_features as reference
from courseai_helpers.reference.visualizing_features import (
    capture_activations,
    filter_to_image,
    grad_cam,
    heat_inside,
    normalize_filters,
    top_class_heatmaps,
)
from courseai_helpers.testing import observe

NOTEBOOK = Path("source/visualizing_features/visualizing_features.ipynb")


def functions_of(code: str) -> dict[str, str]:
    return {
        node.name: ast.dump(node)
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef)
    }


def test_the_notebook_holds_the_reference_solutions(root):
    want = functions_of(Path(reference.__file__).read_text())
    cells = {c.id: c.source for c in nbformat.read(root / NOTEBOOK, 4).cells}
    got = {name: functions_of(cells[name])[name] for name in want}
    assert got == want


def test_normalize_filters_scales_each_filter_by_itself():
    weights = torch.tensor([[[[-1.0, 0.0, 3.0]]], [[[10.0, 12.0, 11.0]]]])
    want = torch.tensor([[[[0.0, 0.25, 1.0]]], [[[0.0, 1.0, 0.5]]]])
    torch.testing.assert_close(normalize_filters(weights), want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_normalize_filters_keeps_the_dtype(dtype):
    assert normalize_filters(torch.rand(2, 3, 4, 5).to(dtype)).dtype == dtype


def test_normalize_filters_turns_a_constant_filter_to_zeros():
    assert (normalize_filters(torch.full((1, 3, 7, 7), -2.0)) == 0).all()


def test_filter_to_image_moves_channels_last():
    example = torch.rand(3, 4, 5, requires_grad=True)
    image = filter_to_image(example)
    assert image.shape == (4, 5, 3)
    assert image[1, 2, 0] == example[0, 1, 2].item()


def test_capture_activations_leaves_no_hook_for_an_unknown_layer():
    net, image = oracles.make_net(seed=1), oracles.make_image(seed=1)
    call = observe(capture_activations, net, image, ["layer4", "layer5"])
    assert isinstance(call.error, AttributeError)
    assert call.hooks_left == 0


@pytest.mark.parametrize("head", ["pool", "flatten", "tanh"])
@pytest.mark.parametrize("last", ["none", "relu"])
def test_grad_cam_agrees_with_the_closed_form(head, last):
    for seed in range(10):
        net = oracles.make_net(head, seed=seed, last=last)
        image = oracles.make_image(seed=seed)
        for wanted in range(oracles.CLASSES):
            got, target_class = grad_cam(net, image, wanted)
            want = oracles.expected_heatmap(net, image, wanted)
            np.testing.assert_allclose(got, want, atol=1e-5)
            assert target_class == wanted


def test_grad_cam_records_gradients_for_the_head_only():
    net, image = oracles.make_net(seed=2), oracles.make_image(seed=2)
    recording = {}
    for name in ("stem", "layer4", "fc"):
        getattr(net, name).register_forward_pre_hook(
            lambda *_, name=name: recording.update({name: torch.is_grad_enabled()})
        )
    grad_cam(net, image)
    assert recording == {"stem": False, "layer4": False, "fc": True}


def test_grad_cam_works_before_a_layer_that_works_in_place():
    net, image = oracles.make_net(seed=3), oracles.make_image(seed=3)
    parts = list(net.named_children())
    parts.insert(2, ("relu", nn.ReLU(inplace=True)))
    rectified = nn.Sequential(oracles.OrderedDict(parts)).eval()
    maps = oracles.feature_maps(net, image)
    assert maps.min() < 0
    share = (maps > 0).float().mean(dim=(1, 2))
    weights = net.fc.weight[1].detach() * share / maps[0].numel()
    want = oracles.heatmap_of(torch.einsum("k,khw->hw", weights, maps), (20, 28))
    np.testing.assert_allclose(grad_cam(rectified, image, 1)[0], want, atol=1e-5)


def test_grad_cam_leaves_gradient_mode_and_model_as_found_when_it_raises():
    net = oracles.make_net("flatten", seed=4).train()
    with torch.no_grad():
        call = observe(grad_cam, net, oracles.make_image(seed=4, size=(16, 16)))
        assert not torch.is_grad_enabled()
    assert isinstance(call.error, RuntimeError)
    assert not (call.hooks_left or call.modes_changed or call.state_changed)


def test_top_class_heatmaps_come_most_probable_first():
    net, image = oracles.make_net("tanh", seed=5), oracles.make_image(seed=5)
    entries = top_class_heatmaps(net, image, k=5)
    probabilities = [probability for _, probability, _ in entries]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    for index, _, cam in entries:
        np.testing.assert_array_equal(cam, grad_cam(net, image, index)[0])


def test_heat_inside_counts_right_and_bottom_out():
    assert heat_inside(np.ones((4, 4)), (1, 1, 3, 2)) == 2 / 16
    assert heat_inside(np.zeros((4, 4)), (0, 0, 4, 4)) == 0.0
