"""Generates release/ and solutions/ from source/ with plain nbgrader commands."""

import base64
import re
import tempfile
from os.path import commonprefix
from pathlib import Path
from typing import Any

import nbformat

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.files import store
from courseai_helpers.grading.authoring.nbgrader_commands import (
    copy_source,
    run_nbgrader,
    show_step,
)
from courseai_helpers.grading.gradebook.settings import list_assignments

GENERATED = ("release", "solutions")

# Cells whose figures the guides show, on a page of their own and in the README.
FIGURES = """setup_photo show_filters_grid activation_grid_conv1 optimize
    show_grad_cam_top two_things gallery shortcut_heat find_shortcut
    comparison_scores""".split()
PAGE, PICTURES = Path("docs/lesson.md"), Path("docs/figures")
PREFACE = """# The lesson in pictures

Figures of the solved lesson, with the network that is embedded in the package.
`courseai build` writes this page and its pictures.
"""

# What may differ from one machine to the next in an output: the pixels of a figure,
# the digits of a measured or computed number, and addresses. What a figure is said to
# show, shapes, counts and names may not.
VOLATILE = r"base64,[A-Za-z0-9+/=\s]+|\d+\.\d+(?:e[-+]?\d+)?|\d+%|0x[0-9a-f]{6,}"


def find_trouble(notebook: nbformat.NotebookNode) -> str | None:
    """Returns the first error or line on stderr of an executed notebook, if any."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"cell {cell.id!r} raised {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                return f"cell {cell.id!r} wrote on stderr: {output.text.strip()}"
    return None


def generate(course: Path, assignment: str, work: Path) -> None:
    """Generates the release and the executed solution of an assignment under `work`.

    Raises:
        CourseError: if nbgrader fails, or the solution does not run cleanly.
    """
    copy_source(course, assignment, work)
    with show_step(f"Generating the release of {assignment}"):
        run_nbgrader(work, "generate_assignment", assignment)
    with show_step(f"Executing the solution of {assignment}"):
        run_nbgrader(work, "generate_solution", assignment)
        for path in sorted((work / "solutions" / assignment).glob("*.ipynb")):
            if trouble := find_trouble(nbformat.read(path, as_version=4)):
                raise CourseError(
                    f"The solution of {assignment} does not run cleanly: {trouble}\n"
                    f"Mend source/{assignment}/{path.name}; nothing was changed."
                )


def build(course: Path) -> None:
    """Rewrites release/ and solutions/, both or neither.

    Raises:
        CourseError: if a notebook can't be generated; nothing is changed then.
    """
    assignments = list_assignments(course)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=course) as directory:
        work = Path(directory)
        for assignment in assignments:
            generate(course, assignment, work)
        for kind in GENERATED:
            if (course / kind).exists():
                (course / kind).rename(work / f"old {kind}")
            (work / kind).rename(course / kind)
            print(f"Wrote {kind}/")
    for path, data in make_page(course).items():
        store(course / path, data)
        print(f"Wrote {path}")


def make_page(course: Path) -> dict[Path, bytes]:
    """Makes the page of the lesson's figures, out of the solutions.

    Returns:
        Paths in the course to their content: the page and its pictures; none if no
        solution has such figures.
    """
    page, pictures = PREFACE, {}
    for notebook in sorted((course / "solutions").rglob("*.ipynb")):
        part, heading = "", ""
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "markdown":
                headings = re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)
                part = headings[-1] if headings else part
            elif cell.id in FIGURES and (figure := read_figure(cell)):
                picture, description = figure
                path = PICTURES / f"{cell.id}.webp"
                pictures[path] = picture
                page += "" if part == heading else f"\n## {part}\n"
                heading = part
                page += f"\n![{description}]({path.relative_to(PAGE.parent)})\n"
    return {PAGE: page.encode()} | pictures if pictures else {}


def find_stale_figures(course: Path) -> list[str]:
    """Returns which files of the page are not what the solutions show, a line each."""
    files = make_page(course)
    there = {PICTURES / path.name for path in (course / PICTURES).glob("*")}
    return [
        f"{path}: does not show the figures in solutions/"
        for path in sorted(files.keys() | there)
        if not (course / path).exists()
        or (course / path).read_bytes() != files.get(path)
    ]


def read_figure(cell: nbformat.NotebookNode) -> tuple[bytes, str] | None:
    """Reads the figure that an executed cell shows: WebP and what it shows in words."""
    for output in cell.outputs:
        data = output.get("data", {})
        found = re.search(
            r"image/webp;base64,([A-Za-z0-9+/=]+)", data.get("text/html", "")
        )
        if found:
            return base64.b64decode(found[1]), data["text/plain"]
    return None


def find_stale(course: Path) -> list[str]:
    """Generates everything again, elsewhere, and returns what differs, a line each."""
    assignments = list_assignments(course)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for assignment in assignments:
            generate(course, assignment, work)
        stale = find_stale_figures(course)
        for kind in GENERATED:
            names = list_files(course / kind) | list_files(work / kind)
            for name in sorted(names):
                difference = compare_files(course / kind / name, work / kind / name)
                stale += [f"{kind}/{name}: {difference}"] if difference else []
    return stale


def list_files(directory: Path) -> set[Path]:
    """Returns the paths of all files in a directory, relative to it."""
    found = (path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory) for path in found}
    return {name for name in names if ".ipynb_checkpoints" not in name.parts}


def compare_files(committed: Path, fresh: Path) -> str | None:
    """Returns how a committed file differs from a fresh one, or None.

    Two executed notebooks agree if all but the volatile part of their outputs does.
    """
    if not committed.exists():
        return "is missing"
    if not fresh.exists():
        return "has no source"
    if committed.read_bytes() == fresh.read_bytes():
        return None
    if "solutions" not in committed.parts or committed.suffix != ".ipynb":
        return "differs"
    old, new = (nbformat.read(path, as_version=4) for path in (committed, fresh))
    if len(old.cells) != len(new.cells):
        return f"has {len(old.cells)} cells, not {len(new.cells)}"
    for left, right in zip(old.cells, new.cells, strict=True):
        before, now = (repr(describe_cell(cell)) for cell in (left, right))
        if before != now:
            start = max(0, len(commonprefix([before, now])) - 40)
            was, is_now = (text[start : start + 120] for text in (before, now))
            return f"cell {right.id!r} differs: was …{was}…, is …{is_now}…"
    return None


def describe_cell(cell: nbformat.NotebookNode) -> tuple[Any, ...]:
    """Returns what has to be the same whenever and wherever a cell is executed."""
    outputs = [
        (output.output_type, output.get("name"), sorted(output.get("data", {})))
        + tuple(re.sub(VOLATILE, "<volatile>", text) for text in list_texts(output))
        for output in cell.get("outputs", [])
    ]
    return cell.cell_type, cell.id, cell.source, cell.metadata, outputs


def list_texts(output: nbformat.NotebookNode) -> list[str]:
    """Returns what an output says in words: printed, shown, or about a figure."""
    data = output.get("data", {})
    shown = [data[kind] for kind in ("text/plain", "text/html") if kind in data]
    return [output.get("text", ""), *shown]
