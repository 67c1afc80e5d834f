"""The embedded stand-in: a small trained ResNet-18 that needs no network."""

import hashlib
from importlib import resources

import safetensors.torch
import torch
from torchvision.models import ResNet, resnet18

FILE = "stand_in.safetensors"
SHA256 = "8b478e56351256c0d82d8827b753a7744e76d296bfd30bcca1c44d9d33bb44a4"


def load_stand_in() -> ResNet:
    """Returns the ResNet-18 that ships with this package.

    Its weights were distilled on a small computer from a larger network;
    ``data/MODEL_CARD.md`` says from what, on which photos, and how good it is. Prepare
    images for it as for torchvision's ``IMAGENET1K_V1``, and read its 1,000 outputs as
    the same ImageNet classes.

    Returns:
        The model on the CPU in eval mode, float32, 1,000 classes.

    Raises:
        RuntimeError: If the file is damaged: its SHA-256 is not the expected one.
    """
    with torch.device("meta"):  # no time spent on weights that are replaced at once
        model = resnet18()
    state = safetensors.torch.load(_read_weights())
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(True).eval()


def _read_weights() -> bytes:
    data = (
        resources.files("courseai_helpers.models").joinpath("data", FILE).read_bytes()
    )
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise RuntimeError(
            f"The file {FILE} inside courseai_helpers is damaged: its SHA-256 is "
            f"{found}, but {SHA256} was expected. Install the package again: "
            "pip install --force-reinstall --no-deps courseai-helpers, or "
            "`git checkout courseai_helpers/models/data` in a clone."
        )
    return data
