"""Remembers what a network made of its inputs, by their content.

The lesson asks for some results more than once, and a grader for the same results in
every submission. Whoever changes the network, or what goes in, gets a result anew.
"""

import copy
import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import nn

LIMIT = 64  # results; the oldest one makes room
_known: dict[tuple[Any, ...], Any] = {}


def remember(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function of a network and other arguments remember its results.

    A result is remembered for the weights, buffers and structure of the network and
    the values of the arguments, and comes back as a copy, equal to the last bit. A
    network in train mode, with hooks, or with modules other than PyTorch's and
    torchvision's is asked anew each time: more than its weights tells what it does.

    Args:
        function: Takes an `nn.Module`, then tensors, arrays, numbers and texts, and
            depends on nothing else.
    """

    @wraps(function)
    def recall(model: nn.Module, *arguments: Any) -> Any:
        if not _is_plain(model):
            return function(model, *arguments)
        key = (function.__qualname__, _describe(model), _digest(model, arguments))
        if key not in _known:
            if len(_known) >= LIMIT:
                del _known[next(iter(_known))]
            _known[key] = function(model, *arguments)
        return copy.deepcopy(_known[key])

    return recall


def read_bytes(value: torch.Tensor) -> np.ndarray:
    """Returns the bytes of a tensor's values: uint8 array [N], to compute a hash of."""
    return value.detach().cpu().reshape(-1).view(torch.uint8).numpy()


def _is_plain(model: nn.Module) -> bool:
    """Returns whether nothing but its state tells what a network computes."""
    if nn.modules.module._has_any_global_hook():
        return False
    return all(
        type(module).__module__.partition(".")[0] in ("torch", "torchvision")
        and not module.training
        and "forward" not in vars(module)
        and not any(
            value for name, value in vars(module).items() if name.endswith("_hooks")
        )
        for module in model.modules()
    )


def _describe(model: nn.Module) -> tuple[Any, ...]:
    """Returns the structure and the code, which may have been replaced."""
    kinds = {type(module) for module in model.modules()}
    return str(model), frozenset((kind, kind.__call__, kind.forward) for kind in kinds)


def _digest(model: nn.Module, arguments: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for value in (*model.state_dict().values(), *arguments):
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {value.device} {value.shape}".encode())
            value = read_bytes(value)
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        else:
            digest.update(f"{type(value)} {value!r}".encode())
    return digest.hexdigest()
