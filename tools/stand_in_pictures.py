"""What networks see in scikit-image's photos and in mosaics of other photos."""

from pathlib import Path

import numpy as np
import skimage.data
import torch
from distillation_batches import prepare_images, standardize
from distillation_crops import Teacher
from distillation_photos import cut_boxes
from PIL import Image
from stand_in_measures import make_heatmaps, make_row, measure_heat
from torchvision.models import ResNet, ResNet18_Weights

WEIGHTS = ResNet18_Weights.IMAGENET1K_V1  # for the preprocessing and the class names
PHOTOS = {
    "cat": skimage.data.cat,
    "coffee": skimage.data.coffee,
    "rocket": skimage.data.rocket,
    "astronaut": skimage.data.astronaut,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
}
# (left, top, right, bottom), measured by eye in the crop of 224 pixels: the cup with
# its handle, and the rocket without the towers.
BOXES = {"coffee": (30, 0, 192, 178), "rocket": (103, 57, 126, 224)}


def describe_photos(networks: dict[str, ResNet], teacher: Teacher) -> list[list[str]]:
    """Rows: predictions for scikit-image's photos, and the heat inside their boxes."""
    rows, prepare = [], WEIGHTS.transforms()
    for name, load in PHOTOS.items():
        photo = Image.fromarray(load())
        image, cells, heats = prepare(photo)[None], [], []
        for network in networks.values():
            with torch.inference_mode():
                scores = network(image)
            cells.append(list_classes(scores))
            (heat,) = make_heatmaps(network, image, [int(scores.argmax())])
            heats.append(measure_heat(heat, BOXES.get(name, (0, 0, 1, 1))))
        pixels = np.asarray(crop_center(photo))[None].repeat(16, axis=0)
        cells.append(list_classes(torch.from_numpy(teacher(pixels)[0][:1])))
        rows.append([f"{name}: top 3", *cells])
        if name in BOXES:
            left, top, right, bottom = BOXES[name]
            area = (right - left) * (bottom - top) / 224**2
            rows.append(
                make_row(f"{name}: heat of the top class in the box", [*heats, area])
            )
    return rows


def crop_center(photo: Image.Image) -> Image.Image:
    """Returns the crop of 224 pixels that the networks see."""
    scale = 256 / min(photo.size)
    width, height = (round(scale * side) for side in photo.size)
    photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    return photo.crop((left, top, left + 224, top + 224))


def list_classes(scores: torch.Tensor, count: int = 3) -> str:
    """Returns the best classes with their probabilities, in words."""
    best, places = scores[0].softmax(dim=0).topk(count)
    names = [WEIGHTS.meta["categories"][place] for place in places]
    return ", ".join(f"{n} {p:.2f}" for n, p in zip(names, best.tolist(), strict=True))


def describe_mosaics(
    networks: dict[str, ResNet], name: str, photos: list[Path], labels: list[int]
) -> list[list[str]]:
    """A row: four photos in a square, and how much heat falls on the right one."""
    fours = choose_fours(labels)
    shares = {key: [] for key in networks}
    for four in fours:
        tiles = [cut_boxes(photos[index], 0, (0,))[0][0] for index in four]
        tiles = [np.asarray(Image.fromarray(tile).resize((112, 112))) for tile in tiles]
        square = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
        image = standardize(prepare_images(square[None], 224))
        for key, network in networks.items():
            heats = make_heatmaps(network, image, [labels[index] for index in four])
            for place, heat in enumerate(heats):
                left, top = place % 2 * 112, place // 2 * 112
                box = (left, top, left + 112, top + 112)
                shares[key].append(measure_heat(heat, box))
    means = [float(np.mean(share)) for share in shares.values()]
    title = f"heat in the right quarter of {len(fours)} mosaics of {name}"
    return [make_row(title, [*means, 0.25])]


def choose_fours(labels: list[int], count: int = 100) -> list[list[int]]:
    """Chooses up to `count` groups of four places with four different labels."""
    waiting = np.random.default_rng(0).permutation(len(labels)).tolist()
    fours = []
    while len(fours) < count:
        four = []
        for index in waiting:
            if labels[index] not in [labels[other] for other in four]:
                four.append(index)
            if len(four) == 4:
                break
        else:
            break
        waiting = [index for index in waiting if index not in four]
        fours.append(four)
    return fours
