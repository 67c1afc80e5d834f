"""A stand-in for a GPU: tensors and networks that are elsewhere than on the CPU."""

from typing import Any

import torch
from torch import nn


class ElsewhereTensor(torch.Tensor):
    """A tensor that behaves as if it were on a GPU, on a machine that has none.

    NumPy gets its values only after `cpu()`. Make one with
    `tensor.as_subclass(ElsewhereTensor)`.
    """

    device = property(lambda self: torch.device("cuda:0"))
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """Runs an operation; what comes out is elsewhere, too, unless it is moved."""
        options = options or {}
        name = getattr(function, "__name__", "")
        if name in ("numpy", "__array__") and not options.get("force"):
            raise TypeError(
                "can't convert a tensor on another device to NumPy: copy it to the CPU"
            )
        moved = name == "to" and "cpu" in map(str, (*arguments[1:], *options.values()))
        if name == "cpu" or moved or options.get("force"):
            arguments = (arguments[0].as_subclass(torch.Tensor), *arguments[1:])
            return function(*arguments, **options)
        return super().__torch_function__(function, types, arguments, options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Tells pickle and copy how to make one like this."""
        values = self.detach().as_subclass(torch.Tensor).clone()
        parameter = isinstance(self, nn.Parameter)
        return place_elsewhere, (values, self.requires_grad, parameter)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copies it; the copy is elsewhere, too."""
        make, arguments = self.__reduce_ex__(4)
        return memo.setdefault(id(self), make(*arguments))


def place_elsewhere(values: torch.Tensor, requires_grad: bool, parameter: bool) -> Any:
    """Makes a tensor, or a parameter, that behaves as if it were on a GPU."""
    tensor = values.as_subclass(ElsewhereTensor)
    if parameter:
        return nn.Parameter(tensor, requires_grad)
    return tensor.requires_grad_(requires_grad)


def move_elsewhere(network: nn.Module) -> None:
    """Makes a network behave as if all its weights and buffers were on a GPU."""
    for module in network.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = place_elsewhere(
                    value.detach(), value.requires_grad, True
                )
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.as_subclass(ElsewhereTensor)
