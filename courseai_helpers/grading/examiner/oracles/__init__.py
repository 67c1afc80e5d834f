"""Networks and closed forms for the hidden tests.

Each network is an `nn.Sequential` of plain layers with random weights, small enough to
follow by hand: `stem` and `layer4` make the feature maps, what follows is the head. For
each head the Grad-CAM channel weights have a closed form, so that the right heatmap is
known without the reference solution.

A seed means other numbers for every version of a submission: a student's function is
told its inputs, and must gain nothing by storing them for the next time. The examiner
calls `set_salt` with a number that depends on the submission; the same submission
always meets the same numbers.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 5
CHANNELS = 4
HIDDEN = 6


_salt = 0


def set_salt(salt: int) -> None:
    """Makes every later seed mean numbers of this submission's own."""
    global _salt
    _salt = salt


def make_generator(seed: int) -> torch.Generator:
    """Makes a generator of random numbers that are this submission's own."""
    return torch.Generator().manual_seed(seed + 1_000_000 * _salt)


def make_net(
    head: str = "pool",
    *,
    seed: int,
    size: tuple[int, int] = (20, 28),
    stride: int = 2,
    last: str = "none",
) -> nn.Sequential:
    """Builds a test network in eval mode with random weights.

    Args:
        head: "pool" (average pooling, linear: as in ResNet-18), "flatten" (flatten,
            linear: its gradients vary in space), "tanh" (average pooling, linear, tanh,
            linear: its gradients depend on the image) or "relu" (a rectifier in place,
            then as "pool").
        seed: Seed of the weights.
        size: Height and width of the input, multiples of the stride's square.
        stride: Stride of the two convolutions. With 1 the feature maps have the
            input's size, and no way of upsampling changes them.
        last: What ends `layer4`: "none", or "relu" for a rectifier in place.

    Returns:
        A network for inputs [1, 3, *size] with five classes, whose `layer4` gives
        [1, 4, size[0] / stride^2, size[1] / stride^2].
    """
    generator = make_generator(seed)
    cells = size[0] // stride**2 * (size[1] // stride**2)
    stem = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3, stride=stride, padding=1),
        nn.BatchNorm2d(CHANNELS),
        nn.ReLU(inplace=True),
    )
    layer4 = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, stride, padding=1))
    if last == "relu":
        layer4.append(nn.ReLU(inplace=True))
    net = nn.Sequential(
        OrderedDict(stem=stem, layer4=layer4, **_make_head(head, cells))
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        stem[1].running_mean.copy_(torch.randn(CHANNELS, generator=generator))
        stem[1].running_var.copy_(torch.rand(CHANNELS, generator=generator) + 0.5)
    return net.eval()


def _make_head(head: str, cells: int) -> dict[str, nn.Module]:
    if head == "flatten":
        return {"flatten": nn.Flatten(), "fc": nn.Linear(CHANNELS * cells, CLASSES)}
    pooled = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if head == "relu":
        return {"rectify": nn.ReLU(inplace=True)} | _make_head("pool", cells)
    if head == "pool":
        return pooled | {"fc": nn.Linear(CHANNELS, CLASSES)}
    return pooled | {
        "hidden": nn.Linear(CHANNELS, HIDDEN),
        "tanh": nn.Tanh(),
        "fc": nn.Linear(HIDDEN, CLASSES),
    }


def make_image(*, seed: int, size: tuple[int, int] = (20, 28)) -> torch.Tensor:
    """Makes a random image tensor [1, 3, *size] with values around 0."""
    generator = make_generator(seed)
    return torch.randn((1, 3, *size), generator=generator)


def feature_maps(net: nn.Sequential, image: torch.Tensor) -> torch.Tensor:
    """Computes what leaves `layer4` in eval mode, [K, h, w], layer by layer."""
    was_training = net.training
    net.eval()
    with torch.no_grad():
        maps = net.layer4(net.stem(image))[0]
    net.train(was_training)
    return maps


def channel_weights(
    net: nn.Sequential, image: torch.Tensor, target_class: int
) -> torch.Tensor:
    """Gives the Grad-CAM weights [K] of one class in closed form.

    The weight of channel k is the mean over the cells of d score / d activation:
    `fc.weight[c, k] / (h w)` after average pooling, the mean of its slice of
    `fc.weight[c]` after flattening, and by the chain rule
    `sum_j fc.weight[c, j] (1 - t_j^2) hidden.weight[j, k] / (h w)` through the tanh. A
    rectifier lets the gradient pass in the share of the cells that is positive.
    """
    maps = feature_maps(net, image)
    row = net.fc.weight[target_class].detach()
    if hasattr(net, "hidden"):
        pooled = maps.mean(dim=(1, 2))
        tanh = torch.tanh(net.hidden.weight @ pooled + net.hidden.bias).detach()
        row = (row * (1 - tanh**2)) @ net.hidden.weight.detach()
    elif hasattr(net, "rectify"):
        row = row * (maps > 0).float().mean(dim=(1, 2))
    elif not hasattr(net, "avgpool"):
        return row.view_as(maps).mean(dim=(1, 2))
    return row / maps[0].numel()


def expected_heatmap(
    net: nn.Sequential, image: torch.Tensor, target_class: int
) -> np.ndarray:
    """Computes the right heatmap [H, W] from the closed form of its weights."""
    weights = channel_weights(net, image, target_class)
    maps = feature_maps(net, image)
    return heatmap_of(torch.einsum("k,khw->hw", weights, maps), image.shape[-2:])


def heatmap_of(weighted_sum: torch.Tensor, size: Sequence[int]) -> np.ndarray:
    """Rectifies, upsamples and scales a weighted sum [h, w] to a heatmap [H, W]."""
    heat = weighted_sum.clamp(min=0)[None, None].double()
    heat = F.interpolate(heat, size=tuple(size), mode="bilinear", align_corners=False)
    values = heat[0, 0].numpy()
    return values / values.max() if values.max() > 0 else values


def make_positive_case(
    head: str, *, seed: int
) -> tuple[nn.Sequential, torch.Tensor, int]:
    """Builds a network, an image and a class, so that only channel weights matter.

    The heatmap is positive everywhere, and so are the head's weights and, unless the
    head rectifies them, the maps: it does not matter where a ReLU stands. The class is
    the predicted one and the others are blind: it does not matter which is asked for,
    nor whether they enter the score. The image is square and the stride 1: upsampling
    does not matter.
    """
    wanted, size = seed % CLASSES, (7, 7)
    for attempt in range(1000 * seed, 1000 * seed + 1000):
        net = make_net(head, seed=attempt, size=size, stride=1)
        image = make_image(seed=attempt, size=size)
        lowest = feature_maps(net, image).amin(dim=(1, 2))
        with torch.no_grad():
            net.layer4[0].bias.add_(1 if head == "relu" else 0.1 - lowest)
            net.fc.weight.abs_()
            if head == "tanh":
                net.hidden.weight.abs_().mul_(0.05)  # keeps tanh from saturating
        silence_others(net, wanted)
        lead(net, image, wanted)
        weights = channel_weights(net, image, wanted)
        if torch.einsum("k,khw->hw", weights, feature_maps(net, image)).min() > 0:
            return net, image, wanted
    raise LookupError(f"no positive heatmap with seed {seed}")


def silence_others(net: nn.Sequential, wanted: int) -> None:
    """Makes the scores of all classes but one independent of the image."""
    with torch.no_grad():
        row = net.fc.weight[wanted].clone()
        net.fc.weight.zero_()[wanted] = row


def lead(net: nn.Sequential, image: torch.Tensor, wanted: int) -> None:
    """Shifts the class scores so that one class is predicted, by 1 ahead."""
    with torch.no_grad():
        others = net(image)[0]
        others[wanted] = -torch.inf
        net.fc.bias[wanted] += others.max() + 1 - net(image)[0, wanted]


def correlation(expected: np.ndarray, got: np.ndarray) -> float:
    """Pearson correlation of two heatmaps; 0 where `got` is flat or holds NaN.

    Scale and offset do not matter here: other checks judge them.
    """
    if not np.isfinite(got).all() or np.ptp(got) < 1e-6:
        return 0.0
    return float(np.corrcoef(expected.flatten(), got.flatten())[0, 1])
