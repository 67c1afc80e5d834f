"""Draws inputs that the contracts of the exercises allow, as Hypothesis strategies.

A case is a frozen dataclass of plain numbers and words, so that it can be printed and
drawn again; `arguments()` builds fresh inputs from it. What the contracts leave open is
not drawn; `OPEN` in oracle.py lists it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from courseai_helpers.models import class_names
from courseai_helpers.testing import ElsewhereTensor, move_elsewhere

DTYPES = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
}


class ForwardError(Exception):
    """An exception that no one but the network of a case raises."""


# The examples are not worth naming all: whatever the forward pass raises, it is raised.
ERRORS = (
    RuntimeError,
    ValueError,
    KeyError,
    OSError,
    NotImplementedError,
    ForwardError,
)


class Failing(nn.Module):
    """A layer that raises."""

    def __init__(self, error: type[Exception]):
        super().__init__()
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raises the error that this layer was made with."""
        raise self.error("this layer always fails")


def draw(case_strategy: st.SearchStrategy, count: int) -> list[Any]:
    """Draws the same cases every time, the simplest ones first."""
    cases = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case_strategy)
    def collect(case: Any) -> None:
        if case not in cases:
            cases.append(case)

    collect()
    return cases


def set_weights(net: nn.Module, seed: int) -> None:
    """Gives a network random weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                shape = module.running_mean.shape
                module.running_mean.copy_(torch.randn(shape, generator=generator))
                module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)


def make_image(size: tuple[int, int], seed: int) -> torch.Tensor:
    """Makes a random image [1, 3, *size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, 3, *size), generator=generator)


@dataclass(frozen=True)
class FiltersCase:
    """Input of `normalize_filters`."""

    shape: tuple[int, int, int, int]
    dtype: str
    span: float
    offset: float
    constant: tuple[int, ...]
    parameter: bool
    seed: int

    def arguments(self) -> tuple[torch.Tensor]:
        """Returns the weights."""
        generator = torch.Generator().manual_seed(self.seed)
        weights = torch.randn(self.shape, generator=generator, dtype=torch.float64)
        weights = weights * self.span + self.offset
        for index in self.constant:
            weights[index % self.shape[0]] = self.offset
        weights = weights.to(DTYPES[self.dtype])
        return (nn.Parameter(weights) if self.parameter else weights,)


filters_cases = st.builds(
    FiltersCase,
    shape=st.tuples(
        st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(2, 7)
    ),
    dtype=st.sampled_from(["float32", "float64"]),
    span=st.sampled_from([1.0, 0.02, 30.0]),
    # The mean of many 40.1s is another number.
    offset=st.sampled_from([0.0, 2.0, -3.0, 1 / 3, 40.1]),
    constant=st.lists(st.integers(0, 5), max_size=2).map(tuple),
    parameter=st.booleans(),
    seed=st.integers(0, 999),
)


@dataclass(frozen=True)
class FilterCase:
    """Input of `filter_to_image`."""

    shape: tuple[int, int, int]
    dtype: str
    where: str
    transposed: bool
    seed: int

    def arguments(self) -> tuple[torch.Tensor]:
        """Returns the filter."""
        generator = torch.Generator().manual_seed(self.seed)
        values = torch.randn(self.shape, generator=generator) * 3
        values = values.to(DTYPES[self.dtype])
        if self.transposed:
            values = values.transpose(1, 2)
        if self.where == "parameter":
            return (nn.Parameter(values),)
        if self.where == "elsewhere":
            return (values.as_subclass(ElsewhereTensor),)
        return (values,)


filter_cases = st.builds(
    FilterCase,
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
    dtype=st.sampled_from(list(DTYPES)),
    where=st.sampled_from(["plain", "parameter", "elsewhere"]),
    transposed=st.booleans(),
    seed=st.integers(0, 999),
)

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(3, 3, 3, padding=1),
    "norm": lambda: nn.BatchNorm2d(3),
    "relu": nn.ReLU,
    "relu_": lambda: nn.ReLU(inplace=True),
    "hardtanh_": lambda: nn.Hardtanh(-0.3, 0.3, inplace=True),
    "leaky_": lambda: nn.LeakyReLU(0.2, inplace=True),
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "dropout": nn.Dropout,
    "pool": lambda: nn.AvgPool2d(2, ceil_mode=True),
}


