"""A hundred ways to break a good submission.

Each is a function that gets the submission's folder, with the finished notebook of the
small course in it. It is registered with a part of what the instructor is told: a
reason if nothing can be graded, a note if all that was solved gets its points.
"""

import copy
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import nbformat

NAME = "small.ipynb"
Break = Callable[[Path], None]
REFUSED: dict[str, tuple[Break, str]] = {}
NOTED: dict[str, tuple[Break, str]] = {}
QUIET = ""  # where no message is needed: nothing is lost


def refused(reason: str) -> Callable:
    """Registers a way after which nothing can be graded."""
    return lambda function: register(REFUSED, function, reason)


def noted(note: str) -> Callable:
    """Registers a way after which all that was solved has its points."""
    return lambda function: register(NOTED, function, note)


def register(table: dict, function: Break, text: str) -> Break:
    """Registers a way to break a submission."""
    name = function.__name__
    assert name not in REFUSED and name not in NOTED
    table[name] = function, text
    return function


def write(name: str, data: bytes | str) -> Break:
    """Returns a way to break it: a file."""

    def function(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    return function


def named(function: Break, name: str) -> Break:
    """Gives a function its name."""
    function.__name__ = name
    return function


def edit(change: Callable[[dict], object]) -> Break:
    """Returns a way to break it: a change of the notebook's JSON."""

    def function(folder: Path) -> None:
        path = folder / NAME
        content = json.loads(path.read_text())
        content = change(content) or content
        path.write_text(json.dumps(content))

    return function


# Files that are not notebooks.
for name, data, reason in (
    ("empty_file", b"", "It is empty"),
    ("zeros", b"\0" * 5000, "It is empty"),
    ("spaces", b" \n\t ", "It is empty"),
    ("only_a_bom", b"\xef\xbb\xbf", "It is not in JSON"),
    ("half_a_file", b'{"cells": [{"cell_type": "co', "It is not in JSON"),
    ("a_pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "It is not in JSON"),
    ("a_page", b"<!DOCTYPE html><html></html>", "It is not in JSON"),
    ("an_archive", b"PK\3\4\x14\0\0\0", "It is not in JSON"),
    ("random_bytes", bytes(range(256)) * 9, "It is not in JSON"),
    ("a_list", b"[]", "no list of cells"),
    ("a_number", b"1", "no list of cells"),
    ("null", b"null", "no list of cells"),
    ("nan", b"NaN", "no list of cells"),
    ("a_text", b'"cells"', "no list of cells"),
    ("no_cells", b'{"nbformat": 4, "metadata": {}}', "no list of cells"),
    ("null_cells", b'{"nbformat": 4, "cells": null}', "no list of cells"),
    ("cells_that_are_text", b'{"nbformat": 4, "cells": "x"}', "no list of cells"),
    ("cells_in_a_dictionary", b'{"nbformat": 4, "cells": {}}', "no list of cells"),
    ("null_worksheets", b'{"nbformat": 3, "worksheets": null}', "no list of cells"),
    ("deep_lists", b"[" * 100_000, "nested too deeply"),
    ("deep_objects", b'{"cells":' * 100_000, "nested too deeply"),
    ("deep_and_closed", b'{"cells":' * 9999 + b"1" + b"}" * 9999, "nested too deeply"),
    ("two_notebooks", b'{"cells": []}{"cells": []}', "It is not in JSON"),
    ("a_huge_number", b'{"cells": [' + b"9" * 9999 + b"]}", "It is not in JSON"),
    ("a_lonely_quote", b'"', "It is not in JSON"),
    (
        "a_git_pointer",
        b"version https://git-lfs.github.com/spec/v1",
        "It is not in JSON",
    ),
):
    refused(reason)(named(write(NAME, data), name))


@refused("a merge in Git that was never finished")
def merge_conflict(folder):
    text = (folder / NAME).read_text()
    middle = text.index('"metadata"')
    parts = ("<<<<<<< HEAD\n", "=======\n", ">>>>>>> theirs\n")
    ours, between, theirs = parts
    (folder / NAME).write_text(
        text[:middle] + "\n" + ours + '"a": 1,\n' + between + theirs + text[middle:]
    )


@refused("It has 300 MiB, and 100 MiB is the most")
def a_notebook_of_300_mb(folder):
    with open(folder / NAME, "r+b") as file:
        file.truncate(300 * 2**20)


@refused("1048576 MiB, and 100 MiB is the most")
def a_notebook_of_a_terabyte(folder):
    with open(folder / NAME, "r+b") as file:
        file.truncate(2**40)


# Something else in the notebook's place.


def replace(make: Callable[[Path], object]) -> Break:
    """Returns a way to break it: something in the notebook's place."""

    def function(folder: Path) -> None:
        (folder / NAME).unlink()
        make(folder / NAME)

    return function


def make_socket(path: Path) -> None:
    """Makes a socket, whose name must be short."""
    place = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{place}/{path.name}")
    os.close(place)


for name, make, reason in (
    ("no_notebook", lambda path: None, "There is no notebook by the name of"),
    ("a_folder_for_a_notebook", Path.mkdir, "is a folder, not a notebook"),
    ("a_pipe_for_a_notebook", os.mkfifo, "small.ipynb is no file"),
    ("a_socket_for_a_notebook", make_socket, "small.ipynb is no file"),
    (
        "a_link_for_a_notebook",
        lambda path: path.symlink_to("/etc/passwd"),
        "small.ipynb is a symbolic link",
    ),
    (
        "a_link_to_nowhere_for_a_notebook",
        lambda path: path.symlink_to("nowhere"),
        "small.ipynb is a symbolic link",
    ),
    (
        "a_link_to_itself_for_a_notebook",
        lambda path: path.symlink_to(path.name),
        "small.ipynb is a symbolic link",
    ),
    (
        "only_a_pdf",
        lambda path: path.with_suffix(".pdf").write_text("%PDF"),
        "There is no notebook by the name of",
    ),
    (
        "two_others",
        lambda path: [
            path.with_name(f"{word}.ipynb").write_text('{"cells": []}')
            for word in ("this", "that")
        ],
        "there is that.ipynb, this.ipynb",
    ),
):
    refused(reason)(named(replace(make), name))


def replace_folder(make: Callable[[Path], object]) -> Break:
    """Returns a way to break it: something in the folder's place."""

    def function(folder: Path) -> None:
        (folder / NAME).unlink()
        folder.rmdir()
        make(folder)

    return function


for name, make, reason in (
    ("a_file_for_a_folder", Path.touch, "Its folder can't be read"),
    ("a_pipe_for_a_folder", os.mkfifo, "Its folder can't be read"),
    ("an_empty_folder", Path.mkdir, "There is no notebook by the name of"),
    ("a_link_for_a_folder", lambda path: path.symlink_to("/etc"), "a symbolic link"),
    ("a_link_to_nowhere_for_a_folder", lambda path: path.symlink_to("x"), "a symbolic"),
    (
        "a_link_to_itself_for_a_folder",
        lambda path: path.symlink_to(path.name),
        "a symbolic",
    ),
):
    refused(reason)(named(replace_folder(make), name))


@refused("Its folder can't be read")
def a_student_who_leads_nowhere(folder):
    (folder / NAME).unlink()
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.symlink_to("nowhere-at-all")


@refused("Its folder can't be read")
def a_student_who_leads_to_itself(folder):
    (folder / NAME).unlink()
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.symlink_to(folder.parent.name)


# Encodings, and formats of other times.
for name, encoding in (
    ("a_bom", "utf-8-sig"),
    ("utf_16", "utf-16"),
    ("utf_16_without_a_bom", "utf-16-le"),
    ("utf_16_big_endian", "utf-16-be"),
    ("utf_32", "utf-32"),
    ("windows_1252", "cp1252"),
):

    def encode(folder: Path, encoding: str = encoding) -> None:
        path = folder / NAME
        content = json.loads(path.read_text())
        content["cells"][0]["source"] += "\n# für später"
        path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))

    noted(QUIET)(named(encode, name))


