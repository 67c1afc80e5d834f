"""The network that becomes the embedded stand-in: its run, its loss, its file."""

import copy
import csv
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from distillation_batches import Batch, load_center_crops, round_where_faster
from distillation_losses import fit_feature_map
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torchvision.models import ResNet, resnet18

WEIGHT_DECAY = 5e-4
AVERAGE_DECAY = 0.95
FIRST_LAYER_SCALE = 0.25
STATISTICS_PHOTOS = 512


class Student(nn.Module):
    """A ResNet-18 and the linear map from its pooled features to the teacher's."""

    def __init__(self, feature_count: int, seed: int):
        """Draws the starting weights.

        Args:
            feature_count: How many pooled features the teacher has.
            seed: What the starting weights depend on.
        """
        super().__init__()
        torch.manual_seed(seed)
        self.network = resnet18()
        self.feature_map = nn.Linear(512, feature_count)
        with torch.no_grad():
            # Batch norm makes the scale of conv1 irrelevant to its output, but a small
            # start is forgotten sooner: what remains in the filters is learned.
            self.network.conv1.weight.mul_(FIRST_LAYER_SCALE)
            for module in self.network.modules():
                if hasattr(module, "bn2"):  # blocks begin as identity
                    module.bn2.weight.zero_()
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns class scores [B, 1000] and layer4's output [B, 512, H, W]."""
        x = images
        with round_where_faster(images.device.type):
            for name, layer in self.network.named_children():
                if name == "avgpool":
                    break
                x = layer(x)
        x = x.float()
        return self.network.fc(x.mean(dim=(2, 3))), x

    def map_features(self, features: torch.Tensor) -> torch.Tensor:
        """Maps features [B, 512, H, W] to guesses of the teacher's [B, F, H, W]."""
        return self.feature_map(features.movedim(1, -1)).movedim(-1, 1)


@dataclass
class Run:
    """Everything that a checkpoint holds.

    Attributes:
        student: What learns.
        average: Its weights averaged over the last steps.
        optimizer: The optimizer with its momenta.
        samples: How many images were learned from.
        step: How many steps were made.
        curve: Rows of the learning curve.
    """

    student: Student
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    samples: int
    step: int
    curve: list[dict]


def start_run(feature_count: int, seed: int, checkpoint: Path, device="cpu") -> Run:
    """Returns a new run, or the one in the checkpoint."""
    student = Student(feature_count, seed).to(device)
    vectors = [value for value in student.parameters() if value.ndim == 1]
    tensors = [value for value in student.parameters() if value.ndim > 1]
    optimizer = torch.optim.SGD(
        [{"params": tensors}, {"params": vectors, "weight_decay": 0}],
        lr=0.0,
        momentum=0.9,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )
    average = AveragedModel(
        student, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True
    )
    run = Run(student, average, optimizer, samples=0, step=0, curve=[])
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        for name in ("student", "average", "optimizer"):
            getattr(run, name).load_state_dict(state[name])
        run.samples, run.step, run.curve = (
            state[name] for name in ("samples", "step", "curve")
        )
    return run


def begin_with(run: Run, weights: Path, batches: list[Batch]) -> None:
    """Lets a new run begin with the weights in a file, and fits the feature map."""
    run.student.network.load_state_dict(safetensors.torch.load_file(weights))
    fit_feature_map(run.student, batches)
    run.average.module.load_state_dict(run.student.state_dict())


def save_run(run: Run, work: Path) -> None:
    """Writes the checkpoint and the curve; a run killed meanwhile keeps the old one."""
    state = {
        name: getattr(run, name).state_dict()
        for name in ("student", "average", "optimizer")
    }
    state |= {"samples": run.samples, "step": run.step, "curve": run.curve}
    unfinished = work / "checkpoint.unfinished"
    torch.save(state, unfinished)
    os.replace(unfinished, work / "checkpoint.pt")
    with open(work / "curve.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, run.curve[-1].keys())
        writer.writeheader()
        writer.writerows(run.curve)


def export(network: ResNet, photos: list[Path], work: Path) -> Path:
    """Writes the weights: float16, batch norm in float32 and measured at 224 pixels."""
    network = copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.copy_(value.half())
    chosen = photos[:: max(1, len(photos) // STATISTICS_PHOTOS)]
    update_bn(load_center_crops(chosen), network)
    state = {
        name: value.half() if value.ndim > 1 else value
        for name, value in network.state_dict().items()
    }
    path = work / "stand_in.safetensors"
    path.write_bytes(safetensors.torch.save(state))  # readable by others, too
    return path
