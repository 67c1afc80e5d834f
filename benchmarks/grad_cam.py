"""Times Grad-CAM beside its peers, interleaved in one run, on the lesson's photo.

Usage: python benchmarks/grad_cam.py [rounds]

Prints for each way the median time as a ratio to one forward pass without gradients,
the most memory that its tensors held at once, and the largest difference of its heatmap
from the reference. Peers are asked for the
map as it leaves `layer4` where they give it; what differs then is their own recipe.
"""

import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchCam

from courseai_helpers.images import load_photo, preprocess
from courseai_helpers.models import load_resnet18
from courseai_helpers.reference.visualizing_features import grad_cam


def scale(heatmap: torch.Tensor, size: torch.Size) -> np.ndarray:
    """Upsamples a rectified map [1, 1, h, w] and divides it by its maximum."""
    heatmap = F.interpolate(heatmap, size=size, mode="bilinear", align_corners=False)
    return (heatmap / heatmap.max())[0, 0].detach().numpy()


def textbook(model, image, target_class):
    """Forward and full backward hooks, and `backward()` through the whole network."""
    kept = {}
    hooks = [
        model.layer4.register_forward_hook(
            lambda module, inputs, output: kept.update(maps=output.detach().clone())
        ),
        model.layer4.register_full_backward_hook(
            lambda module, before, after: kept.update(gradients=after[0])
        ),
    ]
    model.zero_grad()
    model(image)[0, target_class].backward()
    for hook in hooks:
        hook.remove()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heatmap = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    return scale(heatmap, image.shape[-2:])


def with_captum(model, image, target_class):
    attribute = LayerGradCam(model, model.layer4).attribute
    heatmap = attribute(image, target_class, relu_attributions=True)
    return scale(heatmap, image.shape[-2:])


def with_torchcam(model, image, target_class):
    with TorchCam(model, "layer4") as extractor:
        (heatmap,) = extractor(target_class, model(image), normalized=False)
    return scale(heatmap[None], image.shape[-2:])


def with_pytorch_grad_cam(model, image, target_class):
    with GradCAM(model=model, target_layers=[model.layer4]) as extractor:
        return extractor(image, [ClassifierOutputTarget(target_class)])[0]


def forward(model, image, target_class):
    with torch.no_grad():
        model(image)


def peak_memory(way, *arguments) -> float:
    """Measures the most memory allocated at once during a call, in MiB."""
    with torch.profiler.profile(profile_memory=True) as profile:
        way(*arguments)
    events = profile.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(np.cumsum([event.nbytes() for event in changes])) / 2**20


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    model, image = load_resnet18(), preprocess(load_photo("cat"))
    _, target_class = grad_cam(model, image)
    ways = {
        "one forward pass": forward,
        "ours (reference)": lambda *arguments: grad_cam(*arguments)[0],
        "textbook hooks": textbook,
        "captum": with_captum,
        "torch-cam": with_torchcam,
        "pytorch-grad-cam": with_pytorch_grad_cam,
    }
    seconds = {name: [] for name in ways}
    case = (model, image, target_class)
    maps = {name: way(*case) for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way(*case)
            seconds[name].append(time.perf_counter() - start)
    for parameter in model.parameters():
        parameter.grad = None
    peaks = {name: peak_memory(way, *case) for name, way in ways.items()}
    base = statistics.median(seconds["one forward pass"])
    print(f"{rounds} rounds, one thread, one forward pass {1000 * base:.0f} ms\n")
    print(
        "| way | time / forward pass | peak, MiB | largest difference |\n"
        "|---|---|---|---|"
    )
    for name in ways:
        ratio = statistics.median(seconds[name]) / base
        gap = ""
        if maps[name] is not None:
            gap = f"{np.abs(maps[name] - maps['ours (reference)']).max():.1e}"
        print(f"| {name} | {ratio:.2f} | {peaks[name]:.1f} | {gap} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
