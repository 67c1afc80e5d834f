"""Pictures made to excite a channel: what they do, and what they leave behind."""

import numpy as np
import pytest
import torch

from courseai_helpers.explain import optimize_image
from courseai_helpers.images import crop_seen, load_photo, preprocess_crop
from courseai_helpers.models import load_stand_in
from courseai_helpers.reference.visualizing_features import capture_activations
from courseai_helpers.testing import observe

PHOTOS = ("motorcycle", "cat", "coffee", "rocket", "astronaut", "photographer")
SIZES = {"layer1": 64, "layer2": 72, "layer3": 80, "layer4": 96, "fc": 96}


@pytest.fixture(scope="module")
def model():
    return load_stand_in()


def excite(model, picture, layer: str, channel: int) -> float:
    image = preprocess_crop(picture)[None]
    return capture_activations(model, image, [layer])[layer][0, channel].mean().item()


@pytest.mark.parametrize("layer", SIZES)
def test_it_excites_the_channel_more_than_any_photo_does(model, layer):
    photos = [crop_seen(load_photo(name)) for name in PHOTOS]
    for seed, channel in enumerate((285, 3) if layer == "fc" else (5, 50)):
        picture = optimize_image(model, layer, channel, size=SIZES[layer], seed=seed)
        most = max(excite(model, photo, layer, channel) for photo in photos)
        assert excite(model, picture, layer, channel) > most


def test_the_same_seed_makes_the_same_picture_and_nothing_is_left_behind(model):
    def make(model, seed):
        return optimize_image(model, "layer1", 3, size=32, seed=seed)

    with torch.no_grad():  # a caller's own setting must not matter
        call = observe(make, model, 1)
    assert call.error is None and call.result.size == (32, 32)
    assert not (call.hooks_left or call.modes_changed or call.state_changed)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert np.array_equal(call.result, make(model, 1))
    assert not np.array_equal(call.result, make(model, 2))


def test_an_unknown_layer_is_named(model):
    with pytest.raises(AttributeError, match="layer5"):
        optimize_image(model, "layer5", 0)
