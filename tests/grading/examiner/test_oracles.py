"""The closed forms of the hidden tests, against gradients by finite differences."""

import pytest
import torch

from courseai_helpers.grading.examiner import oracles


def head_of(net: torch.nn.Sequential) -> torch.nn.Sequential:
    return net[2:].double()


@pytest.mark.parametrize("head", ["pool", "flatten", "tanh", "relu"])
def test_channel_weights_are_averages_of_numerical_gradients(head):
    net, image = oracles.make_net(head, seed=6), oracles.make_image(seed=6)
    weights = oracles.channel_weights(net, image, 2).double()
    maps = oracles.feature_maps(net, image)[None].double()
    step = 1e-5
    for channel in range(oracles.CHANNELS):
        # Raising a whole channel sums the gradients over its cells.
        raised, lowered = maps.clone(), maps.clone()
        raised[0, channel] += step
        lowered[0, channel] -= step
        with torch.no_grad():
            change = (head_of(net)(raised) - head_of(net)(lowered))[0, 2] / (2 * step)
        mean = change.item() / maps[0, 0].numel()
        assert weights[channel].item() == pytest.approx(mean, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("head", ["pool", "flatten", "tanh", "relu"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_positive_case_is_positive_and_its_class_is_predicted(head, seed):
    net, image, wanted = oracles.make_positive_case(head, seed=seed)
    heat = oracles.expected_heatmap(net, image, wanted)
    assert heat.min() > 0
    assert int(net(image).argmax()) == wanted


def test_a_flat_or_broken_heatmap_correlates_with_nothing():
    import numpy as np

    want = np.random.default_rng(0).random((4, 5))
    assert oracles.correlation(want, np.zeros((4, 5))) == 0
    assert oracles.correlation(want, np.full((4, 5), np.nan)) == 0
    assert oracles.correlation(want, 3 * want + 1) == pytest.approx(1)


def test_a_salt_means_other_numbers_and_the_same_salt_the_same():
    usual = oracles.make_image(seed=1)
    try:
        oracles.set_salt(7)
        salted = oracles.make_image(seed=1)
        assert not torch.equal(salted, usual)
        assert torch.equal(salted, oracles.make_image(seed=1))
    finally:
        oracles.set_salt(0)
    assert torch.equal(oracles.make_image(seed=1), usual)
