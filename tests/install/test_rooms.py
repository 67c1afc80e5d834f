"""The house: who may import whom, what a room may hold, and where people read about it.

A room is a folder of `courseai_helpers/` or of `courseai_helpers/grading/`.
"""

import ast
import importlib
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "courseai_helpers"
INSTRUCTORS = ("grading", "reference")  # students do not have these folders
FACES = ("explain", "explorer", "images", "models", "plots", "testing")
MOST_FILES = 9
NOTEBOOKS = ("source", "release", "solutions")


def name_module(path: Path) -> str:
    """Returns the dotted name under which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_module(path): path for path in (ROOT / PACKAGE).rglob("*.py")}


def find_room(module: str) -> str:
    """Returns the room of a module: "plots", "grading.steps", or "" for the package."""
    first, *rest = [*module.split(".")[1:], ""]
    return f"{first}.{rest[0]}".rstrip(".") if first == "grading" else first


ROOMS = sorted({find_room(module) for module in MODULES} - {"", "grading"})
STUDENT_ROOMS = [room for room in ROOMS if room.split(".")[0] not in INSTRUCTORS]


def find_imports(tree: ast.AST) -> Iterator[str]:
    """Yields each module of the package that is imported, inside functions as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wholes = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in wholes]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)


def drop_functions(tree: ast.AST) -> ast.AST:
    """Leaves what runs when a module is imported: no body of a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return tree


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def draw_arrows() -> dict[str, set[str]]:
    """Returns which other rooms each room imports from."""
    arrows = {room: set() for room in ROOMS}
    for module in MODULES:
        room = find_room(module)
        if room in arrows:
            imported = {find_room(name) for name in find_imports(parse(module))}
            arrows[room] |= imported & arrows.keys() - {room}
    return arrows


def test_no_circle_of_rooms_import_one_another(show_table):
    arrows = draw_arrows()
    count = sum(len(others) for others in arrows.values())
    assert count > len(ROOMS), "The test has lost sight of the imports."
    try:
        order = list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
    show_table(f"Rooms: {len(order)}, arrows of imports between them: {count}")


@pytest.mark.parametrize("room", STUDENT_ROOMS)
def test_what_students_have_imports_nothing_of_instructors(room):
    for module in MODULES:
        if find_room(module) == room:
            tree = parse(module)
            # Two commands load the instructors' part when they are called.
            found = find_imports(drop_functions(tree) if room == "cli" else tree)
            foreign = [
                name for name in found if (name + "..").split(".")[1] in INSTRUCTORS
            ]
            assert not foreign, f"{module} imports {foreign}"


def test_an_import_is_seen_wherever_it_stands():
    code = "def f():\n from courseai_helpers.grading import steps\nimport os"
    assert list(find_imports(ast.parse(code))) == ["courseai_helpers.grading.steps"]
    assert not list(find_imports(drop_functions(ast.parse(code))))


def find_all_loaded(module: str) -> set[str]:
    """Returns the package's modules that importing one of them loads."""
    loaded, waiting = set(), {module}
    while waiting:
        loaded |= waiting
        trees = [drop_functions(parse(name)) for name in waiting]
        waiting = {name for tree in trees for name in find_imports(tree)} - loaded
    return loaded


@pytest.mark.parametrize(
    "module", ["uploads.submissions", "report.page", "lms.exporters", "lms.enroll"]
)
def test_what_only_reads_or_moves_files_does_not_load_what_executes_code(module):
    heavy = {f"{PACKAGE}.grading.steps.execute", f"{PACKAGE}.grading.cluster.workers"}
    assert heavy <= find_all_loaded(f"{PACKAGE}.grading.classrun.run")
    loaded = {
        find_room(name) for name in find_all_loaded(f"{PACKAGE}.grading.{module}")
    }
    assert not loaded & {"grading.classrun", "grading.cluster", "grading.examiner"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_at_most_nine_files_and_says_what_it_is_for(room):
    folder = ROOT.joinpath(PACKAGE, *room.split("."))
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    assert len(files) <= MOST_FILES, sorted(files)
    summary, _, paragraph = ast.get_docstring(parse(f"{PACKAGE}.{room}")).partition(
        "\n\n"
    )
    assert summary.endswith(".") and "\n" not in summary, summary
    assert len(paragraph.split()) >= 12, f"{room} needs a paragraph on what it is for."


def read_code(notebook: Path) -> Iterator[str]:
    """Yields the text of each code cell."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def test_notebooks_import_public_names_from_the_faces():
    notebooks = [path for top in NOTEBOOKS for path in (ROOT / top).rglob("*.ipynb")]
    seen = set()
    for code in (code for path in notebooks for code in read_code(path)):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith(PACKAGE):
                room = find_room(node.module)
                if room in STUDENT_ROOMS:
                    assert node.module == f"{PACKAGE}.{room}", ast.unparse(node)
                    public = importlib.import_module(node.module).__all__
                    assert {alias.name for alias in node.names} <= set(public)
                    seen.add(room)
    assert seen == set(FACES)


@pytest.mark.parametrize("room", FACES)
def test_a_face_offers_what_it_names_and_nothing_else(room):
    face = importlib.import_module(f"{PACKAGE}.{room}")
    imported = {
        alias.asname or alias.name
        for node in parse(f"{PACKAGE}.{room}").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(face.__all__) == imported
    assert face.__all__ == sorted(face.__all__)


def test_the_wheel_has_every_room_of_students_and_no_other():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["setuptools"]["packages"]
    assert sorted(packages) == [PACKAGE, *(f"{PACKAGE}.{r}" for r in STUDENT_ROOMS)]


def test_the_map_has_a_line_for_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text, _, _ = text.partition("\n### ")
    rows = re.findall(r"^\| `([\w/]+)/` \|", text, flags=re.M)
    assert sorted(row.replace("/", ".") for row in rows) == ROOMS


def test_texts_name_files_that_exist():
    """No editor that moves a module mends the comments and guides that name it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    files = [file for file in listed if (ROOT / file).is_file()]
    names = {Path(file).name for file in files}
    for file in files:
        top = file.split("/")[0]
        if file.endswith((".py", ".md")) and top not in ("tests", "locks"):
            text = (ROOT / file).read_text(encoding="utf-8")
            missing = set(re.findall(r"\b\w+\.py\b", text)) - names
            dotted = re.findall(r"`courseai_helpers[./]([\w./]+?)/?`", text)
            missing |= {name for name in dotted if not exists(name)}
            assert not missing, f"{file} names {sorted(missing)}"


def exists(name: str) -> bool:
    """Tells whether there is such a module, folder or file, or a name in a module."""
    path = ROOT / PACKAGE / name
    parts = name.split(".")
    modules = {".".join([PACKAGE, *parts]), ".".join([PACKAGE, *parts[:-1]])}
    return path.exists() or bool(modules & MODULES.keys() - {PACKAGE})
