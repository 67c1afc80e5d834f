"""Tells whether a solution behaves as the reference does, and where it does not.

A solution is called with every drawn case, and what it returns and leaves behind is
compared with what the reference does there. What the contracts leave open is in `OPEN`
and is not compared.
"""

import contextlib
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from behavior.cases import CaptureCase, FiltersCase, GradCamCase, TopCase
from torch import nn

from courseai_helpers.testing import observe

# What the contracts leave open, with the reason: what is done there is not compared,
# and inputs that ask for it are not drawn.
OPEN = {
    "all": {
        "messages of exceptions": "no contract says a word about them",
        "the seed of random numbers": "no exercise needs one",
        "whether gradients are on afterwards": "the examiner sets it for every call",
        "inputs with NaN or infinity": "no contract says a word about them",
    },
    "normalize_filters": {
        "the graph of the result": "the contract allows it",
        "1e-3 on the scale": "a tiny number added to the span, up to 1e-5, is common",
        "spans below 0.01": "there such a number is more than 1e-3",
        "memory that is not contiguous": "a model's weights are",
    },
    "filter_to_image": {
        "dtype": "the contract allows any float dtype",
        "memory shared with the filter": "the contract does not say",
    },
    "capture_activations": {
        "order of the names in the dict": "a dict is asked for",
        "a name that is asked for twice": "a dict holds it once",
        "a name that the model does not have": "the contract does not say",
        "exceptions that are no Exception": "Ctrl-C ends the kernel's work anyway",
        "layers used twice, or with several outputs": "there is one output",
        "a model in train mode": "the contract does not say",
    },
    "grad_cam": {
        "gradients of the weights": "the contract allows them",
        "dtype of the heatmap": "any float dtype",
        "the number of forward passes": "the contract does not say",
        "1e-3 on the heatmap": "a tiny number added to the maximum is common",
        "a maximum below 2e-3 before scaling": "there such a number is more than 1e-3",
        "layers behind `layer4` that work in place": "in-place layers are the matter "
        "of `capture_activations`",
        "an image on another device": "nothing to test it with: NumPy has one device",
        "classes with nearly equal scores": "the order of sums decides between them",
        "changes of the image": "the contract speaks of the model",
    },
    "top_class_heatmaps": {
        "the number of forward passes": "the contract does not say",
        "list or tuple": "either holds three things",
        "which float": "a NumPy number is a number",
        "scores in the hundreds": "a softmax written by hand overflows there",
        "what happens to the model and the image": "that is the matter of `grad_cam`",
        "classes with nearly equal scores": "the order of sums decides between them",
    },
    "heat_inside": {"which float": "a NumPy number is a number"},
}
MAX_SHOWN = 3  # differences of one kind


@dataclass
class Behavior:
    """What one call did.

    Attributes:
        result: What it returned.
        error: The type of the exception that came out, or None.
        kept: For `capture_activations`, the inputs of each layer, by name.
        left: What it left behind, in words, by kind: hooks, modes, state, inputs ...
        passes: How often the image went into the network.
    """

    result: Any = None
    error: type | None = None
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    passes: int = 0


@dataclass(frozen=True)
class Difference:
    """A case in which a solution does something else than the reference.

    Attributes:
        kind: What differs: "value", "form", "error", "hooks", "modes" ...
        case: The case.
        text: How it differs.
    """

    kind: str
    case: Any
    text: str


def watch(function: Callable, case: Any, ready: tuple | None = None) -> Behavior:
    """Calls a function with a case and returns what it did.

    Args:
        function: The function.
        case: The case.
        ready: Its arguments, where they have been built and nobody has used them.
    """
    arguments = case.arguments() if ready is None else ready
    behavior = Behavior()
    layers = arguments[0].named_modules() if isinstance(case, CaptureCase) else ()
    handles = [
        module.register_forward_pre_hook(make_recorder(name, behavior.kept))
        for name, module in layers
        if name and not [*module.children()]
    ]
    flags = read_flags(arguments)
    net = getattr(case, "net", case)
    gradients = not getattr(net, "no_grad", False)
    # The hooks above are there before and after: `observe` does not mind them.
    with torch.set_grad_enabled(gradients):
        seen = observe(function, *arguments)
    for handle in handles:
        handle.remove()
    behavior.result, behavior.passes = seen.result, seen.forward_passes
    behavior.error = None if seen.error is None else type(seen.error)
    if seen.hooks_left or seen.hooks_lost:
        behavior.left["hooks"] = f"{seen.hooks_left} left, {seen.hooks_lost} lost"
    if seen.modes_changed:
        behavior.left["modes"] = f"modes changed: {seen.modes_changed}"
    if seen.state_changed:
        behavior.left["state"] = f"state changed: {seen.state_changed}"
    if seen.inputs_changed:
        behavior.left["inputs"] = f"inputs changed: {seen.inputs_changed}"
    if read_flags(arguments) != flags:
        behavior.left["frozen"] = "what requires gradients has changed"
    return behavior


