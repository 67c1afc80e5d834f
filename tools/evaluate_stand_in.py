"""Prints the evaluation table of the embedded stand-in, in Markdown.

    python tools/evaluate_stand_in.py PHOTOS WORK_FOLDER

PHOTOS and WORK_FOLDER are those of train_stand_in.py; the photos need the folder
imagenet-samples, which training never sees. Every row has an untrained network beside
it. --weights takes another file than the one in the package.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import skimage.data
import torch
from distillation_batches import load_center_crops, prepare_images, standardize
from distillation_photos import cut_boxes, split_photos, unpack_photos
from distillation_teacher import Teacher, load_teacher, make_crops
from PIL import Image
from stand_in_measures import (
    agree,
    make_heatmaps,
    measure_coherence,
    measure_heat,
    measure_smoothness,
)
from torchvision.models import ResNet, ResNet18_Weights, resnet18

from courseai_helpers.stand_in import load_stand_in

WEIGHTS = ResNet18_Weights.IMAGENET1K_V1  # for the preprocessing and the class names
PHOTOS = ("cat", "coffee", "rocket", "astronaut")  # in scikit-image
# (left, top, right, bottom), measured by eye in the crop of 224 pixels: the cup with
# its handle, and the rocket without the towers.
BOXES = {"coffee": (30, 0, 192, 178), "rocket": (103, 57, 126, 224)}

Network = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Evaluates the stand-in and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder or tar archive")
    parser.add_argument("work", type=Path, help="work folder of the training")
    parser.add_argument("--weights", type=Path, help="a safetensors file")
    parser.add_argument("--seed", type=int, default=0, help="the training's")
    options = parser.parse_args()

    torch.set_num_threads(1)
    folder = unpack_photos(options.photos, options.work)
    networks = {"stand-in": load_network(options.weights), "untrained": untrained(0)}
    teacher = load_teacher(options.work)
    _, held_out = split_photos(folder, options.seed)
    samples = sorted(folder.rglob("imagenet-samples/**/*.jpg"))
    rows = []
    for name, photos in (("held-out photos", held_out), ("ImageNet samples", samples)):
        rows += compare_answers(networks, teacher, name, photos, options)
    rows += describe_mosaics(networks, samples)
    rows += describe_photos(networks, teacher)
    rows += describe_filters(networks)
    print("| measure | stand-in | untrained | teacher or chance |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def load_network(weights: Path | None) -> ResNet:
    """Returns the packaged stand-in, or a resnet18 with the weights in a file."""
    if weights is None:
        return load_stand_in()
    network = resnet18()
    state = safetensors.torch.load_file(weights)
    network.load_state_dict(state)
    return network.float().eval()


def untrained(seed: int) -> ResNet:
    """Returns torchvision's starting weights, with batch norm as it starts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet18().eval()


def compare_answers(networks, teacher: Teacher, name, photos, options) -> list:
    """Rows: agreement with the teacher, and with the labels of the ImageNet samples."""
    work, seed = options.work, options.seed
    stem = work / ("held_out" if name == "held-out photos" else "imagenet_samples")
    crops = make_crops(photos, 0, seed, lambda: teacher, stem)
    wanted = torch.from_numpy(np.asarray(crops.logits, dtype=np.float32)).argmax(1)
    answers = {key: answer(network, photos) for key, network in networks.items()}
    rows = [
        make_row(f"top-{k} agreement with the teacher, {len(photos)} {name}", share)
        for k in (1, 5)
        for share in [
            {key: agree(scores, wanted, k) for key, scores in answers.items()}
            | {"other": ""}
        ]
    ]
    if name == "ImageNet samples":
        labels = find_labels(photos)
        scores = answers | {"other": torch.from_numpy(np.array(crops.logits)).float()}
        rows += [
            make_row(
                f"top-{k} accuracy, {len(photos)} {name}",
                {key: agree(value, labels, k) for key, value in scores.items()},
            )
            for k in (1, 5)
        ]
    return rows


def make_row(measure: str, values: dict) -> list[str]:
    """Returns a row of the table; shares become percentages."""
    shown = [f"{v:.1%}" if isinstance(v, float) else v for v in values.values()]
    return [measure, *shown]


def find_labels(photos: list[Path]) -> torch.Tensor:
    """Finds each photo's class from its name, n01440764_tench.jpg.

    The sorted WordNet ids are the class order, but a class may have no photo; then the
    names tell which.
    """
    words = [photo.stem.split("_", 1)[1].replace("_", " ") for photo in photos]
    names = [name.lower() for name in WEIGHTS.meta["categories"]]
    labels, place = [], 0
    for count, word in enumerate(words):
        spare = len(names) - len(words) - (place - count)
        options = names[place : place + spare + 1]
        place += options.index(word.lower()) if word.lower() in options else 0
        labels.append(place)
        place += 1
    return torch.tensor(labels)


def answer(network: Network, photos: list[Path]) -> torch.Tensor:
    """Returns class scores [N, 1000] for the center crops of photo files.

    Computed in bfloat16, which is faster on many processors.
    """
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        answers = [network(images) for images in load_center_crops(photos)]
    return torch.cat(answers).float()


def describe_mosaics(networks, samples: list[Path]) -> list:
    """Rows: four samples in a square, and the heat for each one's class."""
    labels = find_labels(samples).tolist()
    order = np.random.default_rng(0).permutation(len(samples))
    shares = {name: [] for name in networks}
    for start in range(0, 400, 4):
        four = order[start : start + 4]
        tiles = [cut_boxes(samples[index], 0, (0,))[0] for index in four]
        tiles = [np.asarray(Image.fromarray(t[0]).resize((112, 112))) for t in tiles]
        square = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
        image = standardize(prepare_images(square[None], 224))
        for name, network in networks.items():
            heats = make_heatmaps(network, image, [labels[index] for index in four])
            for place, heat in enumerate(heats):
                left, top = place % 2 * 112, place // 2 * 112
                box = (left, top, left + 112, top + 112)
                shares[name].append(measure_heat(heat, box))
    values = {name: float(np.mean(share)) for name, share in shares.items()}
    return [make_row("heat in the right quarter of 100 mosaics", values | {"": 0.25})]


def describe_photos(networks, teacher: Teacher) -> list:
    """Rows: predictions for scikit-image's photos, and the heat inside their boxes."""
    rows, prepare = [], WEIGHTS.transforms()
    for name in PHOTOS:
        photo = Image.fromarray(getattr(skimage.data, name)())
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
            values = [f"{value:.1%}" for value in (*heats, area)]
            rows.append([f"{name}: heat of the top class in the box", *values])
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


def describe_filters(networks) -> list:
    """Rows: how oriented and how smooth the filters of conv1 are, on average."""
    filters = {
        name: network.conv1.weight.detach().numpy()
        for name, network in networks.items()
    }
    measures = {
        "conv1: mean coherence of direction": measure_coherence,
        "conv1: mean share of power below 0.25 cycles per pixel": measure_smoothness,
    }
    rows = [
        [title, *(f"{measure(value).mean():.2f}" for value in filters.values()), ""]
        for title, measure in measures.items()
    ]
    both = [
        f"{((measure_coherence(v) > 0.5) & (measure_smoothness(v) > 0.5)).sum()} of 64"
        for v in filters.values()
    ]
    return [*rows, ["conv1: filters with both above 0.5", *both, ""]]


if __name__ == "__main__":
    main()
