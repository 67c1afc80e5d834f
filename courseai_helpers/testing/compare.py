"""What the checks of the lesson share: reading, describing and comparing values.

The checks themselves stand in the notebook's test cells. They say what to look at,
never the answer.
"""

from collections import OrderedDict
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn


def describe(value: Any) -> str:
    """Describes a value in a few words: type, dtype, shape and range."""
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, torch.Tensor) else "NumPy array"
        dtype = str(value.dtype).removeprefix("torch.")
        numbers = read_numbers(value)
        article = "an" if dtype[0] == "i" else "a"
        if not numbers.shape:
            number = f"one number, {numbers:.4g} (item() takes it out)"
            return f"{article} {dtype} {kind} of {number}"
        text = f"{article} {dtype} {kind} of shape {list(value.shape)}"
        if not numbers.size:
            return text
        if np.isnan(numbers).any():
            return f"{text} with {np.isnan(numbers).sum()} NaN values"
        return f"{text}, values from {numbers.min():.4g} to {numbers.max():.4g}"
    if isinstance(value, dict):
        return f"a dict with the keys {list(value)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of length {len(value)}"
    if value is None:
        return "nothing (None; is a return missing?)"
    text = repr(value)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{shown} ({type(value).__name__})"


def difference(expected: Any, got: Any, tolerance: float = 1e-5) -> str:
    """Says where two arrays differ most, or '' where they agree.

    Args:
        expected: Tensor or array.
        got: What came, of any type.
        tolerance: Largest absolute difference that counts as agreement.
    """
    if not isinstance(got, torch.Tensor | np.ndarray):
        return f"expected {describe(expected)}, got {describe(got)}"
    want, have = read_numbers(expected), read_numbers(got)
    if want.shape != have.shape:
        return f"expected shape {list(want.shape)}, got shape {list(have.shape)}"
    if np.isnan(have).any() and not np.isnan(want).any():
        return (
            f"expected numbers, got NaN in {np.isnan(have).sum()} of {have.size} values"
        )
    if np.allclose(have, want, rtol=0, atol=tolerance, equal_nan=True):
        return ""
    gap = np.nan_to_num(np.abs(have - want), nan=np.inf)
    place = np.unravel_index(np.argmax(gap), gap.shape)
    index = [int(axis) for axis in place]
    return f"at index {index}: expected {want[place]:.6g}, got {have[place]:.6g}"


def is_number(value: Any) -> bool:
    """Whether a value is a number, of Python or NumPy; tensors and arrays are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def paper_net(
    rows: list[list[float]], channels: int = 1, pool: int = 1
) -> nn.Sequential:
    """Builds a network small enough to redo on paper.

    Its `layer4` averages the image over squares of `pool` pixels and passes on its
    first channels, otherwise as they are; then these maps are flattened, and the score
    of class c is their dot product with `rows[c]`.

    Args:
        rows: The weights of each class, channel by channel, row by row.
        channels: How many of the image's three channels are passed on.
        pool: Side of the squares.

    Returns:
        A network in eval mode for images [1, 3, H, W].
    """
    head = nn.Linear(len(rows[0]), len(rows), bias=False)
    head.weight.data = torch.tensor(rows)
    pass_on = nn.Conv2d(3, channels, 1, bias=False)
    pass_on.weight.data = torch.eye(channels, 3)[:, :, None, None]
    layer4 = nn.Sequential(nn.AvgPool2d(pool), pass_on)
    parts = OrderedDict(layer4=layer4, flatten=nn.Flatten(), fc=head)
    return nn.Sequential(parts).eval()


def paper_image(*maps: list[list[float]]) -> torch.Tensor:
    """Makes an image [1, 3, H, W] out of up to three maps; what is left is zero."""
    image = torch.zeros(1, 3, len(maps[0]), len(maps[0][0]))
    image[0, : len(maps)] = torch.tensor(maps)
    return image


def read_numbers(value: Any) -> np.ndarray:
    """Returns the values of a tensor or an array as a float64 array.

    Raises:
        AssertionError: If it is neither, as the check that asked would say it.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    if not isinstance(value, np.ndarray):
        raise AssertionError(f"expected a tensor or an array, got {describe(value)}")
    return np.asarray(value, dtype=float)


def read_heatmap(result: Any, image: torch.Tensor | None = None) -> np.ndarray:
    """Returns the heatmap [H, W] of a pair (cam, target_class), whatever its form.

    A tensor in the place of the array and axes of length 1 in front are let pass: a
    check of their own judges them.

    Args:
        result: What `grad_cam` returned.
        image: The image, if the heatmap has to be of its size to be judged.

    Raises:
        AssertionError: If there is no such pair, or the size is another.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise AssertionError(
            f"expected the pair (cam, target_class), got {describe(result)}"
        )
    if not isinstance(result[0], torch.Tensor | np.ndarray):
        raise AssertionError(
            f"cam: expected a heatmap, got {describe(result[0])}. grad_cam returns two "
            "things: the heatmap is the first of them"
        )
    cam = read_numbers(result[0])
    if cam.ndim > 2 and len(cam) == 1:
        cam = cam.reshape(cam.shape[-2:])
    if image is not None and cam.shape != image.shape[-2:]:
        raise AssertionError(
            f"an image of shape {list(image.shape)}: expected a heatmap of shape "
            f"{list(image.shape[-2:])}, got {list(cam.shape)}. Is it upsampled to the "
            "size of the image that was given, whatever that is?"
        )
    return cam


def read_activation(result: Any, name: str) -> torch.Tensor | np.ndarray:
    """Returns one activation out of the dict that holds it.

    Raises:
        AssertionError: If there is no tensor or array of this name.
    """
    if not isinstance(result, dict) or name not in result:
        raise AssertionError(
            f"expected a dict with an activation for {name!r}, got {describe(result)}"
        )
    read_numbers(result[name])
    return result[name]


def read_classes(result: Any) -> list[tuple[Any, ...]]:
    """Returns a list of (class_index, probability, cam).

    Raises:
        AssertionError: If it is none.
    """
    wanted = "expected a list of (class_index, probability, cam)"
    if not isinstance(result, list | tuple) or not result:
        raise AssertionError(f"{wanted}, got {describe(result)}")
    for entry in result:
        if not isinstance(entry, list | tuple) or len(entry) != 3:
            raise AssertionError(f"{wanted}, but one of them is {describe(entry)}")
        if not hasattr(entry[0], "__index__"):
            raise AssertionError(
                f"{wanted}, but one class_index is {describe(entry[0])}"
            )
    return list(result)
