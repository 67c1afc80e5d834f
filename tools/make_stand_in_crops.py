"""Asks the teacher about crops and mixes of photos, for train_stand_in.py.

    python tools/make_stand_in_crops.py WORK_FOLDER PHOTOS [PHOTOS ...]

Runs beside the training, which uses what there is so far. PHOTOS are folders or tar
archives; the first is the narrow set, half of which is used in every round.
"""

import argparse
from pathlib import Path

from distillation_crops import make_crops
from distillation_photos import cut_both, plan_rounds, split_photos, unpack_photos
from distillation_teacher import load_teacher


def main() -> None:
    """Makes the held-out crops, then the rounds of training crops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="work folder of the training")
    parser.add_argument("photos", type=Path, nargs="+", help="folders or tar archives")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    work, seed = options.work, options.seed
    splits = [split_photos(unpack_photos(p, work), seed) for p in options.photos]
    teacher = load_teacher(work, options.device)
    for photos, (_, held_out) in zip(options.photos, splits, strict=True):
        stem = work / f"held_out_{photos.stem}"
        make_crops(held_out, 0, seed, lambda: teacher, stem, options.threads)
    narrow, *others = [training for training, _ in splits]
    planned = plan_rounds(sum(others, []), narrow, options.rounds, seed)
    stem, threads = work / "training", options.threads
    make_crops(planned, 2, seed, lambda: teacher, stem, threads, cut_both)


if __name__ == "__main__":
    main()
