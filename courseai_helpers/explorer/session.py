"""Asks the reader's own functions what the explorer should show, each thing once."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from IPython import get_ipython
from IPython.utils.capture import capture_output
from PIL import Image
from torch import nn

from courseai_helpers.images.preprocessing import crop_seen, preprocess
from courseai_helpers.models.pretrained import Prediction, predict_top_k
from courseai_helpers.plots.figure import kind_of


class UnansweredError(Exception):
    """There is nothing to show; the message says why and what to do."""


@contextlib.contextmanager
def keep_quiet() -> Iterator[None]:
    """Drops what is printed or displayed meanwhile.

    `capture_output` alone would replace the shell's publisher by one with which no
    kernel can take messages: what a reader chose in that moment would be lost.
    """
    publisher: Any = getattr(get_ipython(), "display_pub", None)
    in_kernel = hasattr(publisher, "register_hook")
    with capture_output(display=not in_kernel):
        if not in_kernel:
            yield
            return
        publisher.register_hook(_drop)  # for this thread
        try:
            yield
        finally:
            publisher.unregister_hook(_drop)


class Inquiry:
    """A network's view of one photo, computed by the reader's own functions.

    Attributes:
        stages: The network's convolutional stages, in the order of their use.
        crop: The part of the photo that the network sees.
        ranking: All classes, most probable first.
    """

    def __init__(
        self, model: nn.Module, functions: Mapping[str, Callable[..., Any] | None]
    ):
        self.model = model
        self.stages = [name for name, child in model.named_children() if _convs(child)]
        self._functions = functions
        self._weight = next(model.parameters())

    def take(self, photo: Image.Image) -> None:
        """Turns to another photo.

        Raises:
            ImageError: If it cannot be prepared; the former photo stays.
        """
        image, crop = preprocess(photo).to(self._weight), crop_seen(photo)
        count = [m for m in self.model.modules() if isinstance(m, nn.Linear)][-1]
        self.ranking = predict_top_k(self.model, image, k=count.out_features)
        self.crop, self._image = crop, image
        self._maps: dict[Any, Any] = {}
        self._limits: dict[str, tuple[float, float]] = {}
        self._heatmaps: dict[tuple[str, int], Any] = {}

    def read_filter(self, stage: str, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns a filter of the stage's last convolution as [C, H, W], and its image.

        The image is [H, W, 3] for a filter over three channels, else [C, H, W].
        """
        weights = _convs(self.model.get_submodule(stage))[-1].weight
        one = weights[channel : channel + 1].detach().clone()
        scaled = self._ask("normalize_filters", one)
        shape = list(one.shape)
        if not isinstance(scaled, torch.Tensor) or list(scaled.shape) != shape:
            raise _unlike("normalize_filters", f"a tensor {shape}", scaled)
        image = scaled[0].detach().cpu().numpy()
        if one.shape[1] == 3:
            image = self._ask("filter_to_image", scaled[0])
            shape = [*one.shape[2:], 3]
            if not isinstance(image, np.ndarray) or list(image.shape) != shape:
                raise _unlike("filter_to_image", f"an array {shape}", image)
        return one[0].cpu().numpy(), image

    def count_channels(self, stage: str) -> int:
        """Returns how many filters, and activation maps, a stage has."""
        return _convs(self.model.get_submodule(stage))[-1].out_channels

    def read_activation(self, stage: str) -> np.ndarray:
        """Returns a stage's activation [C, h, w]."""
        if not self._maps:
            name = "capture_activations"
            kept = self._ask(name, self.model, self._image, list(self.stages))
            if not isinstance(kept, dict):
                raise _unlike(name, "a dict from layer name to tensor", kept)
            self._maps = kept
        maps = self._maps.get(stage)
        if not isinstance(maps, torch.Tensor) or maps.ndim != 4 or len(maps) != 1:
            wanted = f"a tensor [1, C, h, w] for {stage}"
            raise _unlike("capture_activations", wanted, maps)
        return maps[0].detach().cpu().float().numpy()

    def read_limits(self, stage: str) -> tuple[float, float]:
        """Returns the color limits that all activation maps of a stage share."""
        if stage not in self._limits:
            maps = self.read_activation(stage)
            self._limits[stage] = tuple(np.percentile(maps, [0.5, 99.5]).tolist())
        return self._limits[stage]

    def read_heatmap(self, stage: str, class_index: int) -> np.ndarray:
        """Returns the heatmap [H, W] of a class at a stage."""
        key = stage, class_index
        if key not in self._heatmaps:
            model = self.model
            if stage != "layer4":
                model = _AnotherStage(model, stage)
            self._heatmaps[key] = self._ask("grad_cam", model, self._image, class_index)
        answer = self._heatmaps[key]
        cam = answer[0] if isinstance(answer, tuple) and len(answer) == 2 else None
        if not isinstance(cam, np.ndarray) or cam.shape != self.crop.size[::-1]:
            rows, columns = self.crop.size[::-1]
            wanted = f"a pair (array [{rows}, {columns}], class)"
            raise _unlike("grad_cam", wanted, answer if cam is None else cam)
        if not np.isfinite(cam).all():
            raise UnansweredError(
                "Your grad_cam returned NaN: is there a division by 0?"
            )
        return cam

    def find_class(self, text: str) -> Prediction:
        """Returns the class that a text means: its index, its name, or part of it.

        Of several whose names hold the text, it is the one most probable in the photo.
        """
        wanted = text.strip().lower()
        number = wanted.partition(":")[0]
        if number.isdecimal():
            found = [p for p in self.ranking if p.class_index == int(number)]
        else:
            found = [p for p in self.ranking if p.label.lower() == wanted]
            found = found or [p for p in self.ranking if wanted in p.label.lower()]
        if not wanted or not found:
            raise UnansweredError(
                f"No class is called “{text}”. Type part of a name, such as “cat”, or "
                f"a number from 0 to {len(self.ranking) - 1}."
            )
        return found[0]

    def _ask(self, name: str, *arguments: Any) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise UnansweredError(
                f"This view needs your {name}. Hand it over: explore(…, {name}={name})."
            )
        try:
            with keep_quiet():  # what it prints has no place here
                return function(*arguments)
        except NotImplementedError:
            message = f"Your {name} is still to be written. Write it"
        except Exception as error:  # the reader's code may raise anything
            reason = " ".join(str(error).split())[:200]
            message = f"Your {name} raised {type(error).__name__}: {reason}. Mend it"
        raise UnansweredError(f"{message}, then run this cell again.")


class _AnotherStage(nn.Module):
    """The same network, with another stage where Grad-CAM looks for `layer4`."""

    def __init__(self, model: nn.Module, stage: str):
        super().__init__()
        self.model = model
        self.layer4 = model.get_submodule(stage)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the class scores [N, C] of images [N, 3, H, W]."""
        return self.model(images)


def _drop(message: dict[str, Any]) -> None:
    return None


def _convs(module: nn.Module) -> Sequence[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _unlike(name: str, wanted: str, got: object) -> UnansweredError:
    return UnansweredError(
        f"Your {name} should return {wanted}, but returned {kind_of(got)}. Mend it, "
        "then run this cell again."
    )
