"""Reference solutions of the lesson *Visualizing Features*.

The solution cells of the authored notebook hold these functions; a test compares the
two as syntax trees.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from courseai_helpers.models.watching import watch_layer


def normalize_filters(weights: torch.Tensor) -> torch.Tensor:
    """Scales every filter by itself to the range [0, 1].

    Args:
        weights: Float tensor [N, C, H, W], one filter for each of the N output
            channels. It is left untouched.

    Returns:
        A new tensor of the same shape and dtype. In every filter the smallest value
        is 0 and the largest is 1; a constant filter becomes all zeros.
    """
    smallest = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - smallest
    # A constant filter has no span to divide by: its zeros stay zeros.
    return (weights - smallest) / torch.where(span > 0, span, 1)


def filter_to_image(filter: torch.Tensor) -> np.ndarray:
    """Turns one filter into an array that Matplotlib can show.

    Args:
        filter: Float tensor [C, H, W]. It may require gradients or live on another
            device. It is left untouched.

    Returns:
        NumPy array [H, W, C] with the same values.
    """
    return filter.detach().cpu().permute(1, 2, 0).numpy()


def capture_activations(
    model: nn.Module, img_tensor: torch.Tensor, layer_names: list[str]
) -> dict[str, torch.Tensor]:
    """Captures the outputs of several layers in one forward pass.

    Args:
        model: The network, in eval mode. No hook of ours is left on it, also when its
            forward pass raises; what that raises reaches the caller.
        img_tensor: Preprocessed image [1, 3, H, W] on the model's device.
        layer_names: Names as in `model.named_modules()`, dots included, in any order.

    Returns:
        For each name the output of that very layer as it left the layer: detached, on
        the CPU.
    """
    activations = {}

    def make_hook(name):
        def keep_output(module, inputs, output):
            # A copy: a later layer may work in place on the original.
            activations[name] = output.detach().clone().cpu()

        return keep_output

    handles = []
    try:
        for name in layer_names:
            layer = model.get_submodule(name)
            handles.append(layer.register_forward_hook(make_hook(name)))
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return activations


def grad_cam(
    model: nn.Module, img_tensor: torch.Tensor, target_class: int | None = None
) -> tuple[np.ndarray, int]:
    """Computes the Grad-CAM heatmap of one class at the model's `layer4`.

    It works with frozen weights and inside `torch.no_grad()` as well.

    Args:
        model: The network, with a last convolutional stage called `layer4`. Its
            hooks, weights and train/eval modes are left as they were, also when its
            forward pass raises. The heatmap is that of eval mode, whatever its mode.
        img_tensor: Preprocessed image [1, 3, H, W] on the model's device.
        target_class: The class to explain; None means the predicted class.

    Returns:
        The heatmap, a float array [H, W] in [0, 1] whose maximum is 1 unless it is
        zero everywhere, and the class that it explains.

    Source:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization", ICCV 2017, section 3.
    """
    with watch_layer(model, "layer4") as watched:
        scores = model(img_tensor)  # step 1: [1, classes]
        activations = watched.activations  # [1, K, h, w]
        if target_class is None:
            target_class = int(scores[0].argmax())
        # Step 2: backward pass from the class score. gradients: [1, K, h, w].
        (gradients,) = torch.autograd.grad(scores[0, target_class], activations)
        weights = gradients.mean(dim=(2, 3), keepdim=True)  # step 3: [1, K, 1, 1]
        # Steps 4 and 5: weighted sum of the maps, then ReLU. heatmap: [1, 1, h, w].
        heatmap = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
        # Step 6: upsample to the input's size and scale. heatmap: [1, 1, H, W].
        size = img_tensor.shape[-2:]
        heatmap = F.interpolate(heatmap, size, mode="bilinear", align_corners=False)
        if heatmap.max() > 0:
            heatmap = heatmap / heatmap.max()
        cam = heatmap[0, 0].cpu().numpy()
    return cam, target_class


def top_class_heatmaps(
    model: nn.Module, img_tensor: torch.Tensor, k: int = 2
) -> list[tuple[int, float, np.ndarray]]:
    """Computes the heatmaps of the k most probable classes.

    Args:
        model: The network, in eval mode.
        img_tensor: Preprocessed image [1, 3, H, W] on the model's device.
        k: How many classes.

    Returns:
        (class_index, probability, cam) for each of them, most probable first.
    """
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(dim=0)
    best = probabilities.topk(k)
    return [
        (index, probability, grad_cam(model, img_tensor, index)[0])
        for probability, index in zip(
            best.values.tolist(), best.indices.tolist(), strict=True
        )
    ]


def heat_inside(cam: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """Measures how much of a heatmap lies inside a box.

    Args:
        cam: Heatmap [H, W] without negative values. It is left untouched.
        box: (left, top, right, bottom) in pixels; right and bottom are exclusive.

    Returns:
        The share of the heatmap's total that lies inside, in [0, 1]; 0.0 for a
        heatmap that is zero everywhere.
    """
    left, top, right, bottom = box
    total = cam.sum()
    if total == 0:
        return 0.0
    return float(cam[top:bottom, left:right].sum() / total)
