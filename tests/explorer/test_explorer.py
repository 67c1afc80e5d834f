"""The explorer: what a reader sees after each change of a control."""

import base64
import datetime
import io
import re
import sys
import threading

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from local_server import serve
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from torch import nn

from courseai_helpers.explorer import explore
from courseai_helpers.explorer.session import Inquiry, UnansweredError
from courseai_helpers.images import crop_seen, load_photo, preprocess
from courseai_helpers.models import Prediction
from courseai_helpers.reference import visualizing_features as lesson

FUNCTIONS = {
    "grad_cam": lesson.grad_cam,
    "capture_activations": lesson.capture_activations,
    "normalize_filters": lesson.normalize_filters,
    "filter_to_image": lesson.filter_to_image,
}
PHOTO = load_photo("cat")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A network of two stages, small enough for many questions."""
    torch.manual_seed(1)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 4, 7, stride=8))
    network.add_module("relu", nn.ReLU(inplace=True))
    network.add_module("layer4", nn.Conv2d(4, 6, 3, stride=4))
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(6, 5))
    return network.eval()


@pytest.fixture
def explorer(model):
    return explore(model, PHOTO, **FUNCTIONS)


def read_pixels(explorer) -> np.ndarray:
    """Returns the picture that is shown, [H, W, 3]."""
    data = re.search(r'base64,([^"]+)"', explorer.controls.picture.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def are_alike(got: np.ndarray, want: np.ndarray | int) -> bool:
    """Says whether pixels are equal but for what compression does to them."""
    return np.abs(got.astype(int) - want).mean() < 3


def read_words(explorer) -> str:
    """Returns what is said: the picture's title and alt text, and the message."""
    c = explorer.controls
    alt = re.search(r'alt="([^"]*)"', c.picture.value)
    return " ".join([alt[1] if alt else "", re.sub("<[^>]+>", " ", c.message.value)])


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def upload(explorer, name: str, content: bytes) -> None:
    file = {"name": name, "type": "image/png", "size": len(content), "content": content}
    explorer.controls.upload.value = (
        file | {"last_modified": datetime.datetime.now()},
    )


def test_it_begins_with_the_heatmap_of_the_top_class(explorer, model):
    cam, target_class = lesson.grad_cam(model, preprocess(PHOTO))
    c = explorer.controls
    assert (c.view.value, c.layer.value) == ("Grad-CAM", "layer4")
    assert c.target.value == f"{target_class}: class {target_class}"
    assert "Top 5 predictions" in c.predictions.value
    assert f"Row 0, column 0: {cam[0, 0]:.3g}." in read_words(explorer)