def build_stages(plan: list, first: bool = True) -> nn.Sequential:
    """Builds nested layers; the first convolves, so that no image is worked on."""
    stages = OrderedDict(entrance=LAYERS["conv"]()) if first else OrderedDict()
    for number, part in enumerate(plan):
        name = "abcdefgh"[number] if number % 2 else str(number)
        nested = isinstance(part, list)
        stages[name] = build_stages(part, False) if nested else LAYERS[part]()
    return nn.Sequential(stages)


def freeze_plan(plan: Any) -> Any:
    """Turns nested lists into nested tuples, which can be compared and hashed."""
    return tuple(map(freeze_plan, plan)) if isinstance(plan, list) else plan


def thaw_plan(plan: Any) -> Any:
    """Turns nested tuples into nested lists."""
    return list(map(thaw_plan, plan)) if isinstance(plan, tuple) else plan


@dataclass(frozen=True)
class CaptureCase:
    """Input of `capture_activations`.

    Attributes:
        plan: The layers, nested as they are in the network.
        picks: Which names are asked for, by their places in the list of all names.
        kind: "plain", "frozen", "gradients" (the image requires them), "double" or
            "elsewhere" (on another device than the CPU).
        error: The place in `ERRORS` of what the forward pass raises, -1 for none.
        hooks_of_others: Whether layers have hooks already.
    """

    plan: tuple
    picks: tuple[int, ...]
    kind: str
    error: int
    hooks_of_others: bool
    size: tuple[int, int]
    seed: int

    def arguments(self) -> tuple[nn.Module, torch.Tensor, list[str]]:
        """Returns network, image and names."""
        stages = build_stages(thaw_plan(self.plan))
        parts = OrderedDict(stages=stages, last=nn.Conv2d(3, 2, 1))
        # Without names of their own they are numbers, and "0.0" ends as "0" does.
        net = nn.Sequential(parts) if self.seed % 2 else nn.Sequential(*parts.values())
        names = [name for name, _ in net.named_modules() if name]
        set_weights(net, self.seed)
        if self.hooks_of_others:
            for module in list(net.modules())[1::2]:
                module.register_forward_hook(lambda module, inputs, output: None)
        if self.error >= 0:
            net.append(Failing(ERRORS[self.error]))
        net.eval().requires_grad_(self.kind != "frozen")
        image = make_image(self.size, self.seed)
        if self.kind == "double":
            net, image = net.double(), image.double()
        if self.kind == "elsewhere":
            move_elsewhere(net)
            image = image.as_subclass(ElsewhereTensor)
        image.requires_grad_(self.kind == "gradients")
        picked = dict.fromkeys(names[pick % len(names)] for pick in self.picks)
        return net, image, list(picked)


plans = st.recursive(
    st.sampled_from(list(LAYERS)),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=6,
)
capture_cases = st.builds(
    CaptureCase,
    plan=st.lists(plans, min_size=2, max_size=4).map(freeze_plan),
    picks=st.lists(st.integers(0, 19), min_size=1, max_size=4).map(tuple),
    kind=st.sampled_from(["plain", "frozen", "gradients", "double", "elsewhere"]),
    error=st.one_of(st.just(-1), st.integers(-1, len(ERRORS) - 1)),
    hooks_of_others=st.booleans(),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)),
    seed=st.integers(0, 999),
)

HEADS = ("flatten", "pool", "tanh", "dropout")


