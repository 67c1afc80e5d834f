"""Steps of the embedded stand-in's training, and rows of its learning curve."""

import time

import numpy as np
import torch
import torch.distributed as dist
from distillation_batches import Batch, prepare_images, standardize
from distillation_crops import Crops
from distillation_losses import compare_with_teacher
from distillation_student import Run
from torch import nn
from torch.distributed.algorithms.model_averaging.utils import average_parameters

CHECK_SIZE = 144  # pixels; the curve's, whatever the training's size


def make_step(run: Run, batch: Batch, rate: float) -> float:
    """Learns from one batch at this learning rate; returns the loss."""
    run.optimizer.zero_grad()
    loss = compare_with_teacher(run.student, batch)
    loss.backward()
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    nn.utils.clip_grad_norm_(run.student.parameters(), 5.0)
    run.optimizer.step()
    run.step += 1
    return loss.item()


def join(run: Run, share: float) -> float:
    """Averages the weights of all processes, and into the average over the steps.

    Args:
        run: This process's run.
        share: How far it thinks that the training is, 0 to 1.

    Returns:
        What the first process thinks, so that all stop after the same step.

    Source: Lin et al. 2020, https://arxiv.org/abs/1808.07217 (local steps).
    """
    if dist.is_initialized():
        average_parameters(run.student.parameters(), dist.group.WORLD)
        first = torch.tensor(share, device=run.student.feature_map.weight.device)
        dist.broadcast(first, src=0)
        share = first.item()
    run.average.update_parameters(run.student)
    return share


def measure(run: Run, checks: dict[str, Crops], clock: "Clock", setting: dict) -> None:
    """Adds a row to the curve: how often the averaged student agrees held out."""
    row = {"samples": run.samples, "minutes": round(clock.minutes(), 2), **setting}
    row["loss"] = round(clock.take_loss(), 4)
    run.average.eval()
    for name, crops in checks.items():
        row[name] = round(find_agreement(run.average, crops), 4)
    run.curve.append(row)
    print(row, flush=True)


def find_agreement(network: nn.Module, crops: Crops) -> float:
    """Returns how often the network's first class is the teacher's."""
    agreed = []
    device = next(network.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(crops), 128):
            part = slice(start, start + 64)  # every other group is enough for a curve
            images = prepare_images(crops.images[part], CHECK_SIZE, device)
            top = network(standardize(images))[0].argmax(dim=1).cpu()
            wanted = torch.from_numpy(np.argmax(crops.logits[part], axis=1))
            agreed.append((top == wanted).float())
    return torch.cat(agreed).mean().item()


class Clock:
    """Keeps the time, and the losses between two rows of the curve."""

    def __init__(self, minutes: float):
        """Starts the clock of a run that took so many minutes before."""
        self.started = time.monotonic() - 60 * minutes
        self.losses = []

    def take_loss(self) -> float:
        """Returns the mean loss since the last row."""
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses = []
        return mean

    def minutes(self) -> float:
        """Returns the minutes that the run has taken."""
        return (time.monotonic() - self.started) / 60
