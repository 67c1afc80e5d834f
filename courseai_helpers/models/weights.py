"""Where ResNet-18 gets its weights: the web, a cache, a file, the package itself."""

import hashlib
import io
import os
import pickle
import struct
import warnings
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from courseai_helpers._common.files import store
from courseai_helpers._common.http import DownloadError, fetch, is_offline
from courseai_helpers._common.notices import show_notice
from courseai_helpers.models.embedded import load_stand_in
from courseai_helpers.testing.setup import note_network

WEIGHTS_URL = ResNet18_Weights.IMAGENET1K_V1.url
WEIGHTS_SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
MAX_BYTES = 100_000_000
MAX_SECONDS = 900.0  # 45 MB at the pace of a bad telephone line
# What torch.load raises on damaged or foreign files.
_DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    EOFError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)


class WeightsError(ValueError):
    """The weights that were asked for cannot be used; the message says what to do."""


def load_resnet18() -> ResNet:
    """Loads ResNet-18 with its ImageNet weights.

    The weights are torchvision's `IMAGENET1K_V1`. They are downloaded once, checked
    against their hash and kept in torch's cache, in the file that torchvision uses as
    well. Where they cannot be had, the stand-in embedded in this package takes their
    place, and a notice says so.

    Two environment variables change that. `COURSEAI_WEIGHTS` names a local file to
    load: a `.pth` state dict or a `.safetensors` file. `COURSEAI_OFFLINE=1` asks for
    the embedded stand-in, so that results are the same everywhere, whatever a cache
    holds.

    Returns:
        A torchvision ResNet with 1,000 classes, float32, in eval mode, on the CPU.

    Raises:
        WeightsError: If the file that COURSEAI_WEIGHTS names is not there or does not
            hold a ResNet-18 with 1,000 classes. Nothing stands in for it.
    """
    model = _load_chosen()
    note_network(model)
    return model


def _load_chosen() -> ResNet:
    named = os.environ.get("COURSEAI_WEIGHTS", "").strip()
    if named:
        return _load_named(Path(named).expanduser())
    if is_offline():
        return _stand_in("COURSEAI_OFFLINE forbids the network.")
    try:
        return _build(_unpickle(_find_or_fetch()))
    except DownloadError as error:
        return _stand_in(f"The ImageNet weights could not be downloaded. {error}")


def find_place() -> Path:
    """Returns where the weights are kept: the file that torchvision uses as well."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(WEIGHTS_URL).name)


def is_intact(data: bytes) -> bool:
    """Tells whether this is the file of weights that was published."""
    return hashlib.sha256(data).hexdigest() == WEIGHTS_SHA256


def read_kept() -> bytes:
    """Returns the weights that are kept; nothing if they are missing or damaged."""
    try:
        data = find_place().read_bytes()
    except OSError:
        return b""  # most often not there yet
    return data if is_intact(data) else b""


def download() -> bytes:
    """Downloads the weights.

    Raises:
        DownloadError: If they can't be had, or come damaged.
    """
    data = fetch(WEIGHTS_URL, MAX_BYTES, MAX_SECONDS, "ResNet-18 weights")
    if not is_intact(data):
        raise DownloadError(
            f"What came from {WEIGHTS_URL} is damaged: its hash is not the expected "
            "one. Try again, and see whether your network asks you to log in first."
        )
    return data


def _find_or_fetch() -> bytes:
    if data := read_kept():
        return data
    path = find_place()
    if path.exists():
        show_notice(
            f"The weights kept in {path} are damaged: their hash is not the expected "
            "one. They are downloaded again."
        )
    data = download()
    try:
        store(path, data)
    except OSError as error:
        show_notice(
            f"The ImageNet weights are loaded but cannot be kept in {path.parent} "
            f"({error.strerror}), so they are downloaded again next time. Make room "
            "there, or let TORCH_HOME name a directory that you may write to."
        )
    return data


def _stand_in(reason: str) -> ResNet:
    show_notice(
        f"{reason} You work with the stand-in embedded in this package, a ResNet-18 "
        "trained for this course on far fewer photos. It is wrong about most photos, "
        "and its heatmaps are rough; the code and the exercises are the same. "
        "For the original weights, load the model again with a network and without "
        "COURSEAI_OFFLINE, or let COURSEAI_WEIGHTS name a copy of "
        f"{Path(WEIGHTS_URL).name}."
    )
    return load_stand_in()


def _load_named(path: Path) -> ResNet:
    try:
        if not path.is_file():
            raise WeightsError("there is no such file")
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            return _build(safetensors.torch.load(data))
        return _build(_unpickle(data))
    except (OSError, SafetensorError, WeightsError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"COURSEAI_WEIGHTS names {path}, which cannot be used: {reason}. Let it "
            "name a state dict of torchvision's resnet18 with 1,000 classes (.pth or "
            ".safetensors), or unset it to download the weights."
        ) from error


def _unpickle(data: bytes) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except _DAMAGE as error:
            raise WeightsError("it is not a file of tensors, or is damaged") from error


def _build(state: dict[str, torch.Tensor]) -> ResNet:
    with torch.device("meta"):  # no time spent on weights that are replaced at once
        model = resnet18()
    wanted = model.state_dict()
    _compare(state, wanted)
    state = {name: value.to(wanted[name].dtype) for name, value in state.items()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def _compare(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    if not isinstance(state, dict) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise WeightsError("it does not hold a state dict of named tensors")
    for name in wanted:
        # Old files have no such counts; torch fills them in.
        if name not in state and not name.endswith("num_batches_tracked"):
            raise WeightsError(f"it has no tensor {name!r}")
    for name, value in state.items():
        if name not in wanted:
            raise WeightsError(f"ResNet-18 has no tensor {name!r}")
        if value.shape != wanted[name].shape:
            raise WeightsError(
                f"its tensor {name!r} has shape {list(value.shape)} where "
                f"{list(wanted[name].shape)} is wanted"
            )
