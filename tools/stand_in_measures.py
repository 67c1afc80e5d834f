"""Measures of the embedded stand-in: agreement, heat in a box, oriented filters."""

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.models import ResNet


def agree(scores: torch.Tensor, wanted: torch.Tensor, k: int) -> float:
    """Returns how often the wanted class is among the k best."""
    top = scores.topk(k, dim=1).indices
    return (top == wanted[:, None]).any(dim=1).float().mean().item()


def measure_confidence(scores: torch.Tensor) -> float:
    """Returns the mean probability of the first class."""
    return scores.softmax(dim=1).amax(dim=1).mean().item()


def make_row(measure: str, shares: list[float]) -> list[str]:
    """Returns a row of the table, with the shares as percentages."""
    return [measure, *(f"{share:.1%}" for share in shares)]


def make_heatmaps(network: ResNet, image: torch.Tensor, labels: list[int]):
    """Returns layer4's Grad-CAM for some classes of one image, from one forward pass.

    Average pooling and one linear layer behind layer4 give it in closed form.

    Args:
        network: The network, in eval mode.
        image: [1, 3, H, W], standardized.
        labels: The classes.

    Returns:
        [len(labels), H, W] float32, not below 0, not scaled.

    Source: Zhou et al. 2016, https://arxiv.org/abs/1512.04150.
    """
    kept = []
    handle = network.layer4.register_forward_hook(lambda *all: kept.append(all[2]))
    with torch.inference_mode():
        network(image)
        handle.remove()
        heat = torch.einsum("nk,khw->nhw", network.fc.weight[labels], kept[0][0])
        size = image.shape[-2:]
        heat = F.interpolate(
            heat.relu()[None], size, mode="bilinear", align_corners=False
        )
    return heat[0].numpy()


def measure_heat(heat: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """Returns the share of the heat inside the box, 0 if there is none."""
    left, top, right, bottom = box
    return float(heat[top:bottom, left:right].sum() / max(heat.sum(), 1e-12))


def measure_coherence(filters: np.ndarray) -> np.ndarray:
    """Returns for each filter [C, H, W] how much its changes share one direction.

    The structure tensor sums the products of a filter's horizontal and vertical
    differences over all places and colors; (l1 - l2) / (l1 + l2) of its eigenvalues is
    1 for a straight edge or stripes and 0 for a round blob.

    Source: Bigün and Granlund 1987, Optimal orientation detection of linear symmetry.
    """
    down, right = np.diff(filters, axis=2), np.diff(filters, axis=3)
    down = (down[..., 1:] + down[..., :-1]) / 2  # both at the corners of pixels
    right = (right[..., 1:, :] + right[..., :-1, :]) / 2
    xx, yy, xy = (
        (a * b).sum(axis=(1, 2, 3))
        for a, b in ((right, right), (down, down), (right, down))
    )
    return np.hypot(xx - yy, 2 * xy) / (xx + yy)


def measure_smoothness(filters: np.ndarray) -> np.ndarray:
    """Returns for each filter [C, H, W] the share of power in its slow changes.

    Slow means less than a quarter of a cycle per pixel; the mean is left out. White
    noise has about a fifth there.
    """
    power = np.abs(np.fft.fft2(filters, s=(32, 32))) ** 2
    power = power.sum(axis=1)
    power[:, 0, 0] = 0
    across = np.fft.fftfreq(32)
    slow = np.hypot(across[:, None], across[None, :]) < 0.25
    return power[:, slow].sum(axis=1) / power.sum(axis=(1, 2))
