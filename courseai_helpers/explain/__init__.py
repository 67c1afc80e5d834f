"""Numbers and methods besides Grad-CAM: other explanations, and how good they are.

Here are the peers that the lesson compares Grad-CAM with, the scores of that
comparison, and the classifier that learns a shortcut. None of it is an exercise.
"""

from courseai_helpers.explain.methods import compute_other_heatmaps
from courseai_helpers.explain.metrics import (
    correlate_ranks,
    make_random_heatmaps,
    randomize_layers,
    score_heatmaps,
)
from courseai_helpers.explain.optimizing import optimize_image
from courseai_helpers.explain.shortcut import (
    LABELS,
    compute_features,
    make_scenes,
    measure_accuracy,
    train_classifier,
)

__all__ = [
    "LABELS",
    "compute_features",
    "compute_other_heatmaps",
    "correlate_ranks",
    "make_random_heatmaps",
    "make_scenes",
    "measure_accuracy",
    "optimize_image",
    "randomize_layers",
    "score_heatmaps",
    "train_classifier",
]
