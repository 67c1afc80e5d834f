"""Watches a call: what it returns, and what it leaves behind on models and inputs."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from courseai_helpers.testing.compare import read_numbers


@dataclass
class Observation:
    """What one call returned and what it left behind.

    Attributes:
        result: The return value; None if the call raised.
        error: The exception that reached the caller, or None.
        forward_passes: How many times an image went into the models, in sum.
        hooks_left: Hooks after the call that were not there before: on the models, on
            their parameters or for all modules; a replaced `forward` counts too.
        hooks_lost: Hooks that were on the models before the call and are gone.
        modes_changed: Names of the modules whose train/eval mode changed.
        state_changed: Names of the parameters and buffers whose values changed.
        inputs_changed: Positions of the tensor or array arguments that changed.
        gradients_changed: Names of the parameters whose `.grad` changed.
    """

    result: Any = None
    error: BaseException | None = None
    forward_passes: int = 0
    hooks_left: int = 0
    hooks_lost: int = 0
    modes_changed: list[str] = field(default_factory=list)
    state_changed: list[str] = field(default_factory=list)
    inputs_changed: list[int] = field(default_factory=list)
    gradients_changed: list[str] = field(default_factory=list)

    @property
    def raised(self) -> str:
        """What reached the caller, in words."""
        return repr(self.error) if self.error else "no exception"


def observe(function: Callable[..., Any], *arguments: Any) -> Observation:
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
    gradients = [_gradients(model) for model in models]
    hooks = sum((_hooks(model) for model in models), Counter())
    seen = Observation()

    def count(module: nn.Module, inputs: Any) -> None:
        seen.forward_passes += 1

    counters = [_entrance(model).register_forward_pre_hook(count) for model in models]
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
    for model, mode, state, gradient in zip(
        models, modes, states, gradients, strict=True
    ):
        seen.modes_changed += [
            name for name, training in _modes(model).items() if training != mode[name]
        ]
        seen.state_changed += [
            name for name, value in _state(model).items() if value != state[name]
        ]
        seen.gradients_changed += [
            name
            for name, value in _gradients(model).items()
            if name not in gradient or not _same(value, gradient[name])
        ]
    seen.inputs_changed = [
        place
        for place, (value, copy) in enumerate(zip(arguments, copies, strict=True))
        if copy is not None and not _same(value, copy)
    ]
    return seen


def _copy(value: Any) -> torch.Tensor | np.ndarray | None:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else None


def _same(value: torch.Tensor | np.ndarray, copy: torch.Tensor | np.ndarray) -> bool:
    return bool(
        value.shape == copy.shape
        and np.array_equal(read_numbers(value), read_numbers(copy), equal_nan=True)
    )


def _modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def _state(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Returns shape and hash of each tensor: copies would take more memory."""
    return {
        name: (value.shape, hashlib.sha256(_read_bytes(value).data).digest())
        for name, value in model.state_dict().items()
    }


def _read_bytes(value: torch.Tensor) -> np.ndarray:
    return value.detach().cpu().reshape(-1).view(torch.uint8).numpy()


def _gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _entrance(model: nn.Module) -> nn.Module:
    """Finds the module that an image enters first, also in a part of the model."""
    return next(module for module in model.modules() if not [*module.children()])


def _hooks(model: nn.Module) -> Counter[Any]:
    """Counts the hooks on a model and on its parameters, each by place and identity."""
    found = Counter(
        ("all modules", kind, id(hook))
        for kind, value in vars(nn.modules.module).items()
        if kind.startswith("_global_") and isinstance(value, dict)
        for hook in value.values()
    )
    for name, module in model.named_modules():
        for kind, value in vars(module).items():
            if kind.endswith("_hooks") and isinstance(value, dict):
                found.update((name, kind, id(hook)) for hook in value.values())
            if kind == "forward":
                found[(name, kind, id(value))] += 1
    for name, parameter in model.named_parameters():
        for hook in (parameter._backward_hooks or {}).values():
            found[(name, "parameter", id(hook))] += 1
    return found
