"""Numbers that tell whether a heatmap explains what it claims to explain."""

import copy

import numpy as np
import torch
from torch import nn
from torchvision.transforms import functional

from courseai_helpers._common.cache import remember

STEPS = 4  # each costs two forward passes


def score_deletion_insertion(
    model: nn.Module, img_tensor: torch.Tensor, cam: np.ndarray, target_class: int
) -> tuple[float, float]:
    """Measures how well a heatmap orders the pixels by what they matter.

    Deletion grays the pixels out, a quarter of them at a time, the hottest first. If
    the heatmap is right, the class's probability falls at once. Insertion begins with a
    blurred photo and puts the pixels back; the probability should rise at once.

    Args:
        model: A classifier in eval mode.
        img_tensor: Preprocessed image [1, 3, H, W] on the model's device.
        cam: Heatmap [H, W].
        target_class: The class whose probability is watched.

    Returns:
        The mean probability while pixels go (the lower, the better) and while they come
        (the higher, the better), both in [0, 1].

    Source:
        Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of
        Black-box Models", BMVC 2018, section 4.2.
    """
    return _score(model, img_tensor, cam, target_class)


@remember
def _score(
    model: nn.Module, img_tensor: torch.Tensor, cam: np.ndarray, target_class: int
) -> tuple[float, float]:
    ranks = np.empty(cam.size, dtype=int)
    ranks[np.argsort(-cam, axis=None, kind="stable")] = np.arange(cam.size)
    parts = torch.from_numpy(ranks.reshape(cam.shape) * STEPS // cam.size)
    parts = parts.to(img_tensor.device)
    done = torch.stack([parts < step for step in range(1, STEPS)])[:, None]
    gray, blurred = _spoil(img_tensor)
    deleted = torch.where(done, gray, img_tensor)
    inserted = torch.where(done, img_tensor, blurred)
    # The ends of the curves are the same for every heatmap.
    ends = torch.cat([img_tensor, gray, blurred])
    whole, none, start = _compute_probabilities(model, ends)[:, target_class, None]
    middle = torch.cat([deleted, inserted])
    falling, rising = _compute_probabilities(model, middle)[:, target_class].chunk(2)
    curves = torch.cat([whole, falling, none]), torch.cat([start, rising, whole])
    deletion, insertion = torch.trapezoid(torch.stack(curves), dx=1 / STEPS).tolist()
    return deletion, insertion


def _spoil(img_tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns an empty image, and the image without its details."""
    blurred = functional.gaussian_blur(img_tensor, [31, 31], [10.0, 10.0])
    return torch.zeros_like(img_tensor), blurred


@remember
def _compute_probabilities(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(images).softmax(dim=1)


def randomize_layers(model: nn.Module, seed: int = 0) -> dict[str, nn.Module]:
    """Makes copies of a network that have forgotten more and more, from the top down.

    Args:
        model: A network. It is left as it was.
        seed: Of the random weights.

    Returns:
        Name of the last stage that was randomized to network, in eval mode. In
        the first, `fc` alone has new random weights; in the last, all stages have.
        What a copy has not forgotten it shares with `model`, to save memory.

    Source:
        Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: the cascading
        randomization of section 3.
    """
    copies, forgetful = {}, model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, stage in reversed(list(model.named_children())):
            stage = copy.deepcopy(stage)
            for layer in stage.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
            forgetful = _replace(forgetful, name, stage)
            if any(isinstance(m, nn.Conv2d | nn.Linear) for m in stage.modules()):
                copies[name] = forgetful
    return copies


def _replace(model: nn.Module, name: str, stage: nn.Module) -> nn.Module:
    """Returns a network that has another stage and shares the others."""
    changed = copy.copy(model)
    changed._modules = model._modules | {name: stage}
    return changed


def correlate_ranks(cam: np.ndarray, other: np.ndarray) -> float:
    """Compares two heatmaps by Spearman's rank correlation of their pixels.

    Args:
        cam: Heatmap [H, W].
        other: Another one of the same size.

    Returns:
        1.0 if both put the pixels in the same order, about 0 if they have nothing to do
        with each other, -1.0 for opposite orders. 0.0 if one is the same everywhere.

    Raises:
        ValueError: If they differ in size.
    """
    if cam.shape != other.shape:
        raise ValueError(
            f"One heatmap is {list(cam.shape)}, the other {list(other.shape)}: only "
            "heatmaps of one size can be compared."
        )
    first, second = _rank(cam), _rank(other)
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _rank(values: np.ndarray) -> np.ndarray:
    """Returns ranks; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[places.ravel()]
