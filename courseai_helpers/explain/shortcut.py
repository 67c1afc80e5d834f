"""The shortcut laboratory: scenes whose background gives the label away.

A red cup or a blue one, cut out of a bundled photo, stands on grass or on gravel. In
biased scenes every red cup is on grass and every blue one on gravel; in swapped ones it
is the other way round; in balanced ones each is on both. A linear classifier on the
frozen network's pooled features then learns what sets the classes of its training
scenes apart.

The objects are alike on purpose, as wolves and huskies are: a network that was trained
on ImageNet tells a cat from a cup so well that no ground can mislead it.
"""

import copy
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from torch import nn

from courseai_helpers.images.decoding import load_image
from courseai_helpers.images.photos import load_photo
from courseai_helpers.images.preprocessing import CROP, preprocess_crop

LABELS = ("red cup", "blue cup")
WEIGHT_PENALTY = 0.01
SIDES = (88, 112)  # of the object's longer side, in pixels
BATCH = 8  # scenes; more of them are no faster and take more memory
# In the pixels of the photo, measured by eye: ellipses, as boxes around them.
SAUCER, CUP = (78, 50, 479, 388), (174, 18, 406, 206)
# Textures and the two colors, dark and light, that a gray one is painted with.
GROUNDS = (
    ("grass.png", "#10240c", "#b5cc74"),
    ("gravel.png", "#1b1f2b", "#d9d4ce"),
)


class Scene(NamedTuple):
    """One labeled picture of the laboratory.

    Attributes:
        image: RGB image, 224x224 pixels.
        label: 0 for a red cup, 1 for a blue one.
        ground: 0 for grass, 1 for gravel.
        box: The object's box (left, top, right, bottom) in pixels, right and bottom
            exclusive.
    """

    image: Image.Image
    label: int
    ground: int
    box: tuple[int, int, int, int]


def make_scenes(kind: str, count: int, *, seed: int) -> list[Scene]:
    """Makes scenes with as many red cups as blue ones.

    Args:
        kind: "biased" (red cups on grass, blue ones on gravel), "swapped" (the other
            way round) or "balanced" (each on both).
        count: How many, a multiple of 4.
        seed: The same seed makes the same scenes.

    Raises:
        ValueError: If there is no such kind.
    """
    grounds = {"biased": (0, 0), "swapped": (1, 1), "balanced": (0, 1)}
    if kind not in grounds:
        raise ValueError(f"kind must be one of {', '.join(grounds)}, not {kind!r}")
    random = np.random.default_rng([seed, *kind.encode()])
    scenes = []
    for index in range(count):
        label = index % 2
        ground = label ^ grounds[kind][index // 2 % 2]
        scenes.append(_make_scene(label, ground, random))
    return scenes


def compute_features(model: nn.Module, scenes: list[Scene]) -> torch.Tensor:
    """Computes the input of a network's last layer for some scenes.

    Args:
        model: A ResNet, or a classifier that `train_classifier` returned.
        scenes: What to show it.

    Returns:
        Float tensor [N, 512] on the CPU: the maps of `layer4`, averaged.
    """
    trunk = nn.Sequential(*list(model.children())[:-1])
    images = torch.stack([preprocess_crop(scene.image) for scene in scenes])
    device = next(trunk.parameters()).device
    with torch.no_grad():
        images = images.to(device, memory_format=torch.channels_last)  # for speed
        parts = [trunk(part).cpu() for part in images.split(BATCH)]
    return torch.cat(parts).flatten(1)


def train_classifier(model: nn.Module, scenes: list[Scene]) -> nn.Module:
    """Trains a linear classifier on the frozen network's features of the scenes.

    It is logistic regression on the pooled features of `layer4`, started from zero, so
    that the same scenes give the same classifier.

    Args:
        model: A ResNet in eval mode; it is left as it is.
        scenes: The training scenes.

    Returns:
        The network with the classifier in the place of `fc`: images [N, 3, 224, 224]
        to class scores [N, 2]. All other layers are shared with `model`.
    """
    features = compute_features(model, scenes)
    labels = torch.tensor([scene.label for scene in scenes])
    # Without a bias every answer has evidence in the picture, and so a heatmap.
    head = nn.Linear(features.shape[1], len(LABELS), bias=False)
    nn.init.zeros_(head.weight)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def compute_loss() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(head(features), labels)
        loss = loss + WEIGHT_PENALTY * head.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(compute_loss)
    classifier = copy.copy(model)
    classifier._modules = dict(model._modules)
    classifier.fc = head.to(model.fc.weight.device)
    return classifier


def measure_accuracy(
    classifier: nn.Module, features: torch.Tensor, scenes: list[Scene]
) -> float:
    """Measures the share of scenes that a classifier names rightly, in [0, 1].

    Args:
        classifier: A network that `train_classifier` returned.
        features: The scenes' features [N, 512], as `compute_features` returns them.
        scenes: The scenes.
    """
    with torch.no_grad():
        predicted = classifier.fc(features.to(classifier.fc.weight.device)).argmax(1)
    labels = torch.tensor([scene.label for scene in scenes])
    return (predicted.cpu() == labels).float().mean().item()


def _make_scene(label: int, ground: int, random: np.random.Generator) -> Scene:
    scene = _paint_ground(ground, random)
    cutout = _cut_out(label)
    if random.random() < 0.5:
        cutout = ImageOps.mirror(cutout)
    cutout = cutout.rotate(random.uniform(-20, 20), Image.Resampling.BICUBIC, True)
    cutout = cutout.crop(cutout.getchannel("A").getbbox())
    side = random.uniform(*SIDES)
    cutout.thumbnail((side, side), Image.Resampling.LANCZOS)
    left = int(random.integers(4, CROP - cutout.width - 4))
    top = int(random.integers(4, CROP - cutout.height - 4))
    color = ImageEnhance.Brightness(cutout.convert("RGB")).enhance(
        random.uniform(0.8, 1.15)
    )
    scene.paste(color, (left, top), cutout.getchannel("A"))
    box = (left, top, left + cutout.width, top + cutout.height)
    return Scene(scene, label, ground, box)


def _paint_ground(ground: int, random: np.random.Generator) -> Image.Image:
    name, dark, light = GROUNDS[ground]
    texture = _load_texture(name)
    side = int(random.integers(CROP, texture.width))
    left, top = (int(random.integers(texture.width - side + 1)) for _ in range(2))
    piece = texture.crop((left, top, left + side, top + side)).resize((CROP, CROP))
    if random.random() < 0.5:
        piece = ImageOps.mirror(piece)
    return ImageOps.colorize(piece, dark, light)


@cache
def _load_texture(name: str) -> Image.Image:
    data = files("skimage.data").joinpath(name).read_bytes()
    return ImageOps.autocontrast(load_image(data).convert("L"), cutoff=1)


@cache
def _cut_out(label: int) -> Image.Image:
    """Cuts the cup out of its photo: RGBA, transparent around it."""
    photo = load_photo("coffee")
    mask = Image.new("L", photo.size)
    draw = ImageDraw.Draw(mask)
    draw.ellipse(SAUCER, fill=255)
    draw.ellipse(CUP, fill=255)
    red, green, blue = photo.split()
    colors = (blue, green, red) if label else (red, green, blue)
    cutout = Image.merge("RGBA", (*colors, mask.filter(ImageFilter.GaussianBlur(2))))
    # Half the size is still more than a scene shows, and turns four times as fast.
    return cutout.crop(mask.getbbox()).reduce(2)
