"""What the student of the embedded stand-in is judged by: the teacher's answers."""

import copy

import torch
from distillation_batches import TEMPERATURE, Batch
from torch import nn
from torch.nn import functional as F

FEATURE_WEIGHT = 4.0
LOCAL_WEIGHT = 4.0


def compare_with_teacher(student: nn.Module, batch: Batch) -> torch.Tensor:
    """Returns the loss: soft labels, and the direction of the features in each place.

    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531 (soft labels).
    """
    scores, features = student(batch.images)
    guess = (scores / TEMPERATURE).log_softmax(dim=1)
    labels = F.kl_div(guess, batch.targets, reduction="batchmean") * TEMPERATURE**2
    features, wanted = match_grids(features, batch.features)
    guess = student.map_features(features)
    local = F.cosine_similarity(guess, wanted, dim=1).mean()
    pooled = (values.mean(dim=(2, 3)) for values in (guess, wanted))
    overall = F.cosine_similarity(*pooled, dim=1).mean()
    return labels + FEATURE_WEIGHT * (1 - overall) + LOCAL_WEIGHT * (1 - local)


def match_grids(first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
    """Pools both [B, C, H, W] to the coarser one's height and width."""
    size = min(first.shape[-1], second.shape[-1])
    return [F.adaptive_avg_pool2d(values, size) for values in (first, second)]


def fit_feature_map(
    student: nn.Module, batches: list[Batch], ridge: float = 10
) -> None:
    """Fits the map to the teacher's features by ridge regression, the network fixed.

    Args:
        student: The student; its network is in training mode and stays so.
        batches: What to fit the map to, together at least a few thousand images.
        ridge: How strongly the map is drawn towards zero.
    """
    norms = [m for m in student.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [copy.deepcopy(norm.state_dict()) for norm in norms]
    with torch.no_grad():
        pairs = [match_grids(student(b.images)[1], b.features) for b in batches]
        x, y = (
            torch.cat([part.movedim(1, -1).flatten(0, 2) for part in side])
            for side in zip(*pairs, strict=True)
        )
        x = F.pad(x, (0, 1), value=1.0)
        fitted = torch.linalg.solve(
            x.T @ x + ridge * torch.eye(x.shape[1], device=x.device), x.T @ y
        )
        student.feature_map.weight.copy_(fitted[:-1].T)
        student.feature_map.bias.copy_(fitted[-1])
    for norm, state in zip(norms, kept, strict=True):
        norm.load_state_dict(state)