@dataclass(frozen=True)
class NetCase:
    """A network with a `layer4`, and an image: input of both heatmap exercises.

    Attributes:
        head: "flatten" (its gradients vary in space), "pool" (as in ResNet-18), "tanh"
            (its gradients depend on the image) or "dropout" (as "flatten").
        last: What ends `layer4`: "none", "relu_" (in place) or "norm".
        stride: Of each of the two convolutions.
        cells: Height and width of `layer4`'s maps.
        short: By how many pixels the image is smaller than what these cells cover, so
            that its sides are no multiples of theirs.
        classes: How many there are.
        mode: "eval", "train" or "mixed".
        frozen: Whether the weights are.
        no_grad: Whether the caller has turned gradients off.
        maps: "blank" (zeros: so is the image, and no layer has a bias), "flat" (each
            channel of `layer4` is one number everywhere), "faint" (the scores hardly
            depend on them) or "free".
        lift: A number that all the classes' scores are raised by.
        error: As for `CaptureCase`, but raised before `layer4`.
        hooks_of_others: Whether layers have hooks already.
    """

    head: str
    last: str
    stride: int
    cells: tuple[int, int]
    short: tuple[int, int]
    classes: int
    mode: str
    frozen: bool
    no_grad: bool
    maps: str
    lift: float
    error: int
    hooks_of_others: bool
    seed: int

    def build(self) -> tuple[nn.Module, torch.Tensor]:
        """Returns network and image."""
        size = tuple(
            self.stride**2 * cells - short % self.stride**2
            for cells, short in zip(self.cells, self.short, strict=True)
        )
        blank = self.maps == "blank"
        stem = nn.Sequential(
            nn.Conv2d(3, 3, 3, self.stride, padding=1, bias=not blank),
            nn.BatchNorm2d(3),
            nn.ReLU(inplace=True),
        )
        layer4 = nn.Sequential(
            nn.Conv2d(3, 4, 3, self.stride, padding=1, bias=not blank)
        )
        if self.last != "none":
            layer4.append(
                nn.BatchNorm2d(4) if self.last == "norm" else nn.ReLU(inplace=True)
            )
        net = nn.Sequential(OrderedDict(stem=stem, layer4=layer4, **self.make_head()))
        set_weights(net, self.seed)
        net.fc.bias.data += self.lift
        if self.maps == "flat":
            layer4[0].weight.data.zero_()
        if self.maps == "faint":
            net.fc.weight.data *= 0.1
        if blank:
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.zero_()
                    module.bias.data.zero_()
        if self.error >= 0:
            stem.append(Failing(ERRORS[self.error]))
        if self.hooks_of_others:
            for module in (stem, layer4):
                module.register_forward_hook(lambda module, inputs, output: None)
        net.train(self.mode == "train")
        if self.mode == "mixed":
            stem.train()
        net.requires_grad_(not self.frozen)
        image = make_image(size, self.seed)
        return net, torch.zeros_like(image) if blank else image

    def make_head(self) -> dict[str, nn.Module]:
        """Returns the layers behind `layer4` by name."""
        cells = self.cells[0] * self.cells[1]
        flat = {"flatten": nn.Flatten(), "fc": nn.Linear(4 * cells, self.classes)}
        if self.head == "flatten":
            return flat
        if self.head == "dropout":
            return {"flatten": flat["flatten"], "drop": nn.Dropout(), "fc": flat["fc"]}
        pooled = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        if self.head == "pool":
            return pooled | {"fc": nn.Linear(4, self.classes)}
        hidden = {"hidden": nn.Linear(4, 5), "tanh": nn.Tanh()}
        return pooled | hidden | {"fc": nn.Linear(5, self.classes)}


@dataclass(frozen=True)
class GradCamCase:
    """Input of `grad_cam`: a network, an image and a class or None."""

    net: NetCase
    target: int | None

    def arguments(self) -> tuple[nn.Module, torch.Tensor, int | None]:
        """Returns network, image and class."""
        target = None if self.target is None else self.target % self.net.classes
        return *self.net.build(), target


