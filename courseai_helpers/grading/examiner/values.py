"""Describes values in JSON and safetensors, and builds them from such descriptions.

Reading a description runs none of its sender's code: what is not a number, text, list,
dict, tensor or array arrives as a `Foreign` with the name of its type.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from courseai_helpers.testing.elsewhere import ElsewhereTensor

MAX_NUMBERS = 2**26  # bytes of all the tensors, or arrays, of a message
MAX_NODES = 10_000  # values in one value
MAX_DEPTH = 10
MAX_TEXT = 10_000  # characters
MAX_BITS = 1000  # of an integer

PLAIN = (bool, int, float, str)
NAME = re.compile(r"[A-Za-z_]\w{0,79}")
# What safetensors knows; the order is the one in which a kind is looked for.
DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
)  # fmt: skip
ARRAY_DTYPES = ("f2", "f4", "f8", "?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


class TransportError(Exception):
    """Says that what came is no message, or that nobody is there to send one."""


class Foreign:
    """Stands for a value that is not a number, text, list, dict, tensor or array.

    Every one is of a class of its own that bears the name of the value's type.
    """

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


@dataclass
class Message:
    """A message that is being put together or was taken apart.

    Attributes:
        header: What JSON can hold; it says where the numbers belong.
        tensors: Tensors by number.
        arrays: Arrays by number.
        networks: Pickled networks, in one piece; a student's message has none.
    """

    header: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    networks: bytes = b""


def encode(value: Any, message: Message) -> dict[str, Any]:
    """Describes a value for the header of a message and adds its numbers to it.

    What can't be sent, or is too large, becomes a description of itself.
    """
    before = len(message.tensors), len(message.arrays)
    try:
        return _encode(value, message, 0)
    except (ValueError, RecursionError, RuntimeError, TypeError) as error:
        both: tuple[dict[str, Any], ...] = (message.tensors, message.arrays)
        for numbers, count in zip(both, before, strict=True):
            for name in list(numbers)[count:]:
                del numbers[name]
        return _describe(value, str(error))


def _encode(value: Any, message: Message, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels deep")
    if value is None or (type(value) in PLAIN and _is_short(value)):
        return {"kind": "plain", "value": value}
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, message)
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(value, message)
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        if len(value) > MAX_NODES:
            raise ValueError(f"a {kind} of length {len(value)}")
        return {"kind": kind, "items": [_encode(v, message, depth + 1) for v in value]}
    if isinstance(value, dict):
        if len(value) > MAX_NODES:
            raise ValueError(f"a dict of {len(value)} entries")
        pairs = [
            [_encode(part, message, depth + 1) for part in p] for p in value.items()
        ]
        return {"kind": "dict", "items": pairs}
    return _describe(value)


def _is_short(value: bool | int | float | str) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    return not isinstance(value, int) or value.bit_length() <= MAX_BITS


def _encode_tensor(value: torch.Tensor, message: Message) -> dict[str, Any]:
    elsewhere = isinstance(value, ElsewhereTensor)
    plain = value.as_subclass(torch.Tensor).detach().cpu().contiguous().clone()
    if plain.dtype not in DTYPES or plain.layout != torch.strided:
        return _describe(value)
    _require_room(plain.nbytes, message.tensors.values())
    name = str(len(message.tensors))
    message.tensors[name] = plain
    return {
        "kind": "tensor",
        "name": name,
        "requires_grad": bool(value.requires_grad),
        "parameter": isinstance(value, torch.nn.Parameter),
        "elsewhere": elsewhere or value.device.type != "cpu",
    }


def _encode_array(value: np.ndarray | np.generic, message: Message) -> dict[str, Any]:
    plain = np.array(value, order="C", subok=False)
    if plain.dtype.newbyteorder("=").str[1:] not in _array_kinds():
        return _describe(value)
    _require_room(plain.nbytes, message.arrays.values())
    name = str(len(message.arrays))
    message.arrays[name] = plain.astype(plain.dtype.newbyteorder("="))
    return {"kind": "array", "name": name, "scalar": isinstance(value, np.generic)}


def _array_kinds() -> set[str]:
    return {np.dtype(kind).str[1:] for kind in ARRAY_DTYPES}


def _require_room(count: int, others: Any) -> None:
    if count + sum(other.nbytes for other in others) > MAX_NUMBERS:
        raise ValueError(f"more than {MAX_NUMBERS // 2**20} MiB of numbers")


def _describe(value: Any, reason: str = "") -> dict[str, Any]:
    try:
        text = reason or repr(value)
    except Exception as error:  # a student's own __repr__ may do anything
        text = f"<its repr raises {type(error).__name__}>"
    return {"kind": "foreign", "type": type(value).__name__, "text": str(text)[:200]}


def decode(structure: Any, message: Message) -> Any:
    """Builds the value that a part of a header describes.

    Raises:
        TransportError: if it describes none.
    """
    try:
        return _decode(structure, message, [MAX_NODES], 0)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise TransportError(f"a value can't be read: {error!r}") from None


def _decode(structure: Any, message: Message, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH + 1:
        raise TransportError("a value has too many parts")
    kind = structure["kind"]
    if kind == "plain":
        value = structure["value"]
        if value is not None and not (type(value) in PLAIN and _is_short(value)):
            raise TransportError("a value is not plain")
        return clean_text(value) if isinstance(value, str) else value
    if kind == "tensor":
        return _decode_tensor(structure, message)
    if kind == "array":
        array = message.arrays[structure["name"]]
        return array[()] if structure["scalar"] else array
    if kind in ("list", "tuple"):
        values = [_decode(s, message, left, depth + 1) for s in structure["items"]]
        return tuple(values) if kind == "tuple" else values
    if kind == "dict":
        return {
            _decode(key, message, left, depth + 1): _decode(s, message, left, depth + 1)
            for key, s in structure["items"]
        }
    if kind == "foreign":
        text = clean_text(str(structure["text"])[:200])
        return make_class(structure["type"], Foreign)(text)
    raise TransportError(f"there is no kind {kind!r} of value")


def _decode_tensor(structure: dict[str, Any], message: Message) -> torch.Tensor:
    tensor = message.tensors[structure["name"]]
    if structure["parameter"]:
        return torch.nn.Parameter(tensor, requires_grad=structure["requires_grad"])
    if structure["requires_grad"]:
        tensor.requires_grad_()
    return tensor.as_subclass(ElsewhereTensor) if structure["elsewhere"] else tensor


def make_class(name: Any, base: type) -> type:
    """Makes a class that bears the name of a type in the other process."""
    known = isinstance(name, str) and NAME.fullmatch(name)
    return type(name if known else "Unknown", (base,), {"__module__": "builtins"})


def clean_text(text: str) -> str:
    """Returns a text as a file or a message can hold it: without half characters."""
    return text.encode(errors="replace").decode()