def make_recorder(name: str, kept: dict[str, torch.Tensor]) -> Callable:
    """Returns a hook that keeps the first input of a layer."""

    def record(module: nn.Module, inputs: tuple) -> None:
        with torch.no_grad(), contextlib.suppress(Exception):
            kept.setdefault(name, inputs[0].detach().clone())

    return record


def read_flags(arguments: tuple) -> list[bool]:
    """Returns for each filter, and each weight of a model, if it requires gradients."""
    tensors = [value for value in arguments if isinstance(value, nn.Parameter)]
    for model in arguments:
        if isinstance(model, nn.Module):
            tensors += model.parameters()
    return [tensor.requires_grad for tensor in tensors]


def compare(exercise: str, case: Any, want: Behavior, got: Behavior) -> Iterator:
    """Yields kind and text of everything in which two behaviors differ."""
    if want.error is not got.error:
        yield "error", f"expected {say(want.error)}, got {say(got.error)}"
    elif want.error is None:
        yield from COMPARE[exercise](want.result, got.result)
    ignored = IGNORED.get(exercise, set())
    for kind in sorted((want.left.keys() | got.left.keys()) - ignored):
        if want.left.get(kind) != got.left.get(kind):
            yield kind, got.left.get(kind, f"not: {want.left.get(kind)}")
    if isinstance(case, CaptureCase) and not got.error:
        if got.passes != want.passes:
            yield "passes", f"{got.passes} forward passes"
        for name, value in got.kept.items():
            if name in want.kept and not close(want.kept[name], value, 1e-5):
                yield "later layers", f"the input of {name} is another"
                break


def say(error: type | None) -> str:
    """Names an exception."""
    return "no exception" if error is None else error.__name__


def close(want: Any, got: Any, tolerance: float) -> bool:
    """Tells whether two arrays have the same shape and nearly the same values."""
    one, two = to_numbers(want), to_numbers(got)
    return one.shape == two.shape and bool(
        np.allclose(one, two, rtol=0, atol=tolerance)
    )


def to_numbers(value: Any) -> np.ndarray:
    """Returns a tensor or an array as float64."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().as_subclass(torch.Tensor).double().numpy()
    return np.asarray(value, dtype=np.float64)


def compare_arrays(want: Any, got: Any, kind: type, tolerance: float) -> Iterator:
    """Compares two tensors or arrays in type, shape and values."""
    if not isinstance(got, kind):
        yield "form", f"expected a {kind.__name__}, got {type(got).__name__}"
    elif tuple(got.shape) != tuple(want.shape):
        yield "form", f"expected {tuple(want.shape)}, got {tuple(got.shape)}"
    elif not close(want, got, tolerance):
        gap = np.abs(to_numbers(want) - to_numbers(got)).max()
        yield "value", f"values differ by up to {gap:.3g}"


def compare_filters(want: torch.Tensor, got: Any) -> Iterator:
    """Compares two results of `normalize_filters`."""
    yield from compare_arrays(want, got, torch.Tensor, 1e-3)
    if isinstance(got, torch.Tensor) and got.dtype != want.dtype:
        yield "form", f"expected {want.dtype}, got {got.dtype}"


def compare_image(want: np.ndarray, got: Any) -> Iterator:
    """Compares two results of `filter_to_image`."""
    tolerance = 0.01 if want.dtype == np.float16 else 1e-5
    yield from compare_arrays(want, got, np.ndarray, tolerance)
    if isinstance(got, np.ndarray) and got.dtype.kind != "f":
        yield "form", f"expected a float dtype, got {got.dtype}"


def compare_activations(want: dict, got: Any) -> Iterator:
    """Compares two results of `capture_activations`."""
    if not isinstance(got, dict) or set(got) != set(want):
        names = list(got) if isinstance(got, dict) else type(got).__name__
        yield "names", f"expected {list(want)}, got {names}"
        return
    for name in want:
        value = got[name]
        if isinstance(value, torch.Tensor):
            if value.requires_grad:
                yield "detached", f"{name} requires gradients"
            if value.device.type != "cpu":
                yield "device", f"{name} is on {value.device}"
        for kind, text in compare_arrays(want[name], value, torch.Tensor, 1e-5):
            yield kind, f"{name}: {text}"


def compare_heatmap(want: np.ndarray, got: Any) -> Iterator:
    """Compares two heatmaps."""
    yield from compare_arrays(want, got, np.ndarray, 1e-3)
    if isinstance(got, np.ndarray) and got.dtype.kind != "f":
        yield "form", f"expected a float dtype, got {got.dtype}"


def compare_pair(want: tuple, got: Any) -> Iterator:
    """Compares two results of `grad_cam`."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        yield "form", f"expected two things, got {type(got).__name__}"
        return
    yield from compare_heatmap(want[0], got[0])
    yield from compare_class(want[1], got[1])


