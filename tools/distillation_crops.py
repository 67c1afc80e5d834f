"""What the teacher of the embedded stand-in says about crops of photos.

The teacher is slow, so it looks once at a few random crops of each photo, and at a few
mixed with crops of other photos; the images and what it says about them are kept in
files that training reads again and again.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distillation_photos import Images, cut_photo

BATCH = 16  # the exported teacher takes exactly this many crops

Teacher = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Cut = Callable[[list[Path], int, int, int], Images]


@dataclass
class Crops:
    """Crops of photos and what the teacher says about each.

    Attributes:
        images: [N, S, S, 3] uint8.
        logits: [N, 1000] float16, the teacher's class scores.
        features: [N, F, 4, 4] float16, the teacher's last features in a coarse grid.
    """

    images: np.ndarray
    logits: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def make_crops(
    photos: list[Path],
    count: int,
    seed: int,
    teacher: Callable[[], Teacher],
    stem: Path,
    threads: int = 1,
    cut: Cut = cut_photo,
) -> Crops:
    """Cuts crops and asks the teacher about them, or reads what an earlier run kept.

    A run that was stopped continues where it was.

    Args:
        photos: The image files.
        count: Random crops for each photo; 0 for the one at the center.
        seed: What the random crops depend on, with each photo's place in the list.
        teacher: Makes the teacher; called only if there is work for it.
        stem: Where the files go: this path with endings of its own.
        threads: How many photos to work on at a time.
        cut: Makes the images of one photo, `cut_photo` or `cut_and_mix`.
    """
    total = len(photos) * max(1, count)
    progress = stem.with_name(f"{stem.name}_progress.json")
    plan = {"photos": len(photos), "crops": count, "seed": seed}
    state = json.loads(progress.read_text()) if progress.exists() else {**plan, "n": 0}
    if {**plan, "n": state["n"]} != state:
        raise ValueError(
            f"{progress} belongs to a run with other photos, crops or seed ({state}, "
            f"now {plan}). Give another work folder, or delete this one."
        )
    if state["n"] < total:
        _ask_teacher(photos, teacher(), stem, state, progress, threads, cut)
    return read_crops(stem)


def read_crops(stem: Path) -> Crops:
    """Returns the crops that there are so far; another process may be adding more.

    Raises:
        FileNotFoundError: If there are none yet.
    """
    path = stem.with_name(f"{stem.name}_progress.json")
    if not path.exists():
        raise FileNotFoundError(
            f"There are no crops for {stem} yet. Run make_stand_in_crops.py with the "
            "same folders, and begin when it has shown its first line about them."
        )
    progress = json.loads(path.read_text())
    files = [np.load(path, mmap_mode="r") for path in _file_names(stem).values()]
    return Crops(*(file[: progress["n"]] for file in files))


def _ask_teacher(photos, teacher, stem, state, progress, threads, cut) -> None:
    per_photo = max(1, state["crops"])
    total = len(photos) * per_photo
    files, first, started = None, state["n"], time.monotonic()

    def look(place: int) -> tuple[np.ndarray, ...]:
        """Crops a group of photos that fills whole batches, and asks about them."""
        group = range(place, min(place + BATCH, len(photos)))
        images = [cut(photos, i, state["crops"], state["seed"]) for i in group]
        large, small = (np.concatenate(part) for part in zip(*images, strict=True))
        return small, *_ask_in_batches(teacher, large)

    starts = range(first // per_photo, len(photos), BATCH)
    for parts in _map_in_order(look, starts, threads):
        files = files or _open_files(stem, total, parts, resume=first > 0)
        done = state["n"] + len(parts[0])
        for file, part in zip(files, parts, strict=True):
            file[state["n"] : done] = part
        state["n"] = done
        if done % (BATCH * per_photo * 20) == 0 or done == total:
            for file in files:
                file.flush()
            unfinished = progress.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(state))
            unfinished.replace(progress)
            speed = (done - first) / (time.monotonic() - started)
            print(
                f"{stem.name}: {done}/{total} crops, {speed:.0f}/s, "
                f"{(total - done) / speed / 60:.1f} min left",
                flush=True,
            )


def _ask_in_batches(teacher: Teacher, images: np.ndarray) -> tuple[np.ndarray, ...]:
    answers = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        filled = np.concatenate([batch, np.repeat(batch[:1], BATCH - len(batch), 0)])
        answers.append([part[: len(batch)] for part in teacher(filled)])
    return tuple(np.concatenate(part) for part in zip(*answers, strict=True))


def _map_in_order(function, items, threads: int) -> Iterator:
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _file_names(stem: Path) -> dict[str, Path]:
    return {
        name: stem.with_name(f"{stem.name}_{name}.npy")
        for name in ("images", "logits", "features")
    }


def _open_files(stem: Path, total: int, parts, resume: bool) -> list[np.ndarray]:
    paths = _file_names(stem).values()
    if resume:
        return [np.load(path, mmap_mode="r+") for path in paths]
    return [
        np.lib.format.open_memmap(
            path,
            "w+",
            dtype=np.uint8 if part.dtype == np.uint8 else np.float16,
            shape=(total, *part.shape[1:]),
        )
        for path, part in zip(paths, parts, strict=True)
    ]
