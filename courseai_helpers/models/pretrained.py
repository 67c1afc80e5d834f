"""The pretrained ResNet-18 of the lessons, where it runs and what it predicts."""

from typing import NamedTuple

import torch
from torchvision.models import ResNet18_Weights


class Prediction(NamedTuple):
    """One class that a network considers.

    Attributes:
        label: The class's name.
        probability: In [0, 1], after a softmax over all classes.
        class_index: The class's place among the network's outputs.
    """

    label: str
    probability: float
    class_index: int


def choose_device() -> torch.device:
    """Returns the device to compute on: CUDA if there, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def class_names() -> list[str]:
    """Returns the names of the 1,000 ImageNet classes in the order of their index.

    This list tells the two cranes apart ("crane bird", "crane"); not every published
    list does, so compare classes by their index.

    Source: the metadata of torchvision's weights.
    """
    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def predict_top_k(
    model: torch.nn.Module, img_tensor: torch.Tensor, k: int = 5
) -> list[Prediction]:
    """Returns the k most probable classes of one image, most probable first.

    The model predicts in eval mode; every module's mode is restored afterwards.

    Args:
        model: A classifier that turns the image into class scores (logits) [1, C].
        img_tensor: Float tensor [1, 3, H, W] of the model's dtype, on its device.
        k: How many classes, from 1 to C.

    Returns:
        k predictions. With 1,000 classes the labels are ImageNet's names, with any
        other number "class 0", "class 1" and so on.

    Raises:
        ValueError: If img_tensor has another shape, dtype or device, the scores have
            another shape, or k is out of range.
    """
    _check_image(model, img_tensor)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            scores = model.eval()(img_tensor)
    finally:
        for module, training in modes:
            module.training = training
    _check_scores(scores, k)
    values, indices = scores[0].softmax(dim=0).topk(k)
    count = scores.shape[1]
    names = class_names() if count == 1000 else [f"class {i}" for i in range(count)]
    return [
        Prediction(names[index], value, index)
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]


def _check_image(model: torch.nn.Module, img_tensor: torch.Tensor) -> None:
    if not isinstance(img_tensor, torch.Tensor):
        raise ValueError(
            "predict_top_k wants a tensor [1, 3, H, W], but got a "
            f"{type(img_tensor).__name__}. preprocess(photo) makes one of a photo."
        )
    if img_tensor.ndim != 4 or img_tensor.shape[:2] != (1, 3):
        raise ValueError(
            "predict_top_k wants one image as a tensor [1, 3, H, W], but got shape "
            f"{list(img_tensor.shape)}. preprocess(photo) makes that shape; "
            "img_tensor[None] puts a batch axis in front of [3, H, W]."
        )
    weight = next(model.parameters(), img_tensor)
    if img_tensor.device != weight.device:
        raise ValueError(
            f"The image is on {img_tensor.device}, the model on {weight.device}. Move "
            "one to the other: img_tensor.to(device)."
        )
    if img_tensor.dtype != weight.dtype:
        raise ValueError(
            f"The image is {img_tensor.dtype}, the model {weight.dtype}. Convert the "
            "image with img_tensor.float(); preprocess(photo) returns float32."
        )


def _check_scores(scores: torch.Tensor, k: int) -> None:
    if scores.ndim != 2 or len(scores) != 1:
        raise ValueError(
            f"The model returned shape {list(scores.shape)}, not class scores [1, C]. "
            "predict_top_k works with classifiers only."
        )
    if not isinstance(k, int) or not 1 <= k <= scores.shape[1]:
        raise ValueError(
            f"k is {k!r}, but must be a whole number from 1 to {scores.shape[1]}, the "
            "number of classes."
        )
