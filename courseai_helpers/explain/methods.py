"""Explains a prediction by other methods, with captum and torch-cam.

The extra `methods` installs the two; nothing else in this package needs them.
"""

import copy
import importlib.util
from collections.abc import Sequence

import numpy as np
import torch
from skimage.exposure import rescale_intensity
from torch import nn
from torchvision.transforms import functional

from courseai_helpers._common.notices import show_notice

CHANNELS = 8  # Score-CAM costs one forward pass for each
PATCH, STRIDE = 56, 56  # pixels; 4x4 places, one forward pass for each
BATCH = 8


def compute_other_heatmaps(
    model: nn.Module, img_tensor: torch.Tensor, target_class: int
) -> dict[str, np.ndarray]:
    """Explains one class by Grad-CAM++, HiResCAM, Score-CAM and occlusion.

    Score-CAM needs one forward pass for each of the 512 channels of `layer4`. Here it
    uses only the 8 channels with the largest mean activation.

    Args:
        model: A ResNet in eval mode. It is left as it was.
        img_tensor: Preprocessed image [1, 3, H, W] on the model's device.
        target_class: The class to explain.

    Returns:
        Name of the method to heatmap, a float array [H, W] in [0, 1] whose maximum is 1
        unless there is no evidence for the class. Without captum and torch-cam a notice
        says how to install them, and the dict is empty.

    Source:
        Chattopadhay et al., "Grad-CAM++", WACV 2018; Draelos and Carin, "Use HiResCAM
        instead of Grad-CAM", 2020; Wang et al., "Score-CAM", CVPR Workshops 2020;
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
        2014, for occlusion. The implementations are torch-cam's and captum's.
    """
    missing = [n for n in ("captum", "torchcam") if not importlib.util.find_spec(n)]
    if missing:
        show_notice(
            f"The other methods need {' and '.join(missing)}. To see them, run "
            'pip install -e ".[methods]" in the folder of the course, then restart the '
            "kernel."
        )
        return {}
    # The methods change the head, so they get a copy of it, which is small.
    trunk, head = nn.Sequential(*list(model.children())[:-2]), _copy_head(model)
    with torch.no_grad():
        maps = trunk(img_tensor)
    strongest = maps[0].mean(dim=(1, 2)).topk(min(CHANNELS, maps.shape[1])).indices
    masked = _MaskedChannels(trunk, head, strongest)
    heatmaps = {
        "Grad-CAM++": _grad_cam_plus_plus(head, maps, target_class),
        "HiResCAM": _hires_cam(head, maps, target_class),
        "Score-CAM": _score_cam(masked, img_tensor, target_class),
        "occlusion": _occlusion(model, img_tensor, target_class),
    }
    return {name: _scale(map, img_tensor.shape[-2:]) for name, map in heatmaps.items()}


def _copy_head(model: nn.Module) -> nn.Module:
    """Copies what follows `layer4`; a method can see its input at `maps`."""
    head = nn.Sequential(model.avgpool, nn.Flatten(), model.fc)
    head.insert(0, nn.Identity())
    return copy.deepcopy(head).eval()


def _grad_cam_plus_plus(
    head: nn.Module, maps: torch.Tensor, target_class: int
) -> torch.Tensor:
    from torchcam.methods import GradCAMpp

    with torch.enable_grad(), GradCAMpp(head, "0") as extractor:
        scores = head(maps.clone().requires_grad_())
        (heatmap,) = extractor(target_class, scores, normalized=False)
    return heatmap


def _hires_cam(head: nn.Module, maps: torch.Tensor, target_class: int) -> torch.Tensor:
    from captum.attr import InputXGradient

    maps = maps.clone().requires_grad_()
    return InputXGradient(head).attribute(maps, target_class).sum(dim=1)


def _score_cam(
    network: nn.Module, img_tensor: torch.Tensor, target_class: int
) -> torch.Tensor:
    from torchcam.methods import ScoreCAM

    with torch.no_grad(), ScoreCAM(network, "channels", batch_size=BATCH) as extractor:
        (heatmap,) = extractor(target_class, network(img_tensor), normalized=False)
    return heatmap


def _occlusion(
    model: nn.Module, img_tensor: torch.Tensor, target_class: int
) -> torch.Tensor:
    from captum.attr import Occlusion

    def score(images: torch.Tensor) -> torch.Tensor:
        return model(images.contiguous(memory_format=torch.channels_last))  # for speed

    with torch.no_grad():
        effect = Occlusion(score).attribute(
            img_tensor,
            target=target_class,
            sliding_window_shapes=(3, PATCH, PATCH),
            strides=(3, STRIDE, STRIDE),
            perturbations_per_eval=BATCH,
        )
    return effect.mean(dim=1)


class _MaskedChannels(nn.Module):
    """The same network; `channels` sees the strongest channels of `layer4` alone."""

    def __init__(self, trunk: nn.Module, head: nn.Module, strongest: torch.Tensor):
        super().__init__()
        self.trunk, self.head, self.strongest = trunk, head, strongest
        self.channels = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the class scores [N, C] of images [N, 3, H, W]."""
        maps = self.trunk(images.contiguous(memory_format=torch.channels_last))
        self.channels(maps[:, self.strongest])
        return self.head(maps)


def _scale(heatmap: torch.Tensor, size: Sequence[int]) -> np.ndarray:
    whole = functional.resize(heatmap.detach().relu().cpu(), size, antialias=False)
    values = whole.reshape(size).numpy().astype(float)
    if not values.max() > 0:
        return np.zeros(size)
    return rescale_intensity(values, in_range=(0, values.max()), out_range=(0, 1))
