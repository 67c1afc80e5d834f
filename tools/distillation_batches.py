"""Batches for training the embedded stand-in: augmented, mixed, with soft targets."""

from dataclasses import dataclass

import numpy as np
import torch
from distillation_data import Crops
from torch.nn import functional as F

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
TEMPERATURE = 1.0  # at 2, ranks below 200 would hold half of the probability
JITTER = 0.25  # brightness, contrast and saturation change by up to this share
MIXED_SHARE = 0.2  # of the batches; half of these are blended, half get a patch


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

    def __init__(self, crops: Crops, seed: int):
        """Prepares the drawing.

        Args:
            crops: What to draw from.
            seed: What every batch depends on, with the number of the step.
        """
        self.crops, self.seed = crops, seed
        classes = torch.from_numpy(np.asarray(crops.logits, dtype=np.float32)).argmax(1)
        self.weights = torch.bincount(classes, minlength=1).float()[classes].rsqrt()
        sample = np.asarray(crops.features[:: max(1, len(crops) // 4000)], np.float32)
        self.center = torch.from_numpy(sample.mean(axis=0))
        self.spread = torch.from_numpy(sample.std(axis=0)).clamp(min=1e-3)

    def draw(self, step: int, part: int, count: int, size: int) -> Batch:
        """Makes the batch that one replica sees in one step, always the same one."""
        state = np.random.SeedSequence((self.seed, step, part)).generate_state(1)
        random = torch.Generator().manual_seed(int(state[0]))
        chosen = torch.multinomial(
            self.weights, count, replacement=True, generator=random
        ).numpy()
        logits = torch.from_numpy(self.crops.logits[chosen]).float()
        features = torch.from_numpy(self.crops.features[chosen]).float()
        batch = Batch(
            augment(prepare_images(self.crops.images[chosen], size), random),
            (logits / TEMPERATURE).softmax(dim=1),
            (features - self.center) / self.spread,
        )
        mix(batch, random)
        batch.images = standardize(batch.images)
        return batch


def prepare_images(images: np.ndarray, size: int) -> torch.Tensor:
    """Turns [N, H, W, 3] uint8 into [N, 3, size, size] float32 in [0, 1]."""
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return pixels.float().div_(255)


def standardize(images: torch.Tensor) -> torch.Tensor:
    """Returns the images with ImageNet's mean and deviation, channels last."""
    return ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)


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


def mix(batch: Batch, random: torch.Generator) -> None:
    """Blends some batches with themselves in another order, or swaps a patch.

    Source: Zhang et al. 2018, https://arxiv.org/abs/1710.09412 (blending); Yun et al.
    2019, https://arxiv.org/abs/1905.04899 (patches).
    """
    kind, share = torch.rand(2, generator=random).tolist()
    if kind >= MIXED_SHARE:
        return
    images, size = batch.images, batch.images.shape[-1]
    partner = torch.randperm(len(images), generator=random)
    if kind < MIXED_SHARE / 2:
        batch.images = torch.lerp(images[partner], images, share)
    else:
        side = round(size * (1 - share) ** 0.5)
        top, left = torch.randint(size - side + 1, (2,), generator=random).tolist()
        rows, columns = slice(top, top + side), slice(left, left + side)
        images[:, :, rows, columns] = images[partner][:, :, rows, columns]
        share = 1 - (side / size) ** 2
    batch.targets = torch.lerp(batch.targets[partner], batch.targets, share)
    batch.features = torch.lerp(batch.features[partner], batch.features, share)