def test_moving_the_channel_shows_the_map_of_that_channel(explorer, model):
    c = explorer.controls
    c.view.value, c.layer.value, c.opacity.value = "activation map", "conv1", 100
    c.row.value, c.column.value = 3, 5
    maps = model.conv1(preprocess(PHOTO))[0].detach().numpy()
    low, high = np.percentile(maps, [0.5, 99.5])
    for channel in (0, 3):
        c.channel_slider.value = channel
        assert f"Row 3, column 5: {maps[channel, 3, 5]:.3g}." in read_words(explorer)
        scaled = (maps[channel] - low) / (high - low)
        want = matplotlib.colormaps["viridis"](scaled, bytes=True)[:, :, :3]
        shown = read_pixels(explorer)
        size = len(shown) // len(want)
        got = shown[size // 2 :: size, size // 2 :: size]
        assert are_alike(got, want)


def test_without_opacity_the_photo_alone_is_left_in_gray(explorer):
    explorer.controls.opacity.value = 0
    shown = read_pixels(explorer)
    want = np.asarray(crop_seen(PHOTO).convert("L").resize((448, 448)))
    assert are_alike(shown[20:, 20:, 0], want[20:, 20:])  # the frame aside


def test_the_frame_marks_the_cell_that_is_read(explorer):
    c = explorer.controls
    before = read_pixels(explorer)
    c.row.value = 100
    change = np.abs(read_pixels(explorer).astype(int) - before).max(axis=2)
    changed = np.argwhere(change > 60)
    assert changed[:, 1].max() < 20
    assert changed[:, 0].max() == pytest.approx(200, abs=12)


def test_a_filter_over_colors_is_read_in_red_green_and_blue(explorer, model):
    c = explorer.controls
    c.view.value, c.layer.value, c.channel.value = "filter", "conv1", 2
    c.row.value, c.column.value = 6, 1
    red, green, blue = model.conv1.weight[2, :, 6, 1].tolist()
    want = f"Row 6, column 1: red {red:.3g}, green {green:.3g}, blue {blue:.3g}."
    assert want in read_words(explorer)


def test_a_filter_over_many_channels_is_a_montage_of_its_weights(explorer, model):
    c = explorer.controls
    c.view.value, c.layer.value, c.channel.value = "filter", "layer4", 5
    weights = model.layer4.weight[5]
    c.row.value, c.column.value = 1, 4  # the second square begins after a gap
    assert f"Row 1, column 4: {weights[1, 1, 0]:.3g}." in read_words(explorer)
    c.column.value = 3
    assert "gap between two input channels" in read_words(explorer)


def test_grad_cam_can_be_asked_about_an_earlier_stage(explorer, model):
    explorer.controls.layer.value = "conv1"
    maps = model.conv1(preprocess(PHOTO)).detach().requires_grad_()
    target = int(explorer.controls.target.value.split(":")[0])
    rest = model[1:]
    (gradient,) = torch.autograd.grad(rest(maps.clone())[0, target], maps)
    heat = torch.einsum("kij,k->ij", maps[0], gradient[0].mean(dim=(1, 2))).clamp(min=0)
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    size = 224 / heat.shape[0]
    said = re.search(r"in row (\d+), column (\d+)", read_words(explorer))
    assert int(said[1]) == pytest.approx((row + 0.5) * size, abs=size)
    assert int(said[2]) == pytest.approx((column + 0.5) * size, abs=size)
    assert not any(m._forward_hooks for m in model.modules())


def test_choosing_a_class_shows_its_heatmap(explorer, model):
    c = explorer.controls
    other = (int(c.target.value.split(":")[0]) + 1) % 5
    c.target.value = f"class {other}"
    assert c.target.value == f"{other}: class {other}"
    assert f"“class {other}”" in read_words(explorer)


def test_a_class_is_found_by_number_name_and_part_of_its_name(model):
    inquiry = Inquiry(model, FUNCTIONS)
    names = ["tiger cat", "tabby", "crane", "crane bird", "Egyptian cat"]
    inquiry.ranking = [
        Prediction(name, 0.5 - index / 10, index) for index, name in enumerate(names)
    ]
    found = {
        text: inquiry.find_class(text).class_index
        for text in ("2", "4: Egyptian cat", "Tabby", "crane", "bird", " cat ")
    }
    assert list(found.values()) == [2, 4, 1, 2, 3, 0]
    for text in ("dog", "5", ""):
        with pytest.raises(UnansweredError, match="number from 0 to 4"):
            inquiry.find_class(text)


def test_a_class_that_there_is_not_leaves_the_picture_and_says_so(explorer):
    c = explorer.controls
    before, picture = c.target.value, c.picture.value
    c.target.value = "<b>unicorn"
    assert "No class is called “&lt;b&gt;unicorn”" in c.message.value
    assert (c.target.value, c.picture.value) == (before, picture)


def fail_to_divide(*arguments):
    return 1 / 0


def leave_unwritten(*arguments):
    raise NotImplementedError("This exercise is still to be written.")


@pytest.mark.parametrize("name", ["grad_cam", "capture_activations", "filter_to_image"])
@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (None, "This view needs your {name}. Hand it over: explore(…, {name}={name})."),
        (leave_unwritten, "Your {name} is still to be written. Write it,"),
        (fail_to_divide, "Your {name} raised ZeroDivisionError: division by zero"),
        (lambda *arguments: None, "Your {name} should return"),
    ],
)
def test_what_is_missing_is_said_and_the_rest_still_shows(
    model, name, function, sentence
):
    explorer = explore(model, PHOTO, **FUNCTIONS | {name: function})
    c = explorer.controls
    views = {
        "grad_cam": "Grad-CAM",
        "capture_activations": "activation map",
        "filter_to_image": "filter",
    }
    for needed, view in views.items():
        c.view.value, c.layer.value = view, "conv1"
        if needed == name:
            assert sentence.format(name=name) in read_words(explorer)
            assert c.picture.value == ""
        else:
            assert "<img" in c.picture.value


