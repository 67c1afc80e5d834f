"""Attacks by what a submission's notebook and folder hold; see tests/hostile_course.py.

Each function edits a submission whose answer to `heat_inside` is wrong. The first line of
its docstring says what it does and what must hold.
"""

import copy
import json
import os
from pathlib import Path

PATCH = "import builtins\nbuiltins.abs = lambda value: 0.0\n"
FORGED = '"""It passes."""\nassert True\n1.0'


def find(notebook: dict, name: str) -> dict:
    """Returns the cell of a name."""
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def points_of_a_hundred(notebook: dict, folder: Path) -> None:
    """Metadata that promise 100 points: the gradebook says how many there are."""
    for cell in notebook["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"] |= {"points": 100, "score": 100}


def answers_that_are_graded(notebook: dict, folder: Path) -> None:
    """An answer cell that says it is its own test: it gives no points."""
    marks = find(notebook, "heat_inside")["metadata"]["nbgrader"]
    marks |= {"grade": True, "points": 50, "locked": False}


def tests_that_are_answers(notebook: dict, folder: Path) -> None:
    """Test cells that say they are the student's: they are the instructor's."""
    for name in ("test_heat_inside_share", "test_heat_inside_edges"):
        cell = find(notebook, name)
        cell["source"] = FORGED
        cell["metadata"]["nbgrader"] |= {"solution": True, "locked": False}


def edited_tests(notebook: dict, folder: Path) -> None:
    """Test cells that only pass: the instructor's take their place."""
    for name in ("test_heat_inside_share", "test_heat_inside_edges"):
        find(notebook, name)["source"] = FORGED


def deleted_tests(notebook: dict, folder: Path) -> None:
    """No test cells: the instructor's come back."""
    notebook["cells"] = [
        cell for cell in notebook["cells"] if "test_heat" not in cell["id"]
    ]


def duplicated_tests(notebook: dict, folder: Path) -> None:
    """Each test cell twice, once forged: it counts once, as the instructor's."""
    for name in ("test_heat_inside_share", "test_heat_inside_edges"):
        forged = copy.deepcopy(find(notebook, name))
        forged["source"] = FORGED
        notebook["cells"].append(forged)
        forged = copy.deepcopy(forged)
        forged["id"] = f"{name}_2"
        notebook["cells"].insert(0, forged)


def tests_before_the_answer(notebook: dict, folder: Path) -> None:
    """Test cells moved to the top, after a cell that patches: they go back."""
    tests = [cell for cell in notebook["cells"] if "test_heat" in cell["id"]]
    others = [cell for cell in notebook["cells"] if "test_heat" not in cell["id"]]
    notebook["cells"] = [make_cell(PATCH), *tests, *others]


def tests_as_text(notebook: dict, folder: Path) -> None:
    """Test cells turned to Markdown and raw: they are code again."""
    for name, kind in (
        ("test_heat_inside_share", "markdown"),
        ("test_heat_inside_edges", "raw"),
    ):
        cell = find(notebook, name)
        cell["cell_type"] = cell["metadata"]["nbgrader"]["cell_type"] = kind
        cell.pop("outputs"), cell.pop("execution_count")


def tests_that_are_skipped(notebook: dict, folder: Path) -> None:
    """Tags that skip a cell or allow it to raise: they are taken off."""
    for cell in notebook["cells"]:
        cell["metadata"]["tags"] = ["skip-execution", "raises-exception", "remove-cell"]
    notebook["metadata"]["nbclient"] = {"allow_errors": True, "timeout": 9999}


def extra_cells_with_points(notebook: dict, folder: Path) -> None:
    """Test cells of its own, worth 100 points: the gradebook knows none."""
    for name in ("test_heat_inside_more", "bonus", "test_normalize_filters_more"):
        marks = {"grade": True, "solution": False, "locked": True, "points": 100}
        marks |= {"grade_id": name, "schema_version": 3, "task": False}
        cell = make_cell("assert True\n100.0", marks | {"cell_type": "code"})
        notebook["cells"].append(cell)


def locked_cells_of_its_own(notebook: dict, folder: Path) -> None:
    """A cell that says it is a locked set-up cell: the examiner doesn't run it."""
    marks = {"grade": False, "solution": False, "locked": True, "task": False}
    marks |= {"grade_id": "setup_more", "schema_version": 3, "cell_type": "code"}
    notebook["cells"].insert(0, make_cell(PATCH, marks))
    notebook["cells"].insert(3, make_cell(PATCH, marks | {"grade_id": "heat"}))


def edited_set_up(notebook: dict, folder: Path) -> None:
    """A set-up cell that patches: the examiner runs the instructor's."""
    find(notebook, "setup_imports")["source"] += f"\n{PATCH}"


def ids_exchanged(notebook: dict, folder: Path) -> None:
    """The answer bears a test's name, the test the answer's: the text tells."""
    answer, test = (
        find(notebook, name) for name in ("heat_inside", "test_heat_inside_share")
    )
    test["source"] = FORGED
    answer["id"], test["id"] = test["id"], answer["id"]
    answer["metadata"], test["metadata"] = test["metadata"], answer["metadata"]


def results_in_the_file(notebook: dict, folder: Path) -> None:
    """Outputs of test cells that look like full points: they are cleared."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            data = {"text/plain": "1.0"}
            cell["outputs"] = [
                {
                    "output_type": "execute_result",
                    "data": data,
                    "metadata": {},
                    "execution_count": 1,
                }
            ]
            cell["execution_count"] = 1
    notebook["metadata"]["courseai_causes"] = {}
    notebook["metadata"]["courseai_audit"] = ["nothing to repair"]


def kernel_of_its_own(notebook: dict, folder: Path) -> None:
    """A kernel spec that runs a program: it is the grader's that is started."""
    spec = {"name": "evil", "display_name": "Evil", "language": "python"}
    spec["argv"] = ["/bin/sh", "-c", "touch /srv/course/attacked"]
    spec["metadata"] = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}
    notebook["metadata"]["kernelspec"] = spec
    notebook["metadata"]["language_info"] = {"name": "bash"}
    place = folder / "kernels" / "evil"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))


