"""The lesson's figures: what they carry, what they refuse."""

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from courseai_helpers import plots
from courseai_helpers.models import Prediction
from courseai_helpers.plots.figure import tile

PHOTO = Image.new("RGB", (32, 24), "orange")
CAM = np.zeros((24, 32))
CAM[2, 29] = 1.0


def drawings() -> dict:
    filters = [np.full((7, 7, 3), 0.5)] * 10
    predictions = [Prediction("tabby", 0.6, 281), Prediction("crane", 0.2, 134)]
    return {
        "image": plots.show_image(PHOTO, "An orange field"),
        "predictions": plots.show_predictions(PHOTO, predictions),
        "filters": plots.show_filters(filters, "Ten gray filters"),
        "activations": plots.show_activation_grid(torch.rand(1, 20, 6, 8), "layer2"),
        "grad_cam": plots.show_grad_cam(PHOTO, CAM, "What speaks for orange"),
        "compare": plots.compare_heatmaps([(PHOTO, CAM, "one")], "All", [(0, 0, 9, 9)]),
        "gallery": plots.show_gallery(
            [("a", PHOTO, CAM), ("b", ValueError("no such host"))], "Gallery"
        ),
    }


@pytest.mark.parametrize("name", drawings())
def test_every_figure_has_a_title_and_a_description(name):
    picture = drawings()[name]
    titles = [ax.get_title() for ax in picture.axes] + [picture.get_suptitle()]
    assert any(titles)
    assert len(picture.description) > 10


def test_a_figure_goes_out_as_an_image_with_alt_text(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw: shown.append((data, raw))
    )
    picture = plots.show_image(PHOTO, 'A "field" & more')
    DisplayFormatter().format(picture)
    ((data, raw),) = shown
    assert raw and data["text/plain"] == 'A "field" & more'
    assert 'alt="A &quot;field&quot; &amp; more"' in data["text/html"]
    assert 'src="data:image/webp;base64,UklGR' in data["text/html"]
    assert capsys.readouterr().err == ""


def test_heatmaps_share_one_fixed_scale():
    half = CAM / 2
    picture = plots.compare_heatmaps([(PHOTO, CAM, "a"), (PHOTO, half, "b")], "Both")
    limits = [ax.images[1].get_clim() for ax in picture.axes[:2]]
    assert limits == [(0, 1), (0, 1)]


def test_the_description_says_where_the_heat_is():
    assert "in the upper right" in plots.show_grad_cam(PHOTO, CAM, "Heat").description
    zeros = np.zeros_like(CAM)
    assert "nowhere" in plots.show_grad_cam(PHOTO, zeros, "Heat").description


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (0, 0, "in the upper left part"),
        (0, 16, "in the upper part"),
        (12, 31, "in the right part"),
        (23, 16, "in the lower part"),
        (12, 16, "in the center"),
    ],
)
def test_where_the_heat_is_stands_in_the_description_in_plain_words(row, column, words):
    cam = np.zeros((24, 32), dtype=np.float32)
    cam[row, column] = 1
    panels = [(PHOTO, cam, "first:\nred cup")]
    description = plots.compare_heatmaps(panels, "Heat").description
    assert f"Heat. first: red cup: hottest {words}." == description


def test_a_photo_that_failed_says_why_in_its_row():
    rows = [("bird", OSError("no such host")), ("cat", PHOTO, CAM)]
    picture = plots.show_gallery(rows, "Gallery")
    texts = [text.get_text() for ax in picture.axes for text in ax.texts]
    assert texts == ["Not shown: no such host"]
    assert len(picture.axes[2].images) == 1


def test_a_photo_of_another_size_than_the_heatmap_is_refused():
    with pytest.raises(ValueError, match="crop_seen"):
        plots.show_grad_cam(PHOTO.resize((64, 48)), CAM, "Heat")


def test_a_heatmap_with_batch_axes_is_refused():
    with pytest.raises(ValueError, match=r"shape \[H, W\]"):
        plots.show_grad_cam(PHOTO, CAM[None, None], "Heat")


def test_filters_that_are_not_normalized_are_refused():
    with pytest.raises(ValueError, match="normalize each filter first"):
        plots.show_filters([np.full((7, 7, 3), -1.0)], "Filters")


def test_filters_with_the_channel_first_are_refused():
    with pytest.raises(ValueError, match="color last"):
        plots.show_filters([np.zeros((3, 7, 7))], "Filters")


def test_activations_of_a_whole_batch_are_refused():
    with pytest.raises(ValueError, match="one image"):
        plots.show_activation_grid(torch.rand(2, 4, 5, 5), "conv1")


def test_a_montage_keeps_every_tile_in_its_place():
    tiles = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    canvas = tile(tiles, columns=4)
    assert canvas.shape == (5, 15)
    assert canvas[0, ::4].tolist() == [0, 1, 2, 3]
    assert canvas[3, 0] == 4 and np.isnan(canvas[3, 4:]).all()