@noted(QUIET)
def format_3(folder):
    notebook = nbformat.read(folder / NAME, as_version=4)
    (folder / NAME).write_text(json.dumps(nbformat.convert(notebook, 3)))


@noted(QUIET)
def format_3_with_two_sheets(folder):
    notebook = nbformat.convert(nbformat.read(folder / NAME, as_version=4), 3)
    cells = notebook.worksheets[0].cells
    notebook.worksheets = [{"cells": cells[:2]}, "x", {"cells": cells[2:]}, {}]
    (folder / NAME).write_text(json.dumps(notebook))


@noted(QUIET)
def format_2(folder):
    format_3(folder)
    content = json.loads((folder / NAME).read_text())
    content |= {"nbformat": 2, "nbformat_minor": 0}
    for cell in content["worksheets"][0]["cells"]:
        cell.pop("metadata", None)  # it had none
    (folder / NAME).write_text(json.dumps(content))


def set_of_each_cell(key: str, value: object) -> Break:
    """Returns a way to break it: something is wrong in each cell."""
    return edit(lambda nb: [cell.update({key: value}) for cell in nb["cells"]] and nb)


def drop_of_each_cell(key: str) -> Break:
    """Returns a way to break it: something is missing in each cell."""
    return edit(lambda nb: [cell.pop(key, None) for cell in nb["cells"]] and nb)


