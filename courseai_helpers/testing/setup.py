"""Notices when the lesson's network or image is not as the setup cells made it.

Students try things out with `model`, and then a right function gives other results than
a test cell expects. The first test cell that finds it changed says so, before it asks
what may be wrong with the function.
"""

from typing import Any

import torch
from torch import nn

from courseai_helpers.testing.compare import describe

IMAGE = (1, 3, 224, 224)
PRECISION = 1e-4  # relative: another device adds up in another order
WHAT_TO_DO = (
    "Run the setup cells again. If this message comes back, one of your cells or "
    "functions changes it; to try something out, take copy.deepcopy(model)"
)

_noted: dict[str, Any] = {}  # what the network was like that was loaded last


def note_network(model: nn.Module) -> None:
    """Notes what a network is like that the lesson begins with; takes 5 ms."""
    _noted.clear()
    _noted.update(_summarize(model))


def require_setup(model: Any, img_tensor: Any) -> None:
    """Makes sure that the lesson's network and image are as the setup cells made them.

    Hooks, gradients and what is frozen may have changed: right answers work with those.

    Args:
        model: What has this name now.
        img_tensor: What has this name now. Any image [1, 3, 224, 224] will do, float32
            and on the network's device.

    Raises:
        AssertionError: If they are not. It says what has changed and what to do.
    """
    name, change = "model", _find_change(model)
    if not change:
        name, change = "img_tensor", _find_flaw(img_tensor, model)
    if change:
        raise AssertionError(
            f"`{name}` is not as the setup cells made it: {change}. {WHAT_TO_DO}"
        )


def _summarize(model: nn.Module) -> dict[str, Any]:
    """Describes each module, and each tensor by its norm."""
    found = {name: _describe_module(module) for name, module in model.named_modules()}
    return found | {
        name: (value.dtype, value.shape, _measure(value))
        for name, value in model.state_dict().items()
    }


def _describe_module(module: nn.Module) -> tuple[Any, ...]:
    own = [name for name in vars(module) if callable(getattr(type(module), name, None))]
    return type(module), own  # methods that were replaced


def _measure(value: torch.Tensor) -> float:
    if value.is_floating_point():
        return torch.linalg.vector_norm(value.detach()).item()
    return float(value.sum())


def _find_change(model: Any) -> str:
    """Says how the network differs from the one that was noted; '' if it does not."""
    if not _noted:
        return ""
    if not isinstance(model, nn.Module):
        return f"it is {describe(model)}"
    now = _summarize(model)
    for name in _noted | now:
        if not _is_same(_noted.get(name), now.get(name)):
            what = "is not the same" if name in now else "is missing"
            return f"{name or 'the network'} {what}"
    training = any(module.training for module in model.modules())
    return "it is in train mode" if training else ""


def _is_same(noted: tuple[Any, ...] | None, now: tuple[Any, ...] | None) -> bool:
    if noted is None or now is None or len(noted) == 2:
        return noted == now
    *form, norm = noted
    return [*now[:-1]] == form and abs(now[-1] - norm) <= PRECISION * norm


def _find_flaw(image: Any, model: nn.Module) -> str:
    """Says what an image lacks that the lesson's has; '' if it lacks nothing."""
    if not isinstance(image, torch.Tensor) or image.dtype != torch.float32:
        return f"it is {describe(image)}"
    if image.shape != IMAGE:
        return f"its shape is {list(image.shape)}, not {list(IMAGE)}"
    weight = next(model.parameters(), image)
    if image.device != weight.device:
        return f"it is on {image.device}, the model on {weight.device}"
    return ""
