"""Prints the evaluation table of the embedded stand-in, in Markdown.

    python tools/evaluate_stand_in.py WORK_FOLDER PHOTOS [PHOTOS ...]

WORK_FOLDER and PHOTOS are those of train_stand_in.py; one of the sets needs the folder
imagenet-samples, which training never sees. Beside the network in the package stand
those in the files of --weights, and an untrained one.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from distillation_batches import load_center_crops, round_where_faster
from distillation_crops import make_crops
from distillation_photos import EVALUATION_FOLDER, split_photos, unpack_photos
from distillation_teacher import load_teacher
from stand_in_measures import (
    agree,
    make_row,
    measure_coherence,
    measure_confidence,
    measure_smoothness,
)
from stand_in_pictures import describe_mosaics, describe_photos
from torchvision.models import ResNet, resnet18

from courseai_helpers.models import load_stand_in

# The samples have no photo of a slide rule; the sorted ids of all are the class order.
MISSING_ID = "n04238763"

Network = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Evaluates the networks and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="work folder of the training")
    parser.add_argument("photos", type=Path, nargs="+", help="folders or tar archives")
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0, help="the training's")
    options = parser.parse_args()

    torch.set_num_threads(1)
    networks = {"in the package": load_stand_in()}
    networks |= {path.stem: load_network(path) for path in options.weights}
    networks["untrained"] = untrained(0)
    teacher = load_teacher(options.work)
    sets = find_sets(options.photos, options.work, options.seed)
    rows, mosaics = [], []
    for name, photos in sets.items():
        stem = options.work / name.replace(" ", "_")
        crops = make_crops(photos, 0, options.seed, lambda: teacher, stem)
        scores = torch.from_numpy(np.array(crops.logits)).float()
        wanted = scores.argmax(1)
        answers = [answer(network, photos) for network in networks.values()]
        rows += compare_answers(name, answers, wanted, "agreement with the teacher")
        if name == EVALUATION_FOLDER:
            wanted = find_labels(photos)
            rows += compare_answers(name, [*answers, scores], wanted, "accuracy")
            rows += describe_confidence(name, [*answers, scores])
        mosaics += describe_mosaics(networks, name, photos, wanted.tolist())
    rows += mosaics + describe_photos(networks, teacher) + describe_filters(networks)
    print_table(["measure", *networks, "teacher or chance"], rows)


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Prints a table in Markdown; cells that a row lacks at its end stay empty."""
    for row in (head, ["---"] * len(head), *rows):
        cells = [*row, *[""] * (len(head) - len(row))]
        print("| " + " | ".join(cells) + " |")


def load_network(weights: Path) -> ResNet:
    """Returns a resnet18 with the weights in a safetensors file, in eval mode."""
    network = resnet18()
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network.float().eval()


def untrained(seed: int) -> ResNet:
    """Returns torchvision's starting weights, with batch norm as it starts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet18().eval()


def find_sets(archives: list[Path], work: Path, seed: int) -> dict[str, list[Path]]:
    """Returns what training has not seen: the held-out photos, and the samples."""
    sets, samples = {}, []
    for archive in archives:
        folder = unpack_photos(archive, work)
        sets[f"held out {archive.stem}"] = split_photos(folder, seed)[1]
        samples += folder.rglob(f"{EVALUATION_FOLDER}/**/*.jpg")
    return sets | {EVALUATION_FOLDER: sorted(samples)}


def find_labels(samples: list[Path]) -> torch.Tensor:
    """Finds each photo's class from the WordNet id in n01440764_tench.jpg.

    Raises:
        ValueError: If the photos do not show all classes but the missing one.
    """
    ids = sorted({photo.name[:9] for photo in samples} | {MISSING_ID})
    if len(ids) != 1000:
        raise ValueError(
            f"The photos in {EVALUATION_FOLDER} have {len(ids)} WordNet ids, with "
            f"{MISSING_ID}, not 1000; their order would not be that of the classes."
        )
    return torch.tensor([ids.index(photo.name[:9]) for photo in samples])


def answer(network: Network, photos: list[Path]) -> torch.Tensor:
    """Returns class scores [N, 1000] for the center crops of photo files."""
    with torch.inference_mode(), round_where_faster("cpu"):
        answers = [network(images) for images in load_center_crops(photos)]
    return torch.cat(answers).float()


def compare_answers(
    name: str, answers: list[torch.Tensor], wanted: torch.Tensor, what: str
) -> list[list[str]]:
    """Rows: how often the wanted class is the first, and among the first five."""
    return [
        make_row(
            f"top-{k} {what}, {len(wanted)} {name}",
            [agree(scores, wanted, k) for scores in answers],
        )
        for k in (1, 5)
    ]


def describe_confidence(name: str, answers: list[torch.Tensor]) -> list[list[str]]:
    """A row to compare with top-1 accuracy: equal for a calibrated network."""
    confidence = [measure_confidence(scores) for scores in answers]
    return [make_row(f"mean confidence in the first class, {name}", confidence)]


def describe_filters(networks: dict[str, ResNet]) -> list[list[str]]:
    """Rows: how oriented and how smooth the filters of conv1 are, on average."""
    filters = [n.conv1.weight.detach().numpy() for n in networks.values()]
    measures = {
        "conv1: mean coherence of direction": measure_coherence,
        "conv1: mean share of power below 0.25 cycles per pixel": measure_smoothness,
    }
    rows = [
        [title, *(f"{measure(value).mean():.2f}" for value in filters), ""]
        for title, measure in measures.items()
    ]
    both = [
        f"{((measure_coherence(v) > 0.5) & (measure_smoothness(v) > 0.5)).sum()} of 64"
        for v in filters
    ]
    return [*rows, ["conv1: filters with both above 0.5", *both, ""]]


if __name__ == "__main__":
    main()
