"""Keeps the lesson as its setup cells made it, in the student's process.

Students try things out: they train the lesson's network, overwrite its weights, call
another image `img_tensor` and a number `np`, and set PyTorch to another precision. But
only what their function itself does is judged. So during a call by the examiner, the
names that the setup cells defined have their original values, and the process has its
original settings. Afterwards the student's state is restored.
"""

import ast
import builtins
import contextlib
import copy
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

MISSING = object()
COPIED = (nn.Module, torch.Tensor, np.ndarray, list, dict, set)


def write_device(device: torch.device) -> None:
    """Sets the default device of new tensors."""
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)


def write_environment(variables: dict[str, str]) -> None:
    """Replaces all environment variables."""
    os.environ.clear()
    os.environ.update(variables)


def write_path(path: list[str]) -> None:
    """Replaces where Python looks for modules."""
    sys.path[:] = path


def write_tensor_class(attributes: dict[str, Any]) -> None:
    """Replaces the methods of tensors that have been changed."""
    now = dict(vars(torch.Tensor))
    for name in now.keys() | attributes.keys():
        if name not in attributes:
            delattr(torch.Tensor, name)
        elif now.get(name, MISSING) is not attributes[name]:
            setattr(torch.Tensor, name, attributes[name])


# State that a cell may change for the rest of the process: how to read and write it.
SETTINGS = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, write_device),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (np.geterr, lambda kinds: np.seterr(**kinds)),
    (lambda: dict(os.environ), write_environment),
    (lambda: list(sys.path), write_path),
)
TENSOR_CLASS = (lambda: dict(vars(torch.Tensor)), write_tensor_class)


class Lesson:
    """What the setup cells of a notebook left in its kernel.

    Attributes:
        namespace: The notebook's.
        settings: What SETTINGS read.
        tensor_class: The methods of tensors; own_tensor_class holds the student's.
        made: Copies of the objects that the setup named; they are never handed out.
        lent: Copies of these, for the function that is being asked.
        borrower: That function's name.
    """

    def __init__(self, namespace: dict[str, Any]):
        self.namespace = namespace
        self.settings = [read() for read, _ in SETTINGS]
        self.tensor_class = self.own_tensor_class = TENSOR_CLASS[0]()
        self.made: dict[str, Any] = {}
        self.lent: dict[str, Any] = {}
        self.borrower: str | None = None

    @contextlib.contextmanager
    def restored(self, borrower: str | None) -> Iterator[dict[str, Any]]:
        """Restores everything to its state after the setup while the context lasts.

        Args:
            borrower: The name of the function that is called, or None for a setup cell.
                What one function does to the lesson's objects is not seen by any other.

        Yields:
            The setup's names and their values.
        """
        if borrower is None or borrower != self.borrower:
            self.lent = {}  # so that the last copy's memory can be used again
            self.borrower, self.lent = borrower, copy_values(self.made)
        taken = {
            name: self.namespace.get(name, MISSING)
            for name, value in self.lent.items()
            if not is_replaced(value, self.namespace.get(name))
        }
        shadows = find_shadows(self.namespace)
        self.own_tensor_class = TENSOR_CLASS[0]()
        with (
            swap(SETTINGS, self.settings),
            swap((TENSOR_CLASS,), [self.tensor_class]),
            torch.inference_mode(False),
            warnings.catch_warnings(action="ignore"),
        ):
            self.namespace.update({name: self.lent[name] for name in taken})
            for name in shadows:
                del self.namespace[name]
            try:
                yield self.lent
            finally:
                self.namespace.update(shadows)
                for name, value in taken.items():
                    put_back(self.namespace, name, value)

    def lend_methods(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a student's function so that it meets the tensors' current methods.

        Students may add or replace some, and use what they made.
        """
        theirs = [self.own_tensor_class]

        def call(*arguments: Any, **options: Any) -> Any:
            with swap((TENSOR_CLASS,), theirs):
                return function(*arguments, **options)

        return call

    def keep(self, names: list[str]) -> None:
        """Keeps the current values of these names, and the settings of the process."""
        found = {n: self.namespace[n] for n in names if n in self.namespace}
        self.made |= copy_values(found)
        self.settings = [read() for read, _ in SETTINGS]
        self.tensor_class = TENSOR_CLASS[0]()
        self.borrower = None


_lesson: Lesson | None = None
_setup = contextlib.ExitStack()


def start(namespace: dict[str, Any]) -> None:
    """Notes the settings of a new kernel: called before it runs anything."""
    global _lesson
    _lesson = Lesson(namespace)


def find_lesson() -> Lesson | None:
    """Returns what the setup cells of this kernel's notebook left."""
    return _lesson


def require_lesson() -> Lesson:
    """Returns the lesson of a kernel in which `student_side` has been started.

    Raises:
        RuntimeError: if there is none.
    """
    if _lesson is None:
        raise RuntimeError("This kernel has not been prepared for questions.")
    return _lesson


def begin_setup() -> None:
    """Restores, before a setup cell runs, what the cells before it left."""
    _setup.enter_context(require_lesson().restored(None))


def end_setup(source: str) -> None:
    """Keeps what a setup cell made: called when it has been run."""
    lesson, names = require_lesson(), list_names(source)
    made = {n: lesson.namespace[n] for n in names if n in lesson.namespace}
    lesson.keep(names)
    _setup.close()
    lesson.namespace.update(made)


def give_up(name: str) -> None:
    """Replaces a function that has run out of time, so that it is not called again."""

    def stand_in(*_: Any, **__: Any) -> None:
        raise TimeoutError(
            f"{name} took too long in a check and is not called again. Does a loop not "
            "end?"
        )

    require_lesson().namespace[name] = stand_in


def list_names(source: str) -> list[str]:
    """Returns the names that a cell gives to something."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [a.asname or a.name.partition(".")[0] for a in node.names]
    return names


@contextlib.contextmanager
def swap(places: tuple[Any, ...], values: list[Any]) -> Iterator[None]:
    """Writes values to places, and in the end what was there before."""
    before = [read() for read, _ in places]
    try:
        for (_, write), value in zip(places, values, strict=True):
            write(value)
        yield
    finally:
        for (_, write), value in zip(places, before, strict=True):
            write(value)


def copy_values(values: dict[str, Any]) -> dict[str, Any]:
    """Copies what can change and be copied; the rest is shared."""
    copies = {}
    for name, value in values.items():
        try:
            copies[name] = copy.deepcopy(value) if isinstance(value, COPIED) else value
        except (TypeError, RuntimeError):  # a lock, a tensor with a history
            copies[name] = value
    return copies


def is_replaced(value: Any, theirs: Any) -> bool:
    """Tells whether a student gave the name of a module or function to another one.

    They may well do that: `from torchvision.transforms import functional as F`.
    """
    return is_tool(value) and is_tool(theirs)


def is_tool(value: Any) -> bool:
    """Tells whether something is a module or can be called, and is not a network."""
    if isinstance(value, nn.Module):
        return False
    return isinstance(value, types.ModuleType) or callable(value)


def find_shadows(namespace: dict[str, Any]) -> dict[str, Any]:
    """Returns what has the name of a built-in function, and can't be called."""
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and callable(getattr(builtins, name, None))
        and not callable(value)
    }


def put_back(namespace: dict[str, Any], name: str, value: Any) -> None:
    """Restores the value of a name, or deletes the name."""
    if value is MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = value
