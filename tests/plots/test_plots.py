"""The lesson's figures: what they carry, what they refuse."""

import base64
import io

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
        "gallery": plots.show_gallery([("a", PHOTO, CAM)] * 3, "Gallery"),
        "scenes": plots.show_scenes([PHOTO] * 5, list("abcde"), "Scenes"),
        "shares": plots.show_shares({"row": {"kind": [0.1, 0.3]}}, "Shares"),
        "preferences": plots.show_preferences(
            [plots.Preference("layer2, 7", PHOTO, PHOTO, torch.eye(4), 9)], "Likes?"
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
        "IPython.display.display",
        lambda data, metadata, raw: shown.append((data, metadata, raw)),
    )
    picture = plots.show_image(PHOTO, 'A "field" & more')
    DisplayFormatter().format(picture)
    ((data, metadata, raw),) = shown
    assert raw and data["text/plain"] == 'A "field" & more'
    assert 'alt="A &quot;field&quot; &amp; more"' in data["text/html"]
    assert 'src="data:image/webp;base64,UklGR' in data["text/html"]
    assert metadata["image/jpeg"]["alt"] == 'A "field" & more'
    exported = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])))
    assert exported.format == "JPEG" and exported.width > 300
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", drawings())
def test_long_titles_are_not_cut_off(name, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **options: shown.append(data)
    )
    picture = drawings()[name]
    for ax in picture.axes:
        ax.set_title(f"{ax.get_title()}: soft-coated wheaten terrier, and so on" * 2)
    picture.suptitle("A title that is longer than the figure is wide: " * 4)
    DisplayFormatter().format(picture)
    image = Image.open(io.BytesIO(base64.b64decode(shown[0]["image/jpeg"])))
    pixels = np.asarray(image.convert("L"))
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert min(edge.min() for edge in edges) > 200, "Something lies across an edge."


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


def test_a_gallery_has_two_pairs_in_a_row():
    rows = [("a", PHOTO, CAM), ("b\n→ tabby", PHOTO, CAM), ("c", PHOTO, 0 * CAM)]
    picture = plots.show_gallery(rows, "Gallery")
    drawn = [ax for ax in picture.axes if ax.images]
    assert [ax.get_title() for ax in drawn[::2]] == ["a", "b\n→ tabby", "c"]
    assert "b → tabby: in the upper right part; c: nowhere" in picture.description


def test_where_there_is_no_heat_the_photo_shows_through():
    picture = plots.compare_heatmaps([(PHOTO, CAM, "one")], "Heat")
    opacity = picture.axes[0].images[1].get_alpha()
    assert opacity[0, 0] == 0 and 0.5 < opacity[2, 29] < 1


def test_maps_of_both_signs_have_a_white_zero_in_the_middle_of_their_colors():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0], maps[0, 1] = -3.0, 1.0
    picture = plots.show_activation_grid(maps, "conv1")
    drawn = picture.axes[0].images[0]
    assert drawn.get_clim() == (-3.0, 3.0)
    assert min(drawn.cmap(drawn.norm(0.0))[:3]) > 0.95
    assert "from -3 (blue) over 0 (white) to 3 (red)" in picture.description
    after_relu = plots.show_activation_grid(maps.relu(), "layer2")
    assert after_relu.axes[0].images[0].get_clim()[0] == 0


def test_every_map_has_its_channel_s_number_and_the_photo_stands_beside():
    picture = plots.show_activation_grid(torch.rand(1, 20, 6, 8), "layer2", PHOTO)
    photo, grid = picture.axes[:2]
    assert photo.images[0].get_array().shape == (24, 32, 3)
    numbers = {text.get_text(): text.get_position() for text in grid.texts}
    assert list(numbers) == [str(channel) for channel in range(16)]
    assert numbers["6"] == (2 * 9 - 0.5, 1 * 7 - 0.5)  # second row, third column


def test_dots_stand_at_their_numbers_beside_the_line_of_chance():
    rows = {"first": {"red": [0.1, 0.3], "blue": [0.9]}, "second": {"red": [0.5]}}
    picture = plots.show_shares(rows, "Shares", line=(0.25, "spread evenly"))
    (ax,) = picture.axes
    dots = [dots.get_offsets()[:, 0].tolist() for dots in ax.collections]
    assert dots == [[0.1, 0.3], [0.9], [0.5]]
    assert ax.get_legend_handles_labels()[1] == ["red", "blue", "spread evenly"]
    for words in ("first, red: 0.20 on average", "spread evenly at 0.25"):
        assert words in picture.description


def test_a_frame_shows_what_the_most_excited_cell_sees():
    peak = torch.zeros(3, 4)
    peak[2, 1] = 1.0
    pair = [
        plots.Preference("small", PHOTO, PHOTO, peak, 10),
        plots.Preference("large", PHOTO, PHOTO, peak, 100),
        plots.Preference("class", PHOTO, PHOTO, torch.tensor(3.0), 10),
    ]
    picture = plots.show_preferences(pair, "What do they look for?")
    frames = [ax.patches for ax in picture.axes if ax.get_title() == "found"]
    assert [len(found) for found in frames] == [1, 0, 0]
    (frame,) = frames[0]
    # The cell's middle is at x = 12, y = 20 of 32x24 pixels; 25 lies outside of them.
    assert frame.get_xy() == (7 - 0.5, 15 - 0.5)
    assert (frame.get_width(), frame.get_height()) == (10, 9)


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
