"""Watches one layer of a network during a forward pass, for gradients at that layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class WatchedLayer:
    """A watched layer's output in the last forward pass."""

    def __init__(self, name: str):
        self._name = name
        self._output: torch.Tensor | None = None

    @property
    def activations(self) -> torch.Tensor:
        """The layer's output [1, K, h, w], a tensor that gradients can be asked for.

        Raises:
            RuntimeError: If the network has not run yet.
        """
        if self._output is None:
            raise RuntimeError(
                f"{self._name} has given nothing yet: run the model inside the `with` "
                "block first, scores = model(img_tensor)."
            )
        return self._output

    def _keep(
        self, layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor
    ) -> torch.Tensor:
        # Recording begins here: what lies before this layer needs no gradients.
        torch.set_grad_enabled(True)
        self._output = output.detach().clone().requires_grad_()
        # The network continues with a copy: a later layer may change it in place.
        return self._output.clone()


@contextmanager
def watch_layer(model: nn.Module, name: str) -> Iterator[WatchedLayer]:
    """Keeps a layer's output while the model runs inside a `with` block.

    Inside the block the model is in eval mode, and PyTorch records for gradients what
    comes after the layer, and nothing that comes before it. This holds even if the
    caller has turned gradients off. After the block the model is as it was: without our
    hook, every module in its own train or eval mode.

    Args:
        model: The network.
        name: The layer, as in `model.named_modules()`, for example `"layer4"`.

    Yields:
        An object whose `activations` are the layer's output, after the model has run.

    Raises:
        AttributeError: If the model has no layer of that name.

    Example:
        >>> with watch_layer(model, "layer4") as watched:
        ...     scores = model(img_tensor)
        ...     torch.autograd.grad(scores[0, 285], watched.activations)
    """
    watched = WatchedLayer(name)
    modes = [(module, module.training) for module in model.modules()]
    handle = model.get_submodule(name).register_forward_hook(watched._keep)
    try:
        model.eval()
        with torch.no_grad():  # until the layer has run
            yield watched
    finally:
        handle.remove()
        for module, training in modes:
            module.training = training
