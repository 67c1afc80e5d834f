"""The executed lesson, as a reader meets it who cannot see it, or not all colors."""

import io
import re
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pytest
from conftest import ASSIGNMENT
from nbconvert import LatexExporter
from PIL import Image

from courseai_helpers.plots.grids import ACTIVATION_MAP, SIGNED_MAP
from courseai_helpers.plots.heatmaps import HEAT_MAP

MIN_WORDS = 5
# Linear RGB to the response of long, middle and short cones, and what a reader without
# the first two kinds sees. Source: Viénot, Brettel and Mollon (1999), "Digital video
# colourmaps for checking the legibility of displays by dichromats".
TO_CONES = np.array(
    [
        [17.8824, 43.5161, 4.11935],
        [3.45565, 27.1554, 3.86714],
        [0.0299566, 0.184309, 1.46709],
    ]
)
DICHROMATS = {
    "protanope": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
    "deuteranope": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
}


@pytest.fixture(scope="module")
def outputs(root) -> dict[str, str]:
    """What each cell of the executed solution shows, as HTML, by cell id."""
    path = root / "solutions" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return {
        cell.id: "".join(
            "".join(output.get("data", {}).get("text/html", ""))
            for output in cell.get("outputs", [])
        )
        for cell in cells
    }


def test_every_picture_of_the_lesson_has_alt_text(outputs):
    pictures = {
        name: re.findall(r"<img\b[^>]*>", html) for name, html in outputs.items()
    }
    assert sum(map(len, pictures.values())) >= 12
    for name, images in pictures.items():
        for image in images:
            alt = re.search(r'alt="([^"]*)"', image)
            assert alt, f"{name}: an image without alt text"
            assert len(alt[1].split()) >= MIN_WORDS, (
                f"{name}: {alt[1]!r} says too little"
            )


def test_no_picture_goes_out_without_a_place_for_alt_text(root):
    path = root / "solutions" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            kinds = [kind for kind in output.get("data", {}) if "image/" in kind]
            if kinds:  # for exports; a page shows the HTML, which has the alt text
                assert "<img alt=" in output.data["text/html"], cell.id
                assert output.metadata[kinds[0]].alt == output.data["text/plain"]


def test_pictures_survive_an_export_that_knows_images_only(root, outputs):
    path = root / "solutions" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    # Prose would take pandoc, which is no Python package.
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text, resources = LatexExporter().from_notebook_node(notebook)
    pictures = sum(html.count("data:image/webp") for html in outputs.values())
    assert len(resources["outputs"]) >= pictures - 1  # the explorer is a page
    assert all(Path(name).name in text for name in resources["outputs"])
    for name, data in resources["outputs"].items():
        assert Image.open(io.BytesIO(data)).width > 100, name


READERS = ["trichromat", *DICHROMATS]


def see(colors: np.ndarray, reader: str) -> np.ndarray:
    """Returns linear RGB [N, 3] as a reader sees colors of a map."""
    rgb = colors[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if reader in DICHROMATS:
        cones = linear @ TO_CONES.T @ np.array(DICHROMATS[reader]).T
        linear = np.clip(cones @ np.linalg.inv(TO_CONES).T, 0, 1)
    return linear


def measure_lightness(linear: np.ndarray) -> np.ndarray:
    return np.cbrt(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", [ACTIVATION_MAP, HEAT_MAP])
@pytest.mark.parametrize("reader", READERS)
def test_colors_get_brighter_with_the_value_for_every_reader(name, reader):
    seen = see(matplotlib.colormaps[name](np.linspace(0, 1, 64)), reader)
    assert (np.diff(measure_lightness(seen)) > 0).all()


@pytest.mark.parametrize("reader", READERS)
def test_colors_of_both_signs_get_darker_away_from_zero_and_differ(reader):
    seen = see(matplotlib.colormaps[SIGNED_MAP](np.linspace(0, 1, 65)), reader)
    lightness = measure_lightness(seen)
    assert (np.diff(lightness[:33]) > 0).all() and (np.diff(lightness[32:]) < 0).all()
    assert (np.abs(seen[:24] - seen[::-1][:24]).max(axis=1) > 0.1).all()