def compare_class(want: int, got: Any) -> Iterator:
    """Compares two class indices."""
    if type(got) is not int:
        yield "form", f"expected an int, got {type(got).__name__}"
    elif got != want:
        yield "class", f"expected class {want}, got {got}"


def compare_top(want: list, got: Any) -> Iterator:
    """Compares two results of `top_class_heatmaps`."""
    if not isinstance(got, list | tuple) or len(got) != len(want):
        yield "number", f"expected {len(want)} classes, got {describe_length(got)}"
        return
    for one, two in zip(want, got, strict=True):
        if not isinstance(two, list | tuple) or len(two) != 3:
            yield "form", f"expected three things, got {type(two).__name__}"
            return
        yield from compare_class(one[0], two[0])
        yield from compare_number(one[1], two[1])
        yield from compare_heatmap(one[2], two[2])


def describe_length(value: Any) -> str:
    """Returns the length of what has one, else its type."""
    return str(len(value)) if hasattr(value, "__len__") else type(value).__name__


def compare_number(want: float, got: Any) -> Iterator:
    """Compares two numbers."""
    if not isinstance(got, numbers.Real | np.floating) or isinstance(got, bool):
        yield "form", f"expected a number, got {type(got).__name__}"
    elif not math.isclose(want, got, rel_tol=0, abs_tol=1e-4):
        yield "value", f"expected {want:.4f}, got {got:.4f}"


COMPARE = {
    "normalize_filters": compare_filters,
    "filter_to_image": compare_image,
    "capture_activations": compare_activations,
    "grad_cam": compare_pair,
    "top_class_heatmaps": compare_top,
    "heat_inside": compare_number,
}
# Kinds of traces that the contract of an exercise does not speak of.
IGNORED = {
    "capture_activations": {"inputs", "modes", "state"},
    "grad_cam": {"inputs"},
    "top_class_heatmaps": {"hooks", "frozen", "inputs", "modes", "state"},
}


def find_differences(
    exercise: str,
    function: Callable,
    cases: Sequence[Any],
    wanted: Sequence[Behavior],
    ready: Sequence[tuple] | None = None,
    enough: int = 8,
) -> list[Difference]:
    """Returns in which cases, and how, a function differs from the reference.

    Args:
        exercise: The exercise that it solves.
        function: The solution.
        cases: What to call it with.
        wanted: What the reference does there.
        ready: The cases' arguments, as for `watch`.
        enough: After how many cases that differ to stop.

    Returns:
        A difference for each kind and case; none if it behaves as the reference.
    """
    found: list[Difference] = []
    for case, want, arguments in zip(
        cases, wanted, ready or [None] * len(wanted), strict=True
    ):
        got = watch(function, case, arguments)
        kinds: dict[str, str] = {}
        for kind, text in compare(exercise, case, want, got):
            kinds.setdefault(kind, text)
        found += [Difference(kind, case, text) for kind, text in kinds.items()]
        enough -= bool(kinds)
        if enough <= 0:
            break
    return found


def is_fair(case: Any) -> bool:
    """Tells whether a case has one right answer, whatever the order of the sums.

    A heatmap whose raw maximum is tiny, but not zero, is scaled by whatever a solution
    adds to it, and so is no fair question; neither is a filter with a tiny span, nor
    are classes nearly equal in score.
    """
    if isinstance(case, FiltersCase):
        (weights,) = case.arguments()
        spans = weights.flatten(1).amax(1) - weights.flatten(1).amin(1)
        return not ((spans > 0) & (spans < 0.01)).any()
    if not isinstance(case, GradCamCase | TopCase) or case.net.error >= 0:
        return True
    net, image, *_ = case.arguments()
    kept = []
    handle = net.layer4.register_forward_hook(lambda *all: kept.append(all[2]))
    with torch.enable_grad():
        scores = net.eval()(image.requires_grad_())[0]
    handle.remove()
    ordered = scores.detach().sort(descending=True).values[:7]
    if len(ordered) > 1 and (ordered[:-1] - ordered[1:]).min() < 1e-3:
        return False
    for index in scores.topk(min(6, len(scores))).indices:
        (gradient,) = torch.autograd.grad(scores[index], kept[0], retain_graph=True)
        heat = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)
        if 0 < heat.max() < 2e-3:
            return False
    return True
