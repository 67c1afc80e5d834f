"""The pretrained ResNet-18: its weights, where it runs and what it predicts.

Without a network the weights are those of the small network that ships in `data/`.
"""

from courseai_helpers.models.embedded import load_stand_in
from courseai_helpers.models.pretrained import (
    Prediction,
    choose_device,
    class_names,
    predict_top_k,
)
from courseai_helpers.models.watching import watch_layer
from courseai_helpers.models.weights import WeightsError, load_resnet18

__all__ = [
    "Prediction",
    "WeightsError",
    "choose_device",
    "class_names",
    "load_resnet18",
    "load_stand_in",
    "predict_top_k",
    "watch_layer",
]
