"""Other methods beside Grad-CAM, and the numbers that compare heatmaps."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers.explain import (
    compute_other_heatmaps,
    correlate_ranks,
    make_random_heatmaps,
    methods,
    randomize_layers,
    score_heatmaps,
)
from courseai_helpers.reference.visualizing_features import grad_cam

needs_methods = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("captum", "torchcam"))),
    reason="The extra `methods` is not installed.",
)


class CornerNet(nn.Module):
    """Looks for red; class 0 grows with it, class 1 with its absence."""

    def __init__(self):
        super().__init__()
        self.layer4 = nn.Conv2d(3, 2, 16, stride=16, bias=False)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.layer4.weight.zero_()
            self.layer4.weight[:, 0] = 1 / 256
            self.fc.weight.copy_(torch.tensor([[4.0, 4.0], [-4.0, -4.0]]))

    def forward(self, images):
        return self.fc(self.avgpool(self.layer4(images)).flatten(1))


@pytest.fixture
def model() -> nn.Module:
    return CornerNet().eval()


@pytest.fixture
def image() -> torch.Tensor:
    """Red in the lower left corner, nothing elsewhere; not square."""
    picture = torch.zeros(1, 3, 128, 192)
    picture[:, 0, 64:, :64] = 3.0
    return picture


RIGHT = np.zeros((128, 192))
RIGHT[64:, :64] = 1.0


@needs_methods
def test_every_method_finds_what_the_class_depends_on(model, image):
    maps = compute_other_heatmaps(model, image, 0)
    assert list(maps) == ["Grad-CAM++", "HiResCAM", "Score-CAM", "occlusion"]
    for name, cam in maps.items():
        assert cam.shape == (128, 192), name
        assert cam.min() >= 0 and cam.max() == pytest.approx(1), name
        assert cam[64:, :64].sum() > 0.6 * cam.sum(), name


@needs_methods
def test_a_class_that_nothing_speaks_for_has_an_empty_heatmap(model, image):
    maps = compute_other_heatmaps(model, image, 1)
    for name in ("HiResCAM", "occlusion"):
        assert not maps[name].any(), name
    assert not any(np.isnan(cam).any() for cam in maps.values())


@needs_methods
def test_hirescam_is_grad_cam_where_a_pooled_linear_head_follows(model, image):
    maps = compute_other_heatmaps(model, image, 0)
    np.testing.assert_allclose(
        maps["HiResCAM"], grad_cam(model, image, 0)[0], atol=1e-5
    )


@needs_methods
def test_the_methods_leave_the_model_and_stderr_as_they_were(model, image, capfd):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():  # a caller's own setting must not matter
            compute_other_heatmaps(model, image, 0)
    assert capfd.readouterr() == ("", "")
    assert not model.training and not image.requires_grad
    assert all(torch.equal(model.state_dict()[n], v) for n, v in before.items())
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert not module._backward_hooks


def test_without_the_extra_one_sentence_says_what_to_install(
    model, image, capsys, monkeypatch
):
    monkeypatch.setattr(methods.importlib.util, "find_spec", lambda name: None)
    assert compute_other_heatmaps(model, image, 0) == {}
    said = capsys.readouterr()
    assert 'need captum and torchcam. To see them, run pip install -e ".[methods]"' in (
        said.out
    )
    assert said.err == ""


class Corner(nn.Module):
    """Scores class 0 by the upper left quarter of 70x70 pixels, class 1 against it."""

    def forward(self, images):
        mean = images[..., :35, :35].mean(dim=(1, 2, 3))
        return torch.stack([mean, -mean], dim=1)


@pytest.fixture
def dot() -> torch.Tensor:
    """One bright pixel in the middle of that quarter."""
    image = torch.zeros(1, 3, 70, 70)
    image[..., 17, 17] = 1000.0
    return image


def test_the_score_is_the_area_between_insertion_and_deletion(dot):
    quarter = np.zeros((70, 70))
    quarter[:35, :35] = 1
    # The blurred dot has left the quarter in part; that part is 0, all of it is 1. The
    # hottest third of the pixels holds the whole quarter, so that the curves are, at 0,
    # 1/3, 2/3 and 1, by hand: insertion 0, 1, 1, 1; deletion 1, 0, 0, 0.
    scores = score_heatmaps(Corner(), dot, {"best": [quarter], "worst": [-quarter]}, 0)
    assert scores["best"] == pytest.approx([2 / 3], abs=1e-3)
    assert scores["worst"] == pytest.approx([-2 / 3], abs=1e-3)


def test_random_heatmaps_score_zero_on_average_and_differ_with_the_seed(dot):
    maps = make_random_heatmaps(200, (70, 70))
    assert all(map.shape == (70, 70) and map.max() == 1 for map in maps)
    assert not any(map.min() < 0 for map in maps)
    again, other = (make_random_heatmaps(5, (70, 70), seed)[4] for seed in (0, 1))
    assert not np.array_equal(again, other)
    assert np.array_equal(again, make_random_heatmaps(5, (70, 70))[4])
    scores = score_heatmaps(Corner(), dot, {"random": maps}, 0)["random"]
    assert abs(np.mean(scores)) < 0.1 * np.std(scores) + 0.1


def test_a_class_that_a_blurred_photo_scores_higher_is_refused(dot):
    with pytest.raises(ValueError, match="there is nothing to measure"):
        score_heatmaps(Corner(), dot, {"flat": [np.ones((70, 70))]}, 1)


def test_layers_are_forgotten_from_the_top_down():
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 4, 3))
    network.add_module("bn1", nn.BatchNorm2d(4))
    network.add_module("layer4", nn.Conv2d(4, 4, 3))
    network.add_module("fc", nn.Linear(4, 2))
    network.bn1.weight.data.fill_(7)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    copies = randomize_layers(network, seed=3)
    changed = {
        name: {
            key.split(".")[0]
            for key, value in copied.state_dict().items()
            if not torch.equal(value, state[key])
        }
        for name, copied in copies.items()
    }
    assert changed == {
        "fc": {"fc"},
        "layer4": {"fc", "layer4"},
        "conv1": {"fc", "layer4", "bn1", "conv1"},
    }
    assert all(torch.equal(network.state_dict()[n], v) for n, v in state.items())


def test_forgetting_is_the_same_every_time_and_disturbs_no_other_random_numbers():
    network = nn.Sequential(nn.Linear(3, 3))
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    first = randomize_layers(network)["0"][0].weight
    assert torch.equal(torch.rand(3), want)
    assert torch.equal(first, randomize_layers(network)["0"][0].weight)
    assert not torch.equal(first, randomize_layers(network, seed=1)["0"][0].weight)


def test_rank_correlation_compares_orders_and_not_sizes():
    cam = np.random.default_rng(0).random((9, 12))
    assert correlate_ranks(cam, cam**3) == pytest.approx(1)
    assert correlate_ranks(cam, -cam) == pytest.approx(-1)
    other = np.random.default_rng(1).random((9, 12))
    assert abs(correlate_ranks(cam, other)) < 0.3
    assert correlate_ranks(cam, np.zeros((9, 12))) == 0.0


def test_equal_values_share_a_rank():
    # By hand: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    got = correlate_ranks(np.array([[0.0, 5, 5, 9]]), np.array([[0.0, 1, 2, 3]]))
    assert got == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_heatmaps_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="of one size"):
        correlate_ranks(np.zeros((3, 4)), np.zeros((4, 3)))