def test_a_heatmap_without_numbers_is_refused(model):
    bad = FUNCTIONS | {"grad_cam": lambda *a: (np.full((224, 224), np.nan), 0)}
    assert "NaN" in read_words(explore(model, PHOTO, **bad))


def test_what_a_function_prints_does_not_get_in_the_way(model, capsys):
    def chatter(*arguments):
        print("gradients!", file=sys.stderr)
        return lesson.grad_cam(*arguments)

    explore(model, PHOTO, **FUNCTIONS | {"grad_cam": chatter})
    assert capsys.readouterr() == ("", "")


def test_each_heatmap_is_computed_once(model):
    asked = []

    def count(*arguments):
        asked.append(arguments[-1])
        return lesson.grad_cam(*arguments)

    c = explore(model, PHOTO, **FUNCTIONS | {"grad_cam": count}).controls
    c.opacity.value, c.row.value, c.target.value = 10, 7, "class 0"
    c.target.value = "class 1"
    c.target.value = "class 0"
    assert len(asked) == len(set(asked))


def test_a_photo_of_the_gallery_is_shown_with_its_own_predictions(explorer):
    c = explorer.controls
    before = c.predictions.value
    c.photo.value = "rocket"
    c.opacity.value = 0
    want = np.asarray(crop_seen(load_photo("rocket")).convert("L").resize((448, 448)))
    assert are_alike(read_pixels(explorer)[20:, 20:, 0], want[20:, 20:])
    assert c.predictions.value != before


def test_a_photo_that_cannot_be_loaded_names_its_stand_in(explorer, capsys):
    explorer.controls.photo.value = "car"  # COURSEAI_OFFLINE is set
    assert "“car” could not be loaded; this is “motorcycle”" in read_words(explorer)
    assert capsys.readouterr() == ("", "")


def test_an_uploaded_photo_is_shown_and_can_be_chosen_again(explorer):
    c = explorer.controls
    upload(explorer, "snow.png", encode(Image.new("RGB", (300, 240), "white")))
    c.opacity.value = 0
    assert c.photo.value == "snow.png"
    assert are_alike(read_pixels(explorer)[20:, 20:], 255)
    c.photo.value = "cat"
    c.photo.value = "snow.png"
    assert are_alike(read_pixels(explorer)[20:, 20:], 255)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no picture", "is not a picture that can be read here"),
        (encode(Image.new("RGB", (900, 3))), "a mere strip"),
    ],
    ids=["text", "strip"],
)
def test_an_upload_that_is_no_photo_says_why_and_changes_nothing(
    explorer, content, reason
):
    c = explorer.controls
    before = c.photo.value, c.picture.value
    upload(explorer, "odd.png", content)
    assert reason in read_words(explorer)
    assert (c.photo.value, c.picture.value) == before


