"""Numbers and methods besides Grad-CAM: other explanations, and how good they are.

Here are the peers that the lesson compares Grad-CAM with, the scores of that
comparison, and the classifier that learns a shortcut. None of it is an exercise.
"""

from courseai_helpers.explain.methods import compute_other_heatmaps
from courseai_helpers.explain.metrics import (
    correlate_ranks,
    randomize_layers,
    score_deletion_insertion,
)
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
    "make_scenes",
    "measure_accuracy",
    "randomize_layers",
    "score_deletion_insertion",
    "train_classifier",
]
