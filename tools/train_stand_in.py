"""Trains the embedded stand-in: distils a teacher into torchvision's resnet18.

    python tools/train_stand_in.py PHOTOS WORK_FOLDER --samples 600000

PHOTOS is a folder or a tar archive with the folders caltech, clothing and dogcat. A
run that was stopped continues from its last checkpoint when the same command is given
again. More --samples than before continue a finished run at a higher learning rate;
fewer make a slow run finish earlier.
"""

import argparse
import copy
import hashlib
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from distillation_batches import Sampler, prepare_images, standardize
from distillation_photos import cut_and_mix, cut_photo, split_photos, unpack_photos
from distillation_student import (
    Run,
    compare_with_teacher,
    export,
    save_run,
    start_run,
)
from distillation_teacher import Crops, load_teacher, make_crops
from torch import nn

# Up to which share of the samples the images have how many pixels.
STAGES = ((0.40, 64), (0.60, 96), (0.78, 128), (0.93, 176), (1.00, 224))
PART = 32  # images of one replica in one step
PEAK_RATE = 0.2
WARM_UP = 0.04  # share of the samples
AVERAGE_EVERY = 8  # steps
SAVE_EVERY = 150  # steps between checkpoints and rows of the curve


def main() -> None:
    """Makes the crops, trains, and writes the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder or tar archive")
    parser.add_argument("work", type=Path, help="folder for checkpoints and weights")
    parser.add_argument("--samples", type=int, default=600_000, help="images in all")
    parser.add_argument(
        "--crops", type=int, default=4, help="random crops per photo, and mixes"
    )
    parser.add_argument("--threads", type=int, default=2, help="replicas at a time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.set_num_threads(1)  # each replica has a thread of its own
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    folder = unpack_photos(options.photos, work)
    training, held_out = split_photos(folder, options.seed)

    def ask(photos: list[Path], crops: int, name: str, cut=cut_photo) -> Crops:
        stem, seed = work / name, options.seed
        return make_crops(
            photos, crops, seed, lambda: load_teacher(work), stem, options.threads, cut
        )

    checks = ask(held_out, 0, "held_out")
    sources = [
        ask(training, options.crops, "training"),
        ask(training, options.crops, "mixes", cut_and_mix),
    ]
    run = train(sources, checks, work, options.samples, options.threads, options.seed)
    path = export(run.average.module.network, training, work)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")


def train(
    sources: list[Crops],
    checks: Crops,
    work: Path,
    samples: int,
    threads: int,
    seed: int,
) -> Run:
    """Trains until this many samples were seen, from the last checkpoint if any.

    Args:
        sources: What to learn from, in equal parts.
        checks: Crops held out, for the learning curve.
        work: Where the checkpoint and the curve go.
        samples: Images to learn from in all, counted with repetition.
        threads: How many replicas share each step.
        seed: What the starting weights and the batches depend on.
    """
    run = start_run(checks.features.shape[1], seed, work / "checkpoint.pt")
    sampler = Sampler(sources, seed)
    replicas = [run.student] + [copy.deepcopy(run.student) for _ in range(threads - 1)]
    clock = Clock(run.samples, samples)
    with ThreadPoolExecutor(threads) as pool:
        while run.samples < samples:
            share = run.samples / samples
            loss = make_step(run, replicas, sampler, pool, share)
            clock.note(loss, PART * threads * find_size(share) ** 2)
            if run.step % 50 == 0:
                clock.report(run)
            if run.step % SAVE_EVERY == 0 or run.samples >= samples:
                measure(run, checks, clock, share)
                save_run(run, work)
    return run


def find_size(share: float) -> int:
    """Returns the image size in pixels after this share of the samples."""
    return next((size for end, size in STAGES if share < end), STAGES[-1][1])


def find_rate(share: float) -> float:
    """Returns the learning rate after this share: a linear rise, then a cosine."""
    if share < WARM_UP:
        return PEAK_RATE * (share + 1e-3) / (WARM_UP + 1e-3)
    return PEAK_RATE * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


def make_step(run: Run, replicas, sampler: Sampler, pool, share: float) -> float:
    """Learns from one batch, shared among the replicas; returns the loss."""
    size = find_size(share)

    def learn(part: int) -> float:
        batch = sampler.draw(run.step, part, PART, size)
        replicas[part].zero_grad()
        loss = compare_with_teacher(replicas[part], batch)
        (loss / len(replicas)).backward()
        return loss.item()

    losses = list(pool.map(learn, range(len(replicas))))
    for replica in replicas[1:]:
        pairs = zip(run.student.parameters(), replica.parameters(), strict=True)
        for value, other in pairs:
            value.grad.add_(other.grad)
    for group in run.optimizer.param_groups:
        group["lr"] = find_rate(share)
    nn.utils.clip_grad_norm_(run.student.parameters(), 5.0)
    run.optimizer.step()
    with torch.no_grad():
        for replica in replicas[1:]:
            pairs = zip(run.student.parameters(), replica.parameters(), strict=True)
            for value, other in pairs:
                other.copy_(value)
    run.step += 1
    run.samples += PART * len(replicas)
    if run.step % AVERAGE_EVERY == 0:
        run.average.update_parameters(run.student)
    return sum(losses) / len(losses)


def measure(run: Run, checks: Crops, clock: "Clock", share: float) -> None:
    """Adds a row to the curve: how often the averaged student agrees held out."""
    run.average.eval()
    agreed = []
    with torch.inference_mode():
        for start in range(0, len(checks), 128):
            part = slice(start, start + 64)  # every other group is enough for a curve
            images = standardize(prepare_images(checks.images[part], 128))
            top = run.average(images)[0].argmax(dim=1)
            logits = torch.from_numpy(np.array(checks.logits[part]))
            agreed.append((top == logits.argmax(dim=1)).float())
    row = {
        "samples": run.samples,
        "size": find_size(share),
        "rate": round(find_rate(share), 5),
        "loss": round(clock.take_loss(), 4),
        "held_out_agreement": round(torch.cat(agreed).mean().item(), 4),
        "minutes": round(
            clock.minutes() + (run.curve[-1]["minutes"] if run.curve else 0), 2
        ),
    }
    run.curve.append(row)
    print(row, flush=True)


class Clock:
    """Keeps the time and the losses between two rows of the curve."""

    def __init__(self, done: int, total: int):
        """Starts the clock after `done` of `total` samples."""
        self.started = self.row_started = time.monotonic()
        self.first, self.total, self.work = done, total, 0.0
        self.losses = []

    def note(self, loss: float, pixels: int) -> None:
        """Notes a step; the work grows with the pixels of its images."""
        self.losses.append(loss)
        self.work += pixels

    def take_loss(self) -> float:
        """Returns the mean loss since the last row."""
        mean = sum(self.losses) / max(1, len(self.losses))
        self.losses = []
        return mean

    def minutes(self) -> float:
        """Returns the minutes since the last row."""
        started, self.row_started = self.row_started, time.monotonic()
        return (self.row_started - started) / 60

    def report(self, run: Run) -> None:
        """Prints where the run is and how long the rest will take."""
        passed = time.monotonic() - self.started
        ends = [0, *(end for end, _ in STAGES)]
        share = run.samples / self.total
        rest = sum(
            max(0, end - max(begin, share)) * size**2
            for begin, (end, size) in zip(ends, STAGES, strict=False)
        )
        done = run.samples - self.first
        left = rest * self.total * passed / self.work
        print(
            f"{run.samples}/{self.total} samples, {find_size(share)} px, "
            f"loss {self.losses[-1]:.3f}, {done / passed:.0f}/s, "
            f"{left / 60:.0f} min left",
            flush=True,
        )


if __name__ == "__main__":
    main()
