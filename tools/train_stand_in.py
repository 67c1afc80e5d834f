"""Trains the embedded stand-in: distils a teacher into torchvision's resnet18.

    python tools/make_stand_in_crops.py WORK_FOLDER PHOTOS [PHOTOS ...] &
    python tools/train_stand_in.py WORK_FOLDER PHOTOS [PHOTOS ...] --minutes 300

PHOTOS are folders or tar archives, as for make_stand_in_crops.py, which may run beside.
Started by torchrun --nproc-per-node 2, it trains in as many processes.
A run that was stopped continues from its last checkpoint when the same command is given
again. More --samples or --minutes than before continue a finished run at a higher
learning rate; fewer make a slow run finish earlier.
"""

import argparse
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from distillation_batches import Sampler
from distillation_crops import Crops, read_crops
from distillation_photos import split_photos, unpack_photos
from distillation_steps import Clock, join, make_step, measure
from distillation_student import Run, begin_with, export, save_run, start_run

# Up to which share of the run the images have how many pixels.
STAGES = ((0.40, 96), (0.75, 128), (0.90, 160), (1.00, 192))
WARM_UP = 0.03  # share of the run
JOIN_EVERY = 8  # steps of a process alone
SAVE_EVERY = 160  # steps between checkpoints and rows of the curve; looks for new crops


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder for checkpoints and weights")
    parser.add_argument("photos", type=Path, nargs="+", help="folders or tar archives")
    parser.add_argument("--samples", type=float, default=1e6, help="images in all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="in all")
    parser.add_argument("--rate", type=float, default=0.1, help="the highest one")
    parser.add_argument("--weights", type=Path, help="weights to begin with")
    parser.add_argument("--batch", type=int, default=32, help="images in a process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    """Trains with the crops there are, and writes the weights."""
    options = read_options()
    torch.set_num_threads(1)  # other processes need the other cores
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    work, seed = options.work, options.seed
    training = []
    for archive in options.photos:
        training += split_photos(unpack_photos(archive, work), seed)[0]
    names = [archive.stem for archive in options.photos]
    checks = {name: read_crops(work / f"held_out_{name}") for name in names}
    run = train(lambda: read_crops(work / "training"), checks, options)
    if find_rank() > 0:
        return
    path = export(run.average.module.network, training, work)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")


def train(
    read: Callable[[], Crops], checks: dict[str, Crops], options: argparse.Namespace
) -> Run:
    """Trains until the samples or the minutes are spent, from the last checkpoint.

    Args:
        read: Returns the crops there are by now.
        checks: Crops held out, for the learning curve.
        options: The command's.
    """
    sampler = Sampler(read(), options.seed, options.device)
    run = prepare_run(sampler, options)
    clock = Clock(run.curve[-1]["minutes"] if run.curve else 0)
    share = find_share(run, clock, options)
    while share < 1:
        size, rate = find_size(share), options.rate * find_rate(share)
        for _ in range(JOIN_EVERY):
            batch = sampler.draw(run.step, find_rank(), options.batch, size)
            clock.losses.append(make_step(run, batch, rate))
        run.samples += JOIN_EVERY * options.batch * count_processes()
        share = join(run, find_share(run, clock, options))
        if run.step % SAVE_EVERY == 0 or share >= 1:
            sampler.use(read())
            if find_rank() == 0:
                measure(run, checks, clock, {"size": size, "rate": round(rate, 5)})
                save_run(run, options.work)
    return run


def find_rank() -> int:
    """Returns this process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count_processes() -> int:
    """Returns how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def prepare_run(sampler: Sampler, options: argparse.Namespace) -> Run:
    """Returns the run in the checkpoint, or a new one."""
    features = sampler.crops.features.shape[1]
    checkpoint = options.work / "checkpoint.pt"
    run = start_run(features, options.seed, checkpoint, options.device)
    if options.weights and not run.step:
        batches = [sampler.draw(0, part, 64, STAGES[0][1]) for part in range(16)]
        begin_with(run, options.weights, batches)
    return run


def find_share(run: Run, clock: Clock, options: argparse.Namespace) -> float:
    """Returns how much of the samples or the minutes is spent, 0 to 1."""
    spent = run.samples / options.samples, clock.minutes() / options.minutes
    return min(1.0, max(spent))


def find_size(share: float) -> int:
    """Returns the image size in pixels after this share of the run."""
    return next((size for end, size in STAGES if share < end), STAGES[-1][1])


def find_rate(share: float) -> float:
    """Returns the share of the highest learning rate: a linear rise, then a cosine."""
    if share < WARM_UP:
        return (share + 1e-3) / (WARM_UP + 1e-3)
    return (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


if __name__ == "__main__":
    main()
