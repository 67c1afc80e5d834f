"""Watching a layer: what the `with` block gives, and what it leaves behind."""

import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers.grading.examiner import oracles
from courseai_helpers.models import watch_layer
from courseai_helpers.testing import observe


@pytest.fixture
def net() -> nn.Module:
    return oracles.make_net("flatten", seed=1)


@pytest.fixture
def image() -> torch.Tensor:
    return oracles.make_image(seed=1)


def ask(net: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Returns the gradient of the first class score at layer4."""
    with watch_layer(net, "layer4") as watched:
        scores = net(image)
        return torch.autograd.grad(scores[0, 0], watched.activations)[0]


def test_it_gives_the_activations_and_their_gradient(net, image):
    with watch_layer(net, "layer4") as watched:
        net(image)
    maps = watched.activations.detach()[0]
    np.testing.assert_allclose(maps, oracles.feature_maps(net, image), atol=1e-6)
    want = net.fc.weight[0].detach().view(1, *maps.shape)
    torch.testing.assert_close(ask(net, image), want)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("turned_off", [torch.no_grad, torch.enable_grad])
def test_it_works_with_frozen_weights_and_whatever_the_caller_records(
    net, image, frozen, turned_off
):
    want = ask(net, image)
    net.requires_grad_(not frozen)
    with turned_off():
        before = torch.is_grad_enabled()
        torch.testing.assert_close(ask(net, image), want)
        assert torch.is_grad_enabled() is before
    assert all(p.requires_grad is not frozen for p in net.parameters())


def test_a_model_in_train_mode_answers_in_eval_mode_and_keeps_its_modes(net, image):
    want = ask(net, image)
    net.train()
    net.layer4.eval()
    call = observe(ask, net, image)
    torch.testing.assert_close(call.result, want)
    assert not (call.hooks_left or call.modes_changed or call.state_changed)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind_when_the_block_raises(net, image, error):
    def fail(net, image):
        with watch_layer(net, "layer4"):
            net(image)
            raise error

    net.train()
    before = torch.is_grad_enabled()
    with pytest.raises(error):
        fail(net, image)
    assert torch.is_grad_enabled() is before
    assert all(module.training for module in net.modules())
    assert not net.layer4._forward_hooks


def test_a_later_layer_in_place_changes_neither_the_maps_nor_the_gradient(image):
    net = oracles.make_net("relu", seed=3)
    maps = oracles.feature_maps(net, image)
    assert maps.min() < 0
    with watch_layer(net, "layer4") as watched:
        net(image)
    np.testing.assert_allclose(watched.activations.detach()[0], maps, atol=1e-6)


def test_only_what_comes_after_the_layer_is_recorded(net, image):
    recording = {}
    for name in ("stem", "layer4", "fc"):
        getattr(net, name).register_forward_pre_hook(
            lambda *_, name=name: recording.update({name: torch.is_grad_enabled()})
        )
    ask(net, image)
    assert recording == {"stem": False, "layer4": False, "fc": True}


def test_activations_before_the_model_has_run_say_what_to_do(net):
    with watch_layer(net, "layer4") as watched:
        with pytest.raises(RuntimeError, match=r"scores = model\(img_tensor\)"):
            watched.activations  # noqa: B018


def test_an_unknown_layer_is_named_and_changes_nothing(net):
    net.train()
    with pytest.raises(AttributeError, match="layer5"):
        with watch_layer(net, "layer5"):
            pass
    assert all(module.training for module in net.modules())
