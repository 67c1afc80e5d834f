"""Batches for training the embedded stand-in: augmented, with soft targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from distillation_photos import TEACHER_SIZE, cut_boxes
from distillation_teacher import Crops
from torch.nn import functional as F

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
TEMPERATURE = 1.0  # at 2, ranks below 200 would hold half of the probability
JITTER = 0.25  # brightness, contrast and saturation change by up to this share


@dataclass
class Batch:
    """What one replica learns from in one step.

    Attributes:
        images: [B, 3, S, S] float32, standardized as for ImageNet, channels last.
        targets: [B, 1000] float32 probabilities, the teacher's at `TEMPERATURE`.
        features: [B, F] float32, the teacher's standardized pooled features.
    """

    images: torch.Tensor
    targets: torch.Tensor
    features: torch.Tensor


class Sampler:
    """Draws crops of rare classes more often than their number would give them."""

    def __init__(self, sources: Sequence[Crops], seed: int):
        """Prepares the drawing.

        Args:
            sources: What to draw from; every batch has as many of each.
            seed: What every batch depends on, with the number of the step.
        """
        self.sources, self.seed = sources, seed
        self.weights = [weigh_by_class(crops.logits) for crops in sources]
        crops = sources[0]
        sample = np.asarray(crops.features[:: max(1, len(crops) // 4000)], np.float32)
        self.center = torch.from_numpy(sample.mean(axis=0))
        self.spread = torch.from_numpy(sample.std(axis=0)).clamp(min=1e-3)

    def draw(self, step: int, part: int, count: int, size: int) -> Batch:
        """Makes the batch that one replica sees in one step, always the same one."""
        state = np.random.SeedSequence((self.seed, step, part)).generate_state(1)
        random = torch.Generator().manual_seed(int(state[0]))
        drawn = [
            draw_crops(crops, weights, count // len(self.sources), size, random)
            for crops, weights in zip(self.sources, self.weights, strict=True)
        ]
        images, logits, features = (
            torch.cat(part) for part in zip(*drawn, strict=True)
        )
        return Batch(
            standardize(augment(images, random)),
            (logits / TEMPERATURE).softmax(dim=1),
            (features - self.center) / self.spread,
        )


def weigh_by_class(logits: np.ndarray) -> torch.Tensor:
    """Returns a weight for each crop, smaller the more crops share its class."""
    classes = torch.from_numpy(np.asarray(logits, dtype=np.float32)).argmax(1)
    return torch.bincount(classes).float()[classes].rsqrt()


def draw_crops(
    crops: Crops, weights: torch.Tensor, count: int, size: int, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draws crops by weight: images of this size, the teacher's scores, features."""
    chosen = torch.multinomial(weights, count, replacement=True, generator=random)
    chosen = chosen.numpy()
    return (
        prepare_images(crops.images[chosen], size),
        torch.from_numpy(crops.logits[chosen]).float(),
        torch.from_numpy(crops.features[chosen]).float(),
    )


def prepare_images(images: np.ndarray, size: int) -> torch.Tensor:
    """Turns [N, H, W, 3] uint8 into [N, 3, size, size] float32 in [0, 1]."""
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return pixels.float().div_(255)


def standardize(images: torch.Tensor) -> torch.Tensor:
    """Returns the images with ImageNet's mean and deviation, channels last."""
    return ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def load_center_crops(photos: list[Path]) -> Iterator[torch.Tensor]:
    """Yields photo files in batches as the networks see them: [N, 3, 224, 224]."""
    for start in range(0, len(photos), 32):
        crops = [cut_boxes(photo, 0, (0,))[0] for photo in photos[start : start + 32]]
        yield standardize(prepare_images(np.concatenate(crops), TEACHER_SIZE))


def augment(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Mirrors half of the images and changes their colors a little."""
    count = len(images)
    mirrored = torch.rand(count, 1, 1, 1, generator=random) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    brightness, contrast, saturation = 1 + JITTER * (
        2 * torch.rand(3, count, 1, 1, 1, generator=random) - 1
    )
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + saturation * (images - gray)
    return (mean + contrast * (images - mean)).clamp_(0, 1)
