"""Ways to hand in right work in odd files, names and places: more of right_work.py."""

import codecs
import json
import os
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from right_work import (
    HEAT,
    LESSON,
    QUESTION,
    answer,
    find,
    insert_after,
    own_cell,
    way,
)

NAME = "visualizing_features.ipynb"
WRITTEN = "Edges in conv1, parts of objects in layer4: my grids show it."


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook to where the student has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))


def write_handout(folder: Path) -> None:
    """Leaves what was handed out beside the work."""
    release = folder.parents[2] / "release" / folder.name / NAME
    (folder / NAME).write_bytes(release.read_bytes())


# Beside the notebook lies what can't be read, or is not what it seems.


def beside(name: str, make, **options) -> None:
    """Registers the way to have something beside the notebook."""

    def edit(notebook: NotebookNode, folder: Path) -> None:
        make(folder)

    edit.__name__ = name
    way(**options)(edit)


def make_closed(folder: Path) -> None:
    (folder / "closed.csv").write_text("1")
    (folder / "closed.csv").chmod(0)


def make_closed_folder(folder: Path) -> None:
    (folder / "cache").mkdir()
    (folder / "cache" / "x.bin").write_text("1")
    (folder / "cache").chmod(0)


beside("a_link_to_nowhere", lambda f: (f / "data.csv").symlink_to("/net/gone/x"))
beside("a_link_to_a_folder", lambda f: (f / "all").symlink_to("/etc"), plain=True)
beside("a_link_that_loops", lambda f: (f / "me").symlink_to("me"))
beside("a_closed_file", make_closed)
beside("a_closed_folder", make_closed_folder)
beside("a_pipe", lambda f: os.mkfifo(f / "pipe"))
beside("a_name_that_is_no_text", lambda f: (f / os.fsdecode(b"\xff.csv")).touch())
beside("five_thousand_files", lambda f: [
    (f / f"{n}.txt").touch() for n in range(5000)])  # fmt: skip
beside("a_word_for_a_time", lambda f: (f / "timestamp.txt").write_text("yesterday"))
beside("bytes_for_a_time", lambda f: (f / "timestamp.txt").write_bytes(b"\xff\0" * 9))
beside("a_book_for_a_time", lambda f: (f / "timestamp.txt").write_text("2026 " * 9999))
beside("a_folder_for_a_time", lambda f: (f / "timestamp.txt").mkdir())
beside("no_time_at_all", lambda f: (f / "timestamp.txt").touch(), plain=True)


# The notebook is stored otherwise.


@way(plain=True)
def stored_with_a_bom(notebook, folder):
    (folder / NAME).write_bytes(codecs.BOM_UTF8 + json.dumps(notebook).encode())


@way()
def stored_in_utf_16(notebook, folder):
    (folder / NAME).write_text(json.dumps(notebook), encoding="utf-16")


@way()
def stored_in_format_3(notebook, folder):
    old = nbformat.convert(notebook, 3)
    (folder / NAME).write_text(json.dumps(old))


@way()
def stored_with_sources_in_lists(notebook, folder):
    (folder / NAME).write_text(nbformat.writes(notebook))


# It has another name, or lies elsewhere.


@way()
def a_copy_beside_what_was_handed_out(notebook, folder):
    write_handout(folder)
    write(notebook, folder / NAME.replace(".", "-Copy1."))


@way()
def a_copy_of_a_mac_alone(notebook, folder):
    write(notebook, folder / NAME.replace(".", " copy 2."))


@way()
def a_copy_in_german(notebook, folder):
    write_handout(folder)
    write(notebook, folder / NAME.replace(".", " - Kopie (3)."))


@way()
def a_folder_for_work(notebook, folder):
    write_handout(folder)
    write(notebook, folder / "work" / NAME)


@way()
def a_shadow_of_macos_beside_it(notebook, folder):
    write(notebook, folder / NAME)
    (folder / f"._{NAME}").write_bytes(b"\0\5\x16\7" + b" " * 400_000)


@way()
def a_checkpoint_beside_it(notebook, folder):
    write(notebook, folder / NAME)
    old = folder / ".ipynb_checkpoints"
    old.mkdir()
    write_handout(folder)
    (folder / NAME).rename(old / NAME.replace(".", "-checkpoint."))
    write(notebook, folder / NAME)


@way()
def an_ending_from_a_mail(notebook, folder):
    write(notebook, folder / f"{NAME}.txt")


# It comes through Canvas.


@way(uploaded=True)
def canvas_s_numbers(notebook, folder):
    (folder / "mine-1.py").write_text(HEAT.replace("np.ndarray", "object"))
    find(notebook, "heat_inside").source = "from mine import heat_inside"
    write(notebook, folder / NAME.replace(".", "-1."))


@way(uploaded=True)
def a_copy_uploaded_beside_what_was_handed_out(notebook, folder):
    write_handout(folder)
    write(notebook, folder / NAME.replace(".", " copy 2."))


# The written answer stands beside its cell.


@way(waits=True)
def written_in_its_cell(notebook, folder):
    find(notebook, QUESTION).source += f"\n\n{WRITTEN}"


def written(name: str, cell: NotebookNode, keep: bool = True) -> None:
    """Registers the way to answer in a cell of one's own."""

    def edit(notebook: NotebookNode, folder: Path) -> None:
        place = notebook.cells.index(find(notebook, QUESTION))
        notebook.cells[place + keep : place + 1] = [cell.copy()]

    edit.__name__ = name
    way(waits=True)(edit)