def test_a_photo_comes_from_a_web_address(explorer, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSEAI_OFFLINE")
    monkeypatch.setenv("COURSEAI_CACHE", str(tmp_path))
    white = encode(Image.new("RGB", (300, 240), "white"))
    c = explorer.controls
    c.opacity.value = 0
    with serve() as server:
        c.address.value = server.add("/snow.png", white)
        assert are_alike(read_pixels(explorer)[20:, 20:], 255)
        c.address.value = f"{server.url}/nowhere.png"
    assert "404" in read_words(explorer)
    assert are_alike(read_pixels(explorer)[20:, 20:], 255)


def test_reset_goes_back_to_how_it_began(explorer):
    c = explorer.controls
    names = ("photo", "view", "layer", "channel", "target", "opacity", "row", "column")
    before = {name: getattr(c, name).value for name in names}, c.picture.value
    c.photo.value, c.view.value, c.layer.value = "rocket", "activation map", "conv1"
    c.channel.value, c.opacity.value, c.row.value, c.column.value = 3, 5, 4, 2
    c.reset.click()
    after = {name: getattr(c, name).value for name in names}, c.picture.value
    assert after == before


def test_a_choice_made_during_a_reset_is_kept(model):
    computing, chosen = threading.Event(), threading.Event()

    def compute_slowly(*arguments):
        computing.set()
        chosen.wait(60)
        return lesson.grad_cam(*arguments)

    chosen.set()
    functions = FUNCTIONS | {"grad_cam": compute_slowly}
    explorer = explore(model, PHOTO, **functions)
    c = explorer.controls
    c.layer.value = "conv1"
    wanted = c.picture.value
    chosen.clear()
    computing.clear()
    reset = threading.Thread(target=c.reset.click)  # as JupyterLab has it
    reset.start()
    computing.wait(60)
    c.layer.observe(lambda change: chosen.set(), "index")
    c.layer.value = "conv1"
    reset.join()
    assert c.layer.value == "conv1" and c.picture.value == wanted


def test_after_a_failure_the_controls_still_work(explorer, monkeypatch):
    c = explorer.controls
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr("courseai_helpers.explorer.app.draw_heatmap", fail_for_memory)
        c.opacity.value = 10
    c.layer.value = "conv1"
    assert "Grad-CAM at conv1" in read_words(explorer)


def fail_for_memory(*arguments):
    raise MemoryError


def test_controls_that_a_view_does_not_use_are_out_of_reach(explorer):
    c = explorer.controls
    disabled = {}
    for view in ("filter", "activation map", "Grad-CAM"):
        c.view.value = view
        controls = {"channel": c.channel_slider, "class": c.target}
        controls["opacity"] = c.opacity_slider
        disabled[view] = [name for name, w in controls.items() if w.disabled]
    assert disabled == {
        "filter": ["class", "opacity"],
        "activation map": ["class"],
        "Grad-CAM": ["channel"],
    }


def test_a_kernel_can_take_a_message_while_a_function_of_the_reader_runs():
    code = """
import numpy
from courseai_helpers.explorer import explore
from courseai_helpers.images import load_photo
from courseai_helpers.models import load_resnet18

def grad_cam(*arguments):
    print("printed")
    display("displayed")
    kernel = get_ipython().kernel
    kernel.set_parent([], kernel.get_parent("shell"))  # as with every message
    return numpy.eye(224), 3

model, photo = load_resnet18(), load_photo("cat")  # which says that it is a stand-in
"""
    look = """
c = explore(model, photo, grad_cam=grad_cam).controls
assert "<img" in c.picture.value, c.message.value
"""
    notebook = new_notebook(cells=[new_code_cell(code), new_code_cell(look)])
    NotebookClient(notebook, timeout=120).execute()
    assert notebook.cells[1].outputs == []


def test_where_no_widget_runs_the_first_picture_shows(run, tmp_path):
    code = (
        "from courseai_helpers.explorer import explore\n"
        "from courseai_helpers.images import load_photo\n"
        "from courseai_helpers.models import load_resnet18\n"
        "explore(load_resnet18(), load_photo('cat'), "
        "grad_cam=lambda *a: (__import__('numpy').eye(224), 3))"
    )
    notebook = new_notebook(cells=[new_code_cell(code)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
    options = ("--execute", "--to=html", "--ExecutePreprocessor.store_widget_state=0")
    result = run(tmp_path, "nbconvert", *options, "explorer.ipynb")
    assert result.returncode == 0, result.stdout
    page = (tmp_path / "explorer.html").read_text()
    assert re.search(r'<img alt="Grad-CAM at layer4 for [^"]+" src="data:image/', page)
    assert "Top 5 predictions" in page
    assert "widget-view+json" not in page.split("<body")[1]