def modules_in_the_folder(notebook: dict, folder: Path) -> None:
    """Modules beside the notebook, named as those that tests import: not for them."""
    for name in ("numpy", "torch", "courseai_helpers", "sitecustomize", "ast", "abc"):
        (folder / f"{name}.py").write_text(f"{PATCH}raise ImportError('attacked')\n")
    package = folder / "courseai_helpers"
    package.mkdir()
    for name in ("__init__", "testing", "images"):
        (package / f"{name}.py").write_text(PATCH)
    find(notebook, "heat_inside")["source"] = (
        "import os\ndef heat_inside(cam, box):\n    os._exit(1)"
    )


def settings_in_the_folder(notebook: dict, folder: Path) -> None:
    """Settings of IPython, Jupyter and nbgrader beside the notebook, which nothing reads."""
    settings = f"{PATCH}c = get_config()\nc.IPKernelApp.exec_lines = ['abs = len']\n"
    for name in ("ipython_config.py", "ipython_kernel_config.py", "jupyter_config.py"):
        (folder / name).write_text(settings)
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.SandboxedExecute.sandbox = False\n"
    )
    start = folder / ".ipython" / "profile_default" / "startup"
    start.mkdir(parents=True)
    (start / "00.py").write_text(PATCH)
    (folder / "pyvenv.cfg").write_text("home = /tmp\n")


def folders_with_names_of_tests(notebook: dict, folder: Path) -> None:
    """Names with line ends, tags and dots in the folder: they are names."""
    (folder / "a\nb <img src=x onerror=attacked()>.txt").write_text("x")
    (folder / "--help").write_text("x")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "visualizing_features.ipynb").write_text("{}")


def link_to_the_gradebook(notebook: dict, folder: Path) -> None:
    """A symbolic link to the gradebook: what holds one is not graded."""
    (folder / "data.csv").symlink_to("/srv/course/gradebook.db")
    find(notebook, "heat_inside")["source"] = READ_FILES


def link_to_a_folder(notebook: dict, folder: Path) -> None:
    """A symbolic link to all submissions: what holds one is not graded."""
    (folder / "data").symlink_to("/srv/course/submitted")
    find(notebook, "heat_inside")["source"] = READ_FILES


def pipe_in_the_folder(notebook: dict, folder: Path) -> None:
    """A pipe among the files, which never ends: nobody waits for it."""
    os.mkfifo(folder / "data.csv")


def text_that_no_file_can_hold(notebook: dict, folder: Path) -> None:
    """Half a character in the text: it costs nobody else the points."""
    find(notebook, "heat_inside")["source"] += "\n# \ud800"
    notebook["cells"].append(make_cell("print('\\ud800', '\ud800')"))
    notebook["metadata"]["title"] = "\ud800"


def nested_metadata(notebook: dict, folder: Path) -> None:
    """Metadata of five hundred levels: it costs nobody else the points."""
    deep: dict = {}
    for _ in range(500):
        deep = {"x": deep}
    find(notebook, "heat_inside")["metadata"]["deep"] = deep
    notebook["metadata"]["deep"] = deep


def metadata_of_other_types(notebook: dict, folder: Path) -> None:
    """Metadata, ids and outputs that are no such thing: it costs nobody else."""
    find(notebook, "test_heat_inside_share")["metadata"]["nbgrader"] = ["points"]
    find(notebook, "test_heat_inside_edges")["metadata"]["tags"] = {"a": 1}
    find(notebook, "heat_inside")["outputs"] = {"output_type": 5}
    notebook["cells"].append(make_cell("1"))
    notebook["cells"][-1]["id"] = 5
    notebook["cells"][-1]["source"] = ["a = 1\n", "b = 2"]
    notebook["nbformat_minor"] = 99


def scripts_in_metadata(notebook: dict, folder: Path) -> None:
    """Scripts in Markdown, titles, ids, tags and attachments: they are not run."""
    script = "</title><script>attacked()</script><img src=x onerror='attacked()'>"
    notebook["metadata"] |= {"title": script, "authors": [{"name": script}]}
    for cell in notebook["cells"]:
        cell["metadata"]["name"] = cell["metadata"]["slideshow"] = script
    text = f"{script}\n\n[x](javascript:attacked()) ![x](attachment:x)"
    cell = {"cell_type": "markdown", "id": "script", "metadata": {}, "source": text}
    cell["attachments"] = {"x": {"image/svg+xml": "<svg onload='attacked()'/>"}}
    notebook["cells"] += [cell, {**cell, "cell_type": "raw", "id": "raw"}]
    notebook["cells"][-1]["metadata"] = {"format": "text/html"}
    notebook["cells"][-1].pop("attachments")
    marks = find(notebook, "heat_inside")["metadata"]["nbgrader"]
    marks["comment"] = marks["score"] = script


READ_FILES = """
from pathlib import Path
import re
for path in Path.cwd().rglob("*"):
    if path.is_file():
        print(path, re.findall(rb"marker[-]of-[\\w-]+", path.read_bytes()))
"""


def make_cell(source: str, marks: dict | None = None) -> dict:
    """Makes a code cell; with marks, one that nbgrader would grade."""
    return {
        "cell_type": "code",
        "id": f"cell-{abs(hash(source)) % 10**6}-{len(marks or ())}",
        "metadata": {"nbgrader": marks} if marks else {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