DEEP: list = []
for _ in range(300):
    DEEP = [DEEP]
for name, function in (
    ("a_future_format", edit(lambda nb: nb | {"nbformat": 5, "nbformat_minor": 9})),
    ("a_format_that_is_text", edit(lambda nb: nb | {"nbformat": "four"})),
    ("a_format_that_is_null", edit(lambda nb: nb | {"nbformat": None})),
    ("a_format_that_is_nan", edit(lambda nb: nb | {"nbformat": float("nan")})),
    ("no_format", edit(lambda nb: {"cells": nb["cells"]})),
    ("null_metadata", edit(lambda nb: nb | {"metadata": None})),
    ("no_metadata", edit(lambda nb: nb.pop("metadata") and None)),
    ("metadata_that_is_a_list", edit(lambda nb: nb | {"metadata": [1]})),
    ("a_strange_language", edit(lambda nb: nb | {"metadata": {"language": 5}})),
    ("a_strange_kernel", edit(lambda nb: nb | {"metadata": {"kernelspec": 5}})),
    ("deep_metadata", edit(lambda nb: nb | {"metadata": {"deep": DEEP}})),
    ("nan_in_metadata", edit(lambda nb: nb | {"metadata": {"x": float("nan")}})),
    ("infinity", edit(lambda nb: nb | {"x": float("-inf")})),
    ("null_metadata_in_cells", set_of_each_cell("metadata", None)),
    ("no_metadata_in_cells", drop_of_each_cell("metadata")),
    ("text_for_metadata_in_cells", set_of_each_cell("metadata", "x")),
    ("deep_metadata_in_cells", set_of_each_cell("metadata", {"nbgrader": DEEP})),
    ("marks_that_are_null", set_of_each_cell("metadata", {"nbgrader": None})),
    ("marks_with_a_list", set_of_each_cell("metadata", {"nbgrader": {"grade_id": []}})),
    ("old_marks", set_of_each_cell("metadata", {"nbgrader": {"schema_version": 0}})),
    ("future_marks", set_of_each_cell("metadata", {"nbgrader": {"schema_version": 9}})),
    ("ids_that_are_lists", set_of_each_cell("id", [1])),
    ("ids_that_are_null", set_of_each_cell("id", None)),
    ("no_ids", drop_of_each_cell("id")),
    ("null_outputs", set_of_each_cell("outputs", None)),
    ("no_outputs", drop_of_each_cell("outputs")),
    ("outputs_that_are_text", set_of_each_cell("outputs", "x")),
    ("null_execution_count", set_of_each_cell("execution_count", "many")),
    ("null_attachments", set_of_each_cell("attachments", None)),
    ("cells_of_no_type", drop_of_each_cell("cell_type")),
    ("cells_of_null_type", set_of_each_cell("cell_type", None)),
    ("cells_of_an_unknown_type", set_of_each_cell("cell_type", "poem")),
    ("cells_of_a_listed_type", set_of_each_cell("cell_type", ["code"])),
):
    noted(QUIET)(named(function, name))


@noted(QUIET)
def null_sources(folder):
    add_cells(folder, {"cell_type": "code", "source": None, "metadata": {}})


@noted(QUIET)
def missing_sources(folder):
    add_cells(folder, {"cell_type": "code"}, {"cell_type": "raw"}, {})


@noted(QUIET)
def sources_with_nulls(folder):
    add_cells(folder, {"cell_type": "code", "source": ["1\n", None, 2]})


@noted(QUIET)
def cells_that_are_no_cells(folder):
    add_cells(folder, None, 1, "x", [], [[]])


@noted(QUIET)
def half_a_character(folder):
    add_cells(folder, {"cell_type": "code", "source": "x = '\ud83d'"})


@noted(QUIET)
def zeros_in_a_source(folder):
    add_cells(folder, {"cell_type": "code", "source": "x = '\0'"})


@noted(QUIET)
def a_thousand_empty_cells(folder):
    add_cells(folder, *[{"cell_type": "raw", "source": ""}] * 1000)


@noted(QUIET)
def outputs_of_40_mb(folder):
    output = {"output_type": "stream", "name": "stdout", "text": "x" * (40 * 2**20)}
    add_cells(folder, {"cell_type": "code", "source": "1", "outputs": [output]})


