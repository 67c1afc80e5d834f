"""The pretrained ResNet-18 of the lessons: its weights, and what it predicts."""

import hashlib
import io
import os
import pickle
import warnings
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from courseai_helpers.downloads import DownloadError, fetch, is_offline, store
from courseai_helpers.notices import show_notice
from courseai_helpers.stand_in import is_stand_in_trained, load_stand_in

# The file name ends in the first digits of its SHA-256, as torch.hub has it.
WEIGHTS_URL = ResNet18_Weights.IMAGENET1K_V1.url
MAX_BYTES = 100_000_000


class WeightsError(ValueError):
    """The weights that were asked for cannot be used."""


class Prediction(NamedTuple):
    """One line of a top-k list: class name, probability in [0, 1], class index."""

    label: str
    probability: float
    class_index: int


def choose_device() -> torch.device:
    """Returns the device to compute on: CUDA if there, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def class_names() -> list[str]:
    """Returns the names of the 1,000 ImageNet classes, in the order of their index.

    Names repeat ("crane" is a bird and a machine), so work with the index.

    Source: the metadata of torchvision's weights.
    """
    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def load_resnet18() -> ResNet:
    """Loads ResNet-18 with its ImageNet weights, in eval mode, on the CPU.

    The weights are torchvision's `IMAGENET1K_V1`, downloaded once with a hash check
    and kept in torch's cache, where torchvision itself finds them too. Two environment
    variables change that: `COURSEAI_WEIGHTS` names a local file (a `.pth` state dict
    or `.safetensors`), and `COURSEAI_OFFLINE=1` asks for the embedded model, the same
    everywhere, whatever is in a cache. The embedded stand-in also takes over, with a
    notice, where the weights cannot be had.

    Returns:
        A torchvision ResNet with 1,000 classes, float32.

    Raises:
        WeightsError: If the file that COURSEAI_WEIGHTS names is missing or is not a
            ResNet-18 with 1,000 classes.
    """
    named = os.environ.get("COURSEAI_WEIGHTS", "").strip()
    if named:
        return _load_named(Path(named).expanduser())
    if is_offline():
        return _fall_back("COURSEAI_OFFLINE is set")
    try:
        return _build(_read_state(io.BytesIO(_cached_or_downloaded())))
    except DownloadError as error:
        return _fall_back(f"The ImageNet weights could not be had: {error}")


def _cached_or_downloaded() -> bytes:
    path = Path(torch.hub.get_dir(), "checkpoints", WEIGHTS_URL.rsplit("/", 1)[-1])
    try:
        data = path.read_bytes()
    except OSError:
        pass
    else:
        if _is_intact(data):
            return data
        show_notice(
            f"The weights in {path} are damaged (their hash is not the one in the "
            "file's name), so they are downloaded again."
        )
    data = fetch(WEIGHTS_URL, MAX_BYTES, progress="ResNet-18 weights")
    if not _is_intact(data):
        raise DownloadError(
            f"what came from {WEIGHTS_URL} is damaged (wrong hash). Try again later."
        )
    try:
        store(path, data)
    except OSError as error:
        show_notice(
            f"The weights are loaded, but could not be kept in {path.parent} "
            f"({error.strerror}), so they will be downloaded again next time. Make room "
            "there, or let TORCH_HOME name a directory that can be written to."
        )
    return data


def _is_intact(data: bytes) -> bool:
    expected = Path(WEIGHTS_URL).stem.rsplit("-", 1)[-1]
    return hashlib.sha256(data).hexdigest().startswith(expected)


def _load_named(path: Path) -> ResNet:
    """Loads a local file; it was asked for by name, so nothing stands in for it."""
    source = f"COURSEAI_WEIGHTS names {path}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{source}, which cannot be read: {error.strerror}. Correct the path, or "
            "unset COURSEAI_WEIGHTS to download the weights."
        ) from error
    try:
        if path.suffix == ".safetensors":
            return _build(safetensors.torch.load(data))
        return _build(_read_state(io.BytesIO(data)))
    except (WeightsError, SafetensorError) as error:
        raise WeightsError(
            f"{source}, but {error} Name a state dict of torchvision's resnet18 with "
            "1,000 classes (.pth or .safetensors), or unset COURSEAI_WEIGHTS."
        ) from error


def _read_state(file: io.BytesIO) -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise WeightsError("it is not a file of tensors.") from error


def _build(state: dict[str, torch.Tensor]) -> ResNet:
    # On the meta device no time goes into random weights that are thrown away.
    with torch.device("meta"):
        model = resnet18()
    try:
        model.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError) as error:
        raise WeightsError("its tensors are not those of a ResNet-18.") from error
    return model.float().eval()


def _fall_back(reason: str) -> ResNet:
    kind = (
        "a small-data ResNet-18 that was trained for this course and knows the classes "
        "less well than the real weights"
        if is_stand_in_trained()
        else "a ResNet-18 with fixed random weights that was never trained: its "
        "predictions and heatmaps mean nothing and only show that the code runs"
    )
    show_notice(
        f"{reason}. In place of the ImageNet weights you work with the embedded "
        f"stand-in, {kind}."
    )
    return load_stand_in()


def predict_top_k(
    model: torch.nn.Module, img_tensor: torch.Tensor, k: int = 5
) -> list[Prediction]:
    """Returns the k most probable classes of one image, most probable first.

    The model is used in eval mode and left in the modes it came in.

    Args:
        model: A classifier that returns class scores (logits) [1, classes].
        img_tensor: Float tensor [1, 3, H, W], on the model's device.
        k: How many classes, from 1 to all.

    Raises:
        ValueError: If the tensor has another shape, or k is out of range.
    """
    if img_tensor.ndim != 4 or img_tensor.shape[:2] != (1, 3):
        raise ValueError(f"wanted [1, 3, H, W], got {list(img_tensor.shape)}")
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            probabilities = model.eval()(img_tensor)[0].softmax(0)
    finally:
        for module, training in modes:
            module.training = training
    names = class_names()
    values, indices = probabilities.topk(k)
    return [
        Prediction(names[index], value, index)
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]