def choose_nets(
    modes: tuple[str, ...] = ("eval", "train", "mixed"),
    errors: int = len(ERRORS),
    lifts: tuple[float, ...] = (0.0, 0.0, 1000.0, -1000.0),
) -> st.SearchStrategy:
    """Returns a strategy for networks."""
    return st.builds(
        NetCase,
        head=st.sampled_from(HEADS),
        last=st.sampled_from(["none", "relu_", "norm"]),
        stride=st.sampled_from([2, 1]),
        cells=st.tuples(st.integers(2, 5), st.integers(2, 5)),
        short=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        classes=st.integers(2, 6),
        mode=st.sampled_from(modes),
        frozen=st.booleans(),
        no_grad=st.booleans(),
        maps=st.sampled_from(["free", "free", "free", "blank", "flat", "faint"]),
        lift=st.sampled_from(lifts),
        error=st.one_of(st.just(-1), st.just(-1), st.integers(-1, errors - 1)),
        hooks_of_others=st.booleans(),
        seed=st.integers(0, 999),
    )


grad_cam_cases = st.builds(
    GradCamCase,
    net=choose_nets(),
    target=st.one_of(st.none(), st.integers(0, 5)),
)


def find_twins() -> list[tuple[int, int]]:
    """Returns two pairs of classes whose names begin with the same word."""
    first_words = [name.split()[0] for name in class_names()]
    return [
        tuple(index for index, word in enumerate(first_words) if word == twin)
        for twin in ("crane", "maillot")
    ]


@dataclass(frozen=True)
class TopCase:
    """Input of `top_class_heatmaps`; k is left to its default if it is None.

    With `twins`, the network has the 1,000 classes of ImageNet, and two of them
    that many lists know by the same name are the most probable.
    """

    net: NetCase
    k: int | None
    twins: int | None

    def arguments(self) -> tuple:
        """Returns network and image, and k if it is given."""
        net, image = self.net.build()
        if self.twins is not None:
            pairs = find_twins()
            pair = list(pairs[self.twins % len(pairs)])
            wide = nn.Linear(net.fc.in_features, 1000)
            set_weights(wide, self.net.seed)
            with torch.no_grad():
                wide.weight.mul_(0.1)
                wide.bias[pair] += torch.tensor([9.0, 8.0])
            net.fc = wide.eval().requires_grad_(not self.net.frozen)
        classes = net.fc.out_features
        return (net, image) if self.k is None else (net, image, min(self.k, classes))


top_cases = st.builds(
    TopCase,
    net=choose_nets(modes=("eval",), errors=0, lifts=(0.0,)),
    k=st.one_of(st.none(), st.integers(1, 6)),
    twins=st.one_of(st.none(), st.none(), st.integers(0, 9)),
)


@dataclass(frozen=True)
class BoxCase:
    """Input of `heat_inside`."""

    size: tuple[int, int]
    corners: tuple[int, int, int, int]
    dtype: str
    blank: bool
    sparse: bool
    seed: int

    def arguments(self) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """Returns heatmap and box; the box has at least one pixel."""
        height, width = self.size
        heat = np.random.default_rng(self.seed).random(self.size)
        if self.sparse:
            heat *= heat > 0.7
        if self.blank:
            heat[:] = 0
        left, right = sorted((self.corners[0] % width, self.corners[1] % width))
        top, bottom = sorted((self.corners[2] % height, self.corners[3] % height))
        return heat.astype(self.dtype), (left, top, right + 1, bottom + 1)


box_cases = st.builds(
    BoxCase,
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corners=st.tuples(*[st.integers(0, 11)] * 4),
    dtype=st.sampled_from(["float32", "float64"]),
    blank=st.sampled_from([False, False, False, True]),
    sparse=st.booleans(),
    seed=st.integers(0, 999),
)

STRATEGIES = {
    "normalize_filters": filters_cases,
    "filter_to_image": filter_cases,
    "capture_activations": capture_cases,
    "grad_cam": grad_cam_cases,
    "top_class_heatmaps": top_cases,
    "heat_inside": box_cases,
}
