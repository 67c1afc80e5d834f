"""What the checks of the lesson share: watching a call, describing a value.

The checks themselves stand in the notebook's test cells. They say what to look at,
never the answer.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass
class Observation:
    """What one call returned and what it left behind.

    Attributes:
        result: The return value; None if the call raised.
        error: The exception that reached the caller, or None.
        forward_passes: How many times each model among the arguments was run, in sum.
        hooks_left: Hooks on the models after the call that were not there before.
        hooks_lost: Hooks that were on the models before the call and are gone.
        modes_changed: Names of the modules whose train/eval mode changed.
        state_changed: Names of the parameters and buffers whose values changed.
        inputs_changed: Positions of the tensor or array arguments that changed.
    """

    result: Any = None
    error: Exception | None = None
    forward_passes: int = 0
    hooks_left: int = 0
    hooks_lost: int = 0
    modes_changed: list[str] = field(default_factory=list)
    state_changed: list[str] = field(default_factory=list)
    inputs_changed: list[int] = field(default_factory=list)


def observe(function: Callable, *arguments: Any) -> Observation:
    """Calls a function and reports its result, its exception and its side effects.

    Args:
        function: What to call.
        *arguments: Its arguments. Every `torch.nn.Module` among them is watched, every
            tensor and array is compared with a copy made before the call.
    """
    models = [value for value in arguments if isinstance(value, nn.Module)]
    copies = [_copy(value) for value in arguments]
    modes = [_modes(model) for model in models]
    states = [_state(model) for model in models]
    hooks = sum((_hooks(model) for model in models), Counter())
    seen = Observation()

    def count(module, inputs):
        seen.forward_passes += 1

    counters = [model.register_forward_pre_hook(count) for model in models]
    try:
        seen.result = function(*arguments)
    except Exception as error:  # whatever it is, the check judges it
        seen.error = error
    finally:
        for counter in counters:
            counter.remove()
    hooks_now = sum((_hooks(model) for model in models), Counter())
    seen.hooks_left = (hooks_now - hooks).total()
    seen.hooks_lost = (hooks - hooks_now).total()
    for model, mode, state in zip(models, modes, states, strict=True):
        seen.modes_changed += [
            name for name, training in _modes(model).items() if training != mode[name]
        ]
        seen.state_changed += [
            name
            for name, value in _state(model).items()
            if not _same(value, state[name])
        ]
    seen.inputs_changed = [
        place
        for place, (value, copy) in enumerate(zip(arguments, copies, strict=True))
        if copy is not None and not _same(value, copy)
    ]
    return seen


def describe(value: Any) -> str:
    """Describes a value in a few words: type, dtype, shape and range."""
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, torch.Tensor) else "NumPy array"
        dtype = str(value.dtype).removeprefix("torch.")
        text = f"a {dtype} {kind} of shape {list(value.shape)}"
        numbers = _numbers(value)
        if not numbers.size:
            return text
        if np.isnan(numbers).any():
            return f"{text} with {np.isnan(numbers).sum()} NaN values"
        return f"{text}, values from {numbers.min():.4g} to {numbers.max():.4g}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of length {len(value)}"
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
    want, have = _numbers(expected), _numbers(got)
    if want.shape != have.shape:
        return f"expected shape {list(want.shape)}, got shape {list(have.shape)}"
    if np.isnan(have).any() and not np.isnan(want).any():
        return f"{np.isnan(have).sum()} of {have.size} values are NaN"
    if np.allclose(have, want, rtol=0, atol=tolerance, equal_nan=True):
        return ""
    gap = np.nan_to_num(np.abs(have - want), nan=np.inf)
    place = np.unravel_index(np.argmax(gap), gap.shape)
    index = [int(axis) for axis in place]
    return f"at index {index}: expected {want[place]:.4g}, got {have[place]:.4g}"


def paper_net(
    rows: list[list[float]], channels: int = 1, pool: int = 1
) -> nn.Sequential:
    """Builds a network small enough to redo on paper.

    Its `layer4` averages the image over squares of `pool` pixels and otherwise passes
    it on as it is; then the maps are flattened, and the score of class c is their dot
    product with `rows[c]`.

    Args:
        rows: The weights of each class, channel by channel, row by row.
        channels: Number of channels of the images.
        pool: Side of the squares.

    Returns:
        A network in eval mode for images [1, channels, H, W].
    """
    head = nn.Linear(len(rows[0]), len(rows), bias=False)
    head.weight.data = torch.tensor(rows)
    pass_on = nn.Conv2d(channels, channels, 1, bias=False)
    pass_on.weight.data = torch.eye(channels)[:, :, None, None]
    layer4 = nn.Sequential(nn.AvgPool2d(pool), pass_on)
    parts = OrderedDict(layer4=layer4, flatten=nn.Flatten(), fc=head)
    return nn.Sequential(parts).eval()


def _numbers(value: torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=float)


def _copy(value: Any) -> torch.Tensor | np.ndarray | None:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else None


def _same(value: torch.Tensor | np.ndarray, copy: torch.Tensor | np.ndarray) -> bool:
    return bool(
        value.shape == copy.shape
        and np.array_equal(_numbers(value), _numbers(copy), equal_nan=True)
    )


def _modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _hooks(model: nn.Module) -> Counter:
    """Counts the hooks on a model and on its parameters, each by place and identity."""
    found = Counter()
    for name, module in model.named_modules():
        for kind, value in vars(module).items():
            if kind.endswith("_hooks") and isinstance(value, dict):
                found.update((name, kind, id(hook)) for hook in value.values())
    for name, parameter in model.named_parameters():
        for hook in (parameter._backward_hooks or {}).values():
            found[(name, "parameter", id(hook))] += 1
    return found
