"""Feature visualization: a picture made to excite one channel of a network.

Gradients climb from the channel's activation to the picture. A picture made of plain
pixels would end in noise that nobody can read; three measures keep it smooth: it is
made of waves, in which coarse ones count for more; its colors are mixed as those of
photos are; and it is shifted a little in each step, so that no single pixel matters.
"""

import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import normalize

from courseai_helpers.images.preprocessing import MEAN, STD

STEPS, RATE, JITTER, NOISE = 24, 0.1, 8, 0.1
# How red, green and blue go along with one another in the photos of ImageNet: a column
# for each of three kinds of color, the first being nearly gray.
COLORS = [[0.56, 0.19, 0.04], [0.58, 0.0, -0.11], [0.58, -0.19, 0.06]]


def optimize_image(
    model: nn.Module, layer: str, channel: int, *, size: int = 128, seed: int = 0
) -> Image.Image:
    """Makes a picture that excites one channel, or one class, as much as possible.

    Args:
        model: A network in eval mode; it is left as it was.
        layer: A layer as in `model.named_modules()`, `"fc"` for class scores.
        channel: The channel of the layer's output, or the class.
        size: Height and width of the picture in pixels; the time grows with its square.
        seed: The same seed makes the same picture, on the same machine.

    Returns:
        RGB picture, size x size. It answers "what does this channel look for?", and is
        no photo of anything.

    Raises:
        AttributeError: If the model has no layer of that name.

    Source:
        Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
        https://doi.org/10.23915/distill.00007.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((2, 3, size, size // 2 + 1), generator=generator)
    waves = (NOISE * noise).to(next(model.parameters()).device).requires_grad_()
    optimizer = torch.optim.Adam([waves], lr=RATE)
    with torch.enable_grad():
        for _ in range(STEPS):
            shift = torch.randint(-JITTER, JITTER + 1, (2,), generator=generator)
            picture = _paint(waves, size).roll(shift.tolist(), (1, 2))
            activation = _run(model, layer, normalize(picture, MEAN, STD)[None])
            excitement = activation[0, channel].mean()
            (waves.grad,) = torch.autograd.grad(-excitement, [waves])
            optimizer.step()
    values = _paint(waves.detach(), size).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray((values * 255).round().astype("uint8"))


def _paint(waves: torch.Tensor, size: int) -> torch.Tensor:
    """Adds waves up to a picture [3, size, size] in [0, 1]."""
    down = torch.fft.fftfreq(size, device=waves.device)[:, None]
    across = torch.fft.rfftfreq(size, device=waves.device)
    frequency = (down**2 + across**2).sqrt().clamp(min=1 / size)
    spectrum = torch.complex(*waves) / frequency
    plain = torch.fft.irfft2(spectrum, s=(size, size), norm="ortho") / 4
    colors = torch.tensor(COLORS, device=waves.device)
    return torch.einsum("ck,khw->chw", colors, plain).sigmoid()


class _Reached(Exception):  # noqa: N818  (no error: it ends a forward pass)
    """The layer has run; what comes after it need not."""


def _run(model: nn.Module, layer: str, image: torch.Tensor) -> torch.Tensor:
    """Runs a model as far as a layer, and returns what the layer gives.

    Where the layer ends in a ReLU, it is what goes into it: no gradient comes through a
    ReLU whose channel is silent.
    """
    kept: dict[str, torch.Tensor] = {}

    def keep_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept["input of a ReLU"] = inputs[0].clone()  # it may work in place

    def stop(
        module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        kept["output"] = output
        raise _Reached

    watched = model.get_submodule(layer)
    handles = [watched.register_forward_hook(stop)]
    if relus := [part for part in watched.modules() if isinstance(part, nn.ReLU)]:
        handles.append(relus[-1].register_forward_pre_hook(keep_input))
    try:
        model(image)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return kept.get("input of a ReLU", kept["output"])