@noted(QUIET)
def duplicate_keys(folder):
    path = folder / NAME
    path.write_text('{"cells": null, "cells": [],' + path.read_text().lstrip()[1:])


def add_cells(folder: Path, *cells: object) -> None:
    """Adds a student's cells, or values that are not cells."""
    edit(lambda nb: nb["cells"].extend(copy.deepcopy(cells)))(folder)


# Files and folders beside the notebook.
for name, make, note in (
    (
        "a_link",
        lambda folder: (folder / "data.csv").symlink_to("/etc/passwd"),
        "data.csv was left out: it is a symbolic link",
    ),
    (
        "a_link_to_nowhere",
        lambda folder: (folder / "data.csv").symlink_to("nowhere"),
        "data.csv was left out: it is a symbolic link",
    ),
    (
        "a_link_to_itself",
        lambda folder: (folder / "loop").symlink_to("loop"),
        "loop was left out: it is a symbolic link",
    ),
    (
        "a_link_upwards",
        lambda folder: (folder / "up").symlink_to(".."),
        "up was left out: it is a symbolic link",
    ),
    (
        "a_pipe",
        lambda folder: os.mkfifo(folder / "pipe"),
        "pipe was left out: it is no file",
    ),
    (
        "a_socket",
        lambda folder: make_socket(folder / "socket"),
        "socket was left out: it is no file",
    ),
    (
        "a_name_that_is_no_text",
        lambda folder: Path(os.fsdecode(bytes(folder) + b"/\xff\xfe.txt")).touch(),
        "\\udcff\\udcfe.txt was left out: it has a name that is not in UTF-8",
    ),
    (
        "many_links",
        lambda folder: [(folder / f"l{n}").symlink_to("x") for n in range(40)],
        "35 more were left out",
    ),
):
    noted(note)(named(make, name))


@noted("1 files were left out, the largest big.bin with 300.0 MiB")
def a_file_of_300_mb(folder):
    with open(folder / "big.bin", "wb") as file:
        file.truncate(300 * 2**20)


@noted("beside the notebook, a submission may have 1000 files and 256 MiB")
def ten_thousand_files(folder):
    for number in range(100):
        (folder / f"{number}").mkdir()
        for name in range(100):
            (folder / f"{number}" / f"{name}.txt").touch()


@noted(QUIET)
def deep_folders(folder):
    place = os.open(folder, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 20, dir_fd=place)
        deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)


@noted(QUIET)
def checkpoints_and_rubbish(folder):
    for name in (".ipynb_checkpoints/small-checkpoint.ipynb", "._small.ipynb", "x~"):
        write(name, b"rubbish \0")(folder)


for name, content in (
    ("a_time_that_is_none", b"yesterday, I think"),
    ("a_time_in_bytes", bytes(range(128, 256))),
    ("a_time_too_far", b"999999-01-01 00:00:00"),
    ("a_time_with_a_huge_zone", b"2026-11-01 12:00:00 99999999999999999999"),
    ("a_time_before_all_times", b"0001-01-01 00:00:00 +2359"),
    ("a_long_time", b"9" * 100_000),
):
    text = "timestamp.txt has no time in it"
    noted(text)(named(write("timestamp.txt", content), name))


@noted(QUIET)
def a_folder_for_a_time(folder):
    (folder / "timestamp.txt").mkdir()


@noted("timestamp.txt was left out: it is no file")
def a_pipe_for_a_time(folder):
    os.mkfifo(folder / "timestamp.txt")


@noted("timestamp.txt was left out: it is a symbolic link")
def a_link_for_a_time(folder):
    (folder / "timestamp.txt").symlink_to("/dev/zero")


# Rights that are missing; only an ordinary user notices.


@refused("small.ipynb can't be read (Permission denied)")
def no_right_to_read_the_notebook(folder):
    (folder / NAME).chmod(0)


@refused("Its folder can't be read (Permission denied)")
def no_right_to_read_the_folder(folder):
    folder.chmod(0)


@refused("Its folder can't be read (Permission denied)")
def no_right_to_enter_the_student(folder):
    folder.parent.chmod(0)


@noted("data.csv was left out: it can't be read (Permission denied)")
def no_right_to_read_a_file(folder):
    (folder / "data.csv").touch(mode=stat.S_IWUSR)


@noted("data was left out: it can't be read (Permission denied)")
def no_right_to_read_a_folder(folder):
    (folder / "data").mkdir(mode=0)


NEED_RIGHTS = {name for name in (*REFUSED, *NOTED) if name.startswith("no_right_")}