written("written_below_its_cell", new_markdown_cell(WRITTEN))
written("written_in_a_raw_cell", new_raw_cell(WRITTEN))
written("written_as_a_comment", new_code_cell(f"# {WRITTEN}"))
written("written_in_place_of_its_cell", new_markdown_cell(WRITTEN), keep=False)


# Cells that were handed out are changed.


@way()
def an_import_added_to_the_setup(notebook, folder):
    find(notebook, "setup_imports").source += "\nimport math as m"
    find(notebook, "heat_inside").source = HEAT.replace(
        "return float(", "return m.fabs("
    )


@way()
def a_setup_cell_deleted(notebook, folder):
    notebook.cells.remove(find(notebook, "setup_imports"))


@way()
def a_test_cell_edited_and_another_deleted(notebook, folder):
    find(notebook, "test_heat_inside_share").source = "assert True"
    notebook.cells.remove(find(notebook, "test_heat_inside_edges"))


@way()
def a_test_cell_twice(notebook, folder):
    cell = find(notebook, "test_heat_inside_share")
    notebook.cells.append(cell.copy())


# Code that is right, if not as one expects.

answer("a_number_of_numpy", HEAT.replace("return float(", "return np.float32("))
answer(
    "an_import_that_is_tried",
    "try:\n    import cv2\nexcept ImportError:\n    cv2 = None\n\n\n" + HEAT,
)
answer("letters_of_all_kinds", "# „heat“ – naïve ✓ \u2028\n" + HEAT, plain=True)
answer(
    "tabs_and_line_ends_of_windows", HEAT.replace("    ", "\t").replace("\n", "\r\n")
)
answer("a_magic_in_the_cell", "%matplotlib inline\n%timeit -n1 -r1 sum([1])\n" + HEAT)
answer("help_asked_for_in_the_cell", "np.sum?\n!ls\n" + HEAT)
answer(
    "a_plot_in_the_function",
    HEAT.replace(
        "    total = ", "    plt.imshow(cam)\n    plt.show()\n    total = "
    ).replace("def ", "import matplotlib.pyplot as plt\n\n\ndef ", 1),
)


own_cell("modules_loaded_as_they_change", "%load_ext autoreload\n%autoreload 2")
own_cell("a_breakpoint_left", "breakpoint()")
own_cell(
    "packages_installed", "!pip install pandas\n%pip install seaborn\nimport pandas"
)
own_cell(
    "a_drive_of_colab",
    "from google.colab import drive\ndrive.mount('/content/drive')\n%cd /content",
)
own_cell(
    "all_that_is_logged_on_stderr",
    "import logging, sys\n"
    "logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)",
)
answer("time_taken_of_the_cell", "%%time\n" + HEAT)
answer("output_of_the_cell_kept", "%%capture out\n" + HEAT)
answer("an_await_above_the_function", "import asyncio\nawait asyncio.sleep(0)\n" + HEAT)
answer("other_names_of_parameters", HEAT.replace("cam", "map").replace("box", "rect"))
answer(
    "a_wrong_check_below_the_function",
    HEAT + "\n\nassert heat_inside(np.ones((2, 2)), (0, 0, 1, 1)) == 0.5",
)
answer(
    "a_progress_bar_and_warnings_in_the_function",
    HEAT.replace(
        "    total = ",
        "    for _ in tqdm(range(3)):\n        warnings.warn('slow')\n    total = ",
    ).replace("def ", "import warnings\nfrom tqdm.auto import tqdm\n\n\ndef ", 1),
)


@way()
def names_deleted_at_the_top_and_the_end(notebook, folder):
    notebook.cells.insert(0, new_code_cell("%reset -f"))
    notebook.cells.append(new_code_cell("del heat_inside\n%reset -f"))


@way()
def a_kernel_of_another_name(notebook, folder):
    spec = {"name": "conda-env-dl-py", "display_name": "dl", "language": "python"}
    notebook.metadata = {"kernelspec": spec, "language_info": {"version": "3.6.9"}}


@way()
def widgets_as_colab_stores_them(notebook, folder):
    widget = {"model_name": "HBoxModel", "state": {}}  # no "state" around it
    kind = "application/vnd.jupyter.widget-state+json"
    notebook.metadata = {"widgets": {kind: {"abc": widget}}, "accelerator": "GPU"}


@way()
def a_picture_of_25_mb(notebook, folder):
    picture = {"image/png": "A" * 25_000_000}
    find(notebook, "setup_imports").outputs = [
        {"output_type": "display_data", "metadata": {}, "data": picture}
    ]


@way()
def tags_that_tell_others_to_skip(notebook, folder):
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception", "remove-cell"]


@way()
def an_answer_cell_turned_raw(notebook, folder):
    cell = find(notebook, "heat_inside")
    cell.cell_type = "raw"
    del cell["outputs"], cell["execution_count"]
    insert_after(notebook, "heat_inside", HEAT)


@way(waits=True)
def the_whole_notebook_twice(notebook, folder):
    notebook.cells += [cell.copy() for cell in notebook.cells]


@way()
def a_question_to_the_keyboard(notebook, folder):
    insert_after(notebook, "setup_imports", "name = input('Who are you? ')")


@way(course=LESSON)
def the_docstring_checked(notebook, folder):
    for name in ("capture_activations", "grad_cam", "top_class_heatmaps"):
        cell = find(notebook, name)
        start, quotes, body = cell.source.rpartition('"""\n')
        check = "    assert img_tensor.ndim == 4 and img_tensor.shape[:2] == (1, 3)\n"
        cell.source = start + quotes + check + body
