"""Photos for training the embedded stand-in, and crops and mixes of them."""

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

EVALUATION_FOLDER = "imagenet-samples"
HELD_OUT_SHARE = 0.05
TEACHER_SIZE = 224  # pixels; the teacher's input
STORED_SIZE = 176  # pixels; the photos' shorter side is 144 or 152

Box = tuple[float, float, float, float]
Images = tuple[np.ndarray, np.ndarray]  # for teacher and student


def unpack_photos(photos: Path, work: Path) -> Path:
    """Returns the folder with the photos, unpacking a tar archive into `work`."""
    if photos.is_dir():
        return photos
    folder = work / photos.stem
    if not folder.is_dir():
        unfinished = work / f"{photos.stem}.unfinished"
        with tarfile.open(photos) as archive:
            # Python before 3.11.4 has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(unfinished)
        unfinished.rename(folder)
    return folder


def split_photos(folder: Path, seed: int) -> tuple[list[Path], list[Path]]:
    """Returns the photos to train on and the 5 % held out, chosen by the seed alone.

    Raises:
        FileNotFoundError: If the folder holds no photos to train on.
    """
    photos = [
        photo
        for photo in sorted(folder.rglob("*.jpg"))
        if EVALUATION_FOLDER not in photo.parts
    ]
    if not photos:
        raise FileNotFoundError(
            f"{folder} has no .jpg files outside {EVALUATION_FOLDER}. Give the folder "
            "or the tar archive that contains the training photos."
        )
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out = max(1, round(HELD_OUT_SHARE * len(photos)))
    return (
        [photos[index] for index in sorted(order[held_out:])],
        [photos[index] for index in sorted(order[:held_out])],
    )


def choose_random_box(size: tuple[int, int], random: np.random.Generator) -> Box:
    """Chooses a crop of 25 to 100 % of the area and an aspect from 3:4 to 4:3."""
    width, height = size
    for _ in range(10):
        area = width * height * random.uniform(0.25, 1)
        aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
        if w <= width and h <= height:
            left, top = random.uniform(0, width - w), random.uniform(0, height - h)
            return left, top, left + w, top + h
    return choose_center_box(size, share=1)


def choose_center_box(size: tuple[int, int], share: float = 224 / 256) -> Box:
    """Returns the centered square that has this share of the shorter side."""
    width, height = size
    side = share * min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def cut_boxes(photo: Path, count: int, seed: tuple[int, ...]) -> Images:
    """Returns the same crops for teacher and student: [N, S, S, 3] uint8 for each.

    Args:
        photo: The image file.
        count: How many random crops; 0 for the one at the center.
        seed: What the random crops depend on.
    """
    random = np.random.default_rng(seed)
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    boxes = [choose_random_box(image.size, random) for _ in range(count)]
    boxes = boxes or [choose_center_box(image.size)]

    def cut(side: int) -> np.ndarray:
        how = Image.Resampling.BICUBIC
        return np.stack([image.resize((side, side), how, box) for box in boxes])

    return cut(TEACHER_SIZE), cut(STORED_SIZE)


def cut_photo(photos: list[Path], place: int, count: int, seed: int) -> Images:
    """Returns crops of the photo at this place, for teacher and student."""
    return cut_boxes(photos[place], count, (seed, place))


def cut_and_mix(photos: list[Path], place: int, count: int, seed: int) -> Images:
    """Returns crops of a photo, each blended with another's or with it pasted on.

    What the teacher says about such images is seldom what it says about their parts;
    it is a much richer lesson than its answers on the photos alone. What is pasted is
    also sharper than photos of 152 pixels are when they fill the input.

    Source: Beyer et al. 2022, https://arxiv.org/abs/2106.05237 (the teacher sees the
    mixed images); Yun et al. 2019, https://arxiv.org/abs/1905.04899 (pasting).

    Returns:
        The same [count, 224, 224, 3] uint8 twice: for teacher and student.
    """
    random = np.random.default_rng((seed, place, 1))
    mixes, _ = cut_boxes(photos[place], count, (seed, place, 2))
    for number, image in enumerate(mixes):
        partner = photos[random.integers(len(photos))]
        other = cut_boxes(partner, 1, (seed, place, 3, number))[0][0]
        if random.random() < 0.5:
            share = random.uniform(0.2, 0.8)
            image[:] = np.rint(share * image + (1 - share) * other)
        else:
            side = int(random.uniform(0.35, 0.75) * TEACHER_SIZE)
            top, left = random.integers(TEACHER_SIZE - side + 1, size=2)
            pasted = Image.fromarray(other).resize((side, side))
            image[top : top + side, left : left + side] = pasted
    small = [Image.fromarray(mix).resize((STORED_SIZE, STORED_SIZE)) for mix in mixes]
    return mixes, np.stack([np.asarray(image) for image in small])


def cut_both(photos: list[Path], place: int, count: int, seed: int) -> Images:
    """Returns plain crops of a photo and as many mixes with it, `count` in all."""
    plain = cut_photo(photos, place, count // 2, seed)
    mixed = cut_and_mix(photos, place, count // 2, seed)
    return tuple(np.concatenate(pair) for pair in zip(plain, mixed, strict=True))


def plan_rounds(
    wide: list[Path], narrow: list[Path], rounds: int, seed: int
) -> list[Path]:
    """Lists photos in the order in which the teacher is asked about crops of them.

    Every round has each photo of the wide sets once and half of the narrow one, so
    that any beginning of the list is a fair sample of both.
    """
    random = np.random.default_rng((seed, rounds))
    planned = []
    for _ in range(rounds):
        half = random.permutation(len(narrow))[: len(narrow) // 2]
        chosen = [*wide, *(narrow[index] for index in half)]
        planned += [chosen[index] for index in random.permutation(len(chosen))]
    return planned
