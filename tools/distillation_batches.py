"""Batches for training the embedded stand-in: augmented, with soft targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from distillation_crops import Crops
from distillation_photos import TEACHER_SIZE, cut_boxes
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
        features: [B, F, 4, 4] float32, the teacher's standardized features.
    """

    images: torch.Tensor
    targets: torch.Tensor
    features: torch.Tensor


class Sampler:
    """Draws crops of rare classes more often than their number would give them."""

    def __init__(self, crops: Crops, seed: int, device: str = "cpu"):
        """Prepares the drawing.

        Args:
            crops: What to draw from.
            seed: What every batch depends on, with the number of the step.
            device: Where the batches are made.
        """
        self.seed, self.device = seed, device
        sample = np.asarray(crops.features[:1000], np.float32)
        place = (0, 2, 3)
        self.center, spread = (
            torch.from_numpy(measure(place, keepdims=True)).to(device)
            for measure in (sample.mean, sample.std)
        )
        self.spread = spread.clamp(min=1e-3)
        self.use(crops)

    def use(self, crops: Crops) -> None:
        """Draws from these crops from now on; features are standardized as before."""
        self.crops, self.weights = crops, weigh_by_class(crops.logits)

    def draw(self, step: int, part: int, count: int, size: int) -> Batch:
        """Makes the batch that one replica sees in one step."""
        state = np.random.SeedSequence((self.seed, step, part)).generate_state(1)
        random = torch.Generator().manual_seed(int(state[0]))
        crops = self.crops
        chosen = torch.multinomial(self.weights, count, True, generator=random).numpy()
        images = prepare_images(crops.images[chosen], size, self.device)
        logits, features = (
            torch.from_numpy(values[chosen]).to(self.device).float()
            for values in (crops.logits, crops.features)
        )
        features = (features - self.center) / self.spread
        mirrored = torch.rand(count, 1, 1, 1, generator=random).to(self.device) < 0.5
        images, features = (
            torch.where(mirrored, values.flip(3), values)
            for values in (images, features)
        )
        return Batch(
            standardize(change_colors(images, random)),
            (logits / TEMPERATURE).softmax(dim=1),
            features,
        )


def weigh_by_class(logits: np.ndarray) -> torch.Tensor:
    """Returns a weight for each crop, smaller the more crops share its class."""
    classes = torch.from_numpy(np.argmax(logits, axis=1))
    return torch.bincount(classes).float()[classes].rsqrt()


def prepare_images(images: np.ndarray, size: int, device: str = "cpu") -> torch.Tensor:
    """Turns [N, H, W, 3] uint8 into [N, 3, size, size] float32 in [0, 1]."""
    pixels = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2)
    if pixels.is_cuda:
        pixels = pixels.float()  # only the CPU resizes bytes
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return pixels.float().div_(255)


def standardize(images: torch.Tensor) -> torch.Tensor:
    """Returns the images with ImageNet's mean and deviation, channels last."""
    mean, std = MEAN.to(images.device), STD.to(images.device)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def load_center_crops(photos: list[Path]) -> Iterator[torch.Tensor]:
    """Yields photo files in batches as the networks see them: [N, 3, 224, 224]."""
    for start in range(0, len(photos), 32):
        crops = [cut_boxes(photo, 0, (0,))[0] for photo in photos[start : start + 32]]
        yield standardize(prepare_images(np.concatenate(crops), TEACHER_SIZE))


def change_colors(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Changes brightness, contrast and saturation of each image a little."""
    count = len(images)
    drawn = 2 * torch.rand(3, count, 1, 1, 1, generator=random) - 1
    brightness, contrast, saturation = 1 + JITTER * drawn.to(images.device)
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + saturation * (images - gray)
    return (mean + contrast * (images - mean)).clamp_(0, 1)


def round_where_faster(device: str) -> torch.autocast:
    """Returns a context that computes in bfloat16 where the processor can.

    Others imitate it, and take eight times as long as with float32.
    """
    able = torch.cpu.get_capabilities()
    enabled = device != "cpu" or able.get("amx_bf16") or able.get("avx512_bf16")
    return torch.autocast(device, torch.bfloat16, enabled=bool(enabled))
