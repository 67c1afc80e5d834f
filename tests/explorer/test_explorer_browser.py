"""The explorer in JupyterLab, in a real browser, by keyboard alone.

With COURSEAI_SCREENSHOTS=1 it takes the picture in docs/ again.
"""

import browsers
import nbformat
import pytest
from browsers import MINUTE
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from playwright import sync_api as playwright

from courseai_helpers.grading.authoring.nbgrader_commands import make_environment

pytestmark = browsers.needs_browser

CODE = """\
from courseai_helpers.explorer import explore
from courseai_helpers.images import load_photo
from courseai_helpers.models import load_resnet18
from courseai_helpers.reference import visualizing_features as lesson

explore(
    load_resnet18(),
    load_photo("cat"),
    grad_cam=lesson.grad_cam,
    capture_activations=lesson.capture_activations,
    normalize_filters=lesson.normalize_filters,
    filter_to_image=lesson.filter_to_image,
)
"""
playwright.expect.set_options(timeout=3 * MINUTE)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a notebook in a JupyterLab that nobody else can reach."""
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(
        cells=[new_code_cell(CODE)], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, folder / "explorer.ipynb")
    environment = make_environment(tmp_path_factory.mktemp("private"))
    with browsers.start_lab(folder, environment) as address:
        yield f"{address}/tree/explorer.ipynb?reset"


@pytest.fixture(scope="module")
def begun(lab):
    """The explorer in the browser."""
    with browsers.open_browser() as browser:
        page = browsers.open_page(browser, lab)
        page.keyboard.press("Control+b")  # more room: without the list of files
        page.locator(".jp-CodeCell .cm-content").click()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        page.keyboard.press("Shift+Enter")
        page.locator(".jp-OutputArea figure img").wait_for()
        yield page


@pytest.fixture
def page(begun):
    """The explorer as it began, whatever the test before has left."""
    # A reset that has nothing to change would not show when it is done.
    press(begun, "Read row", "Control+a", "1", "Enter", role="spinbutton")
    begun.get_by_role("status").get_by_text("Row 1, column").wait_for()
    press(begun, "Reset", "Enter", role="button")
    begun.get_by_role("status").get_by_text("Row 0, column 0:").wait_for()
    wait_for_picture(begun, "Grad-CAM at layer4")
    return begun


def press(page, label: str, *keys: str, role: str = "combobox") -> None:
    """Moves the focus to a control and presses keys there."""
    page.get_by_role(role, name=label, exact=True).focus()
    for key in keys:
        page.keyboard.press(key)


def wait_for_picture(page, title: str) -> str:
    """Waits for the picture of that title; returns the picture's data."""
    picture = page.locator(f'figure img[alt^="{title}"]')
    picture.wait_for()
    return picture.get_attribute("src")


def test_every_control_is_reached_with_tab_and_has_a_name(page):
    page.get_by_role("combobox", name="Photo", exact=True).focus()
    names = []
    while "Reset" not in names and len(names) < 30:
        names.append(
            page.evaluate(
                "() => { const e = document.activeElement;"
                " return e.ariaLabel || e.labels?.[0]?.innerText || e.innerText }"
            )
        )
        page.keyboard.press("Tab")
    assert names == [
        "Photo",
        "Upload a photo (0)",
        "Web address",
        "Show",
        "Layer",
        "Channel",  # the slider; its field is out of use for Grad-CAM
        "Class",
        "Opacity in %",
        "Opacity in %",
        "Read row",
        "Read column",
        "Reset",
    ]


def test_by_keyboard_alone_a_class_and_a_channel_show_new_pictures(page, root):
    press(page, "Class", "Control+a", *"sports car", "Enter")
    cam = wait_for_picture(page, "Grad-CAM at layer4 for “sports car”")
    press(page, "Opacity in %", "ArrowRight", role="slider")
    page.wait_for_function(
        "before => document.querySelector('figure img').src !== before", arg=cam
    )
    press(page, "Show", "ArrowUp")
    before = wait_for_picture(page, "Activation map 0 of layer4")
    press(page, "Channel", "ArrowRight", role="slider")
    assert wait_for_picture(page, "Activation map 1 of layer4") != before
    press(page, "Layer", "Home", "ArrowDown", "ArrowDown")
    wait_for_picture(page, "Activation map 1 of layer2")
    press(page, "Read row", "Control+a", *"12", "Enter", role="spinbutton")
    page.get_by_role("status").get_by_text("Row 12, column 0:").wait_for()


def test_a_choice_made_while_a_reset_is_going_on_is_kept(page):
    press(page, "Show", "ArrowUp")
    wait_for_picture(page, "Activation map 0 of layer4")
    press(page, "Reset", "Enter", role="button")
    show = page.get_by_role("combobox", name="Show", exact=True)
    playwright.expect(show).to_have_value("Grad-CAM")  # its picture comes later
    press(page, "Layer", "Home", "ArrowDown", "ArrowDown")
    wait_for_picture(page, "Grad-CAM at layer2")


def test_a_photo_of_the_readers_own_is_uploaded(page, tmp_path):
    Image.new("RGB", (300, 240), "white").save(tmp_path / "snow.png")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a photo").focus()  # an icon is in it
        page.keyboard.press("Enter")
    before = page.locator("figure img").get_attribute("src")
    chooser.value.set_files(tmp_path / "snow.png")
    page.wait_for_function(
        "before => document.querySelector('figure img').src !== before", arg=before
    )
    photo = page.get_by_role("combobox", name="Photo", exact=True)
    playwright.expect(photo).to_have_value("snow.png")
    press(page, "Reset", "Enter", role="button")
    playwright.expect(photo).to_have_value("your photo")


def test_the_picture_in_the_documentation_can_be_taken_anew(page, root, tmp_path):
    press(page, "Layer", "Home", "ArrowDown", "ArrowDown")
    wait_for_picture(page, "Grad-CAM at layer2")
    target = browsers.choose_pictures(root, tmp_path)
    widget = page.locator(".jp-OutputArea-output .widget-vbox").first
    widget.screenshot(path=target / "explorer.png")
    with Image.open(target / "explorer.png") as shot:
        assert shot.width > 600 and len(shot.convert("L").getcolors()) > 100
