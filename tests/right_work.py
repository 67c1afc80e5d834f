"""Ways to hand in right work: each is a small change of a solved notebook.

A way is a function that takes the notebook and the folder that it is handed in with. It
is registered with the points that it costs all the same, and the reason for them;
almost none costs any. `test_right_work.py` grades them as one class.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from bank import read_cells
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

LESSON = "lesson"  # all that is graded of it
PART = (
    "part"  # two of its exercises, which need no network, and a question: it is quick
)
QUESTION = "reflect_hierarchy"
PART_CELLS = re.compile(
    rf"{QUESTION}$|setup_imports|(test_)?(heat_inside|normalize_filters)"
)
MARK = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
SOLUTIONS = {name: MARK.sub("", source) for name, source in read_cells().items()}
HEAT = SOLUTIONS["heat_inside"]
NORMALIZE = SOLUTIONS["normalize_filters"]
HEAT_BODY = HEAT.rpartition('"""\n')[2]  # what stands below the docstring


@dataclass(frozen=True)
class Way:
    """A way to hand in right work.

    Attributes:
        name: The student's id.
        edit: Changes the solved notebook, and the folder that it will lie in.
        course: What it is a submission of: LESSON or PART.
        lost: The points that it costs, by test cell.
        reason: Why it costs them; "" if it costs none.
        plain: Whether plain `nbgrader autograde` grades it, too.
        waits: Whether a person has to read the written answer.
        uploaded: Whether the files of its folder are uploaded to Canvas.
    """

    name: str
    edit: Callable[[NotebookNode, Path], None]
    course: str
    lost: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    plain: bool = False
    waits: bool = False
    uploaded: bool = False

    def __str__(self) -> str:
        return self.name


WAYS: dict[str, Way] = {}


def way(course: str = PART, **options) -> Callable:
    """Registers a way; see `Way` for what can be said about it."""

    def register(edit: Callable) -> Callable:
        entry = Way(edit.__name__, edit, course, **options)
        assert bool(entry.lost) == bool(entry.reason), f"{entry}: why does it cost any?"
        assert entry.name not in WAYS, f"There are two ways called {entry}"
        WAYS[entry.name] = entry
        return edit

    return register


def own_cell(name: str, source: str, after: str = "setup_imports", **options) -> None:
    """Registers the way to have a cell of one's own, after one that was handed out."""

    def edit(notebook: NotebookNode, folder: Path) -> None:
        insert_after(notebook, after, source)

    edit.__name__ = name
    way(**options)(edit)


def answer(name: str, source: str, exercise: str = "heat_inside", **options) -> None:
    """Registers the way to answer an exercise with this code."""

    def edit(notebook: NotebookNode, folder: Path) -> None:
        find(notebook, exercise).source = source

    edit.__name__ = name
    way(**options)(edit)


def find(notebook: NotebookNode, name: str) -> NotebookNode:
    """Returns a cell by the id that it was handed out with."""
    return next(cell for cell in notebook.cells if cell.get("id") == name)


def insert_after(notebook: NotebookNode, name: str, source: str) -> None:
    """Adds a code cell of the student's own."""
    place = notebook.cells.index(find(notebook, name)) + 1
    notebook.cells.insert(place, new_code_cell(source))


def solve(notebook: NotebookNode) -> None:
    """Writes the right answers into a notebook that was handed out."""
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and marks.get("solution"):
            cell.source = SOLUTIONS[cell.id]


def hand_in(entry: Way, course: Path, assignment: str) -> None:
    """Puts what a student hands in where nbgrader looks for it."""
    release = course / "release" / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(release, as_version=4)
    solve(notebook)
    top = "uploads" if entry.uploaded else "submitted"
    folder = course / top / entry.name / assignment
    folder.mkdir(parents=True)
    entry.edit(notebook, folder)
    path = folder / release.name
    if not any(folder.rglob("*.ipynb*")):  # the way may have written it by itself
        path.write_text(json.dumps(notebook))


@way(plain=True)
def as_handed_out(notebook, folder):
    pass


# What ends the kernel: such a cell is never run again.

NO_HEAT = {"test_heat_inside_share": 0.5, "test_heat_inside_edges": 0.5}

own_cell("exit_called", "exit()", plain=True)
own_cell("exit_named", "exit")
own_cell("quit_called", "quit()")
own_cell("quit_named", "quit")
own_cell("exit_with_a_code", "exit(0)")
own_cell("exit_after_the_answer", "exit()", after="heat_inside")
own_cell("sys_exit", "import sys\nsys.exit()")
own_cell("system_exit_raised", "raise SystemExit")
own_cell("os_exit", "import os\nos._exit(0)")
own_cell("os_exit_after_the_answer", "import os\nos._exit(0)", after="heat_inside")
own_cell("kernel_killed", "import os\nos.kill(os.getpid(), 9)")
own_cell("crash", "import ctypes\nctypes.string_at(0)")
own_cell("kernel_restarted", "get_ipython().kernel.do_shutdown(True)")
own_cell("loop_stopped", "import asyncio\nasyncio.get_event_loop().stop()")
answer("exit_below_the_function", HEAT + "\n\nexit()", plain=True)
answer("exit_above_the_function", "exit()\n\n" + HEAT)
answer("sys_exit_below_the_function", HEAT + "\n\nimport sys\nsys.exit()")
answer(
    "os_exit_below_the_function",
    HEAT + "\n\nimport os\nos._exit(0)",
    lost=NO_HEAT,
    reason="the cell ended its kernel, and is not run again",
)


@way()
def several_cells_that_end_the_kernel(notebook, folder):
    for name in ("setup_imports", "normalize_filters", "heat_inside"):
        insert_after(notebook, name, "import os\nos._exit(1)")
        insert_after(notebook, name, "exit()")


# Widgets.

own_cell(
    "interact",
    "from ipywidgets import interact\n\n"
    "@interact(x=(0, 10))\n"
    "def show(x=3):\n"
    "    print(x)",
    plain=True,
)
own_cell(
    "output_widget",
    "import ipywidgets\nfrom IPython.display import display\n"
    "out = ipywidgets.Output()\ndisplay(out)\n"
    "with out:\n    print('hello')\n    display(3)\n"
    "out.clear_output()\nwith out:\n    print('again')\n"
    "out.append_stdout('more')",
)
own_cell(
    "widgets_linked_to_a_plot",
    "import ipywidgets\nimport matplotlib.pyplot as plt\n"
    "def draw(a):\n    plt.plot([0, a])\n    plt.show()\n"
    "slider = ipywidgets.IntSlider()\n"
    "out = ipywidgets.interactive_output(draw, {'a': slider})\n"
    "display(ipywidgets.VBox([slider, out]))\nslider.value = 5",
)
answer(
    "function_defined_inside_an_output_widget",
    "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n"
    + "\n".join("    " + line for line in HEAT.splitlines())
    + "\n    print('defined')\nout",
)
answer(
    "function_that_prints_into_an_output_widget",
    "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\n"
    + HEAT.replace("    total = ", "    with out:\n        print(box)\n    total = "),
)


# What a student's code does to its process.

TIDY = {
    "no_streams": "import sys\nsys.stdout = sys.stderr = None",
    "closed_streams": "import sys\nsys.stdout.close()\nsys.stderr.close()",
    "closed_descriptors": "import os\nfor n in (0, 1, 2):\n    os.close(n)",
    "streams_to_a_file": "import sys\nsys.stdout = open('log.txt', 'w')",
    "streams_to_a_closed_file": (
        "import sys\nsys.stdout = sys.stderr = open('log.txt', 'w')\nsys.stdout.close()"
    ),
    "streams_in_memory": "import io, sys\nsys.stdout = sys.stderr = io.StringIO()",
    "no_environment": "import os\nos.environ.clear()",
    "no_path": "import sys\nsys.path.clear()",
    "modules_loaded_anew": (
        "import importlib, courseai_helpers.plots, courseai_helpers.models\n"
        "importlib.reload(courseai_helpers.plots)\n"
        "importlib.reload(courseai_helpers.models)"
    ),
    "names_of_builtins_taken": (
        "sum = 0\nmax = min = 1.5\nlist = []\ndict = {}\nprint = None\n"
        "float = int = str = len = type = range = isinstance = 3"
    ),
    "builtins_changed": (
        "import builtins\nbuiltins.print = builtins.sum = builtins.float = None\n"
        "builtins.open = builtins.max = builtins.display = None"
    ),
    "warnings_as_errors": (
        "import warnings\nwarnings.simplefilter('error')\n"
        "import numpy\nnumpy.seterr(all='raise')"
    ),
    "another_folder": "import os\nos.makedirs('there')\nos.chdir('there')",
    "a_folder_that_is_gone": (
        "import os\nos.makedirs('there')\nos.chdir('there')\nos.rmdir('../there')"
    ),
    "plots_elsewhere": (
        "import matplotlib\nmatplotlib.use('Agg')\n"
        "import matplotlib.pyplot as plt\nplt.rcParams.clear()"
    ),
    "threads_left_running": (
        "import threading, time\n"
        "for n in range(8):\n"
        "    threading.Thread(target=lambda: time.sleep(600)).start()\n"
        "threading.Timer(0.5, lambda: print('late')).start()\n"
        "def busy():\n    while True:\n        time.sleep(0.01)\n"
        "threading.Thread(target=busy, daemon=True).start()"
    ),
    "a_thread_that_fails": (
        "import threading\nthreading.Timer(0.1, lambda: 1 / 0).start()"
    ),
    "processes_left_running": ("import subprocess\nsubprocess.Popen(['sleep', '600'])"),
    "torch_set_otherwise": (
        "torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
        "torch.set_num_threads(1)\ntorch.manual_seed(0)\n"
        "torch.inference_mode().__enter__()\n"
        "torch.use_deterministic_algorithms(True)\n"
        "torch.autograd.set_detect_anomaly(True)"
    ),
    "another_default_device": "torch.set_default_device('meta')",
    "no_collection_of_garbage": "import gc\ngc.disable()\ngc.set_threshold(0)",
    "little_recursion": "import sys\nsys.setrecursionlimit(120)",
    "signals_handled": (
        "import signal\nfor n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):\n"
        "    signal.signal(n, signal.SIG_DFL)\nsignal.signal(signal.SIGALRM, "
        "lambda *_: 1 / 0)\nsignal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)"
    ),
    "no_logging": "import logging\nlogging.disable()\nlogging.shutdown()",
    "a_loop_of_one_s_own": (
        "import asyncio\nloop = asyncio.new_event_loop()\n"
        "asyncio.set_event_loop(loop)\nloop.close()"
    ),
    "another_repr_of_tensors": "torch.Tensor.__repr__ = lambda self: self.show()",
    "methods_of_tensors_replaced": (
        "usual = torch.Tensor.numpy\n"
        "torch.Tensor.numpy = lambda self: usual(self.detach().cpu())\n"
        "torch.Tensor.contiguous = torch.Tensor.requires_grad_ = None"
    ),
    "hooks_of_the_interpreter": (
        "import sys\nsys.excepthook = sys.displayhook = None\n"
        "sys.settrace(lambda *_: None)\nsys.setprofile(lambda *_: None)"
    ),
    "globals_deleted": (
        "for name in [n for n in globals() if n[0] != '_']:\n"
        "    if name not in ('np', 'torch', 'nn', 'F', 'In', 'Out', 'get_ipython'):\n"
        "        del globals()[name]"
    ),
    "a_module_shadowed_by_a_file": (
        "open('json.py', 'w').write('1 / 0')\nopen('torch.py', 'w').write('1 / 0')\n"
        "open('random.py', 'w').write('')"
    ),
    "numbers_printed_otherwise": (
        "torch.set_printoptions(profile='full')\nnp.set_printoptions(threshold=10**9)\n"
        "torch.Tensor.__format__ = None"
    ),
}
own_cell(
    "names_of_the_setup_taken",
    "np = 3\ntorch = nn = F = None\npreprocess = 0",
    after="heat_inside",
)
for name, source in TIDY.items():
    own_cell(name, source, plain=name == "no_streams")


# How a function may be written, and where.


@way()
def answers_in_one_cell(notebook, folder):
    gone = find(notebook, "normalize_filters")
    find(notebook, "heat_inside").source = NORMALIZE + "\n\n\n" + HEAT
    notebook.cells.remove(gone)
    # The merged cell stands where the first one stood.
    cell = find(notebook, "heat_inside")
    notebook.cells.remove(cell)
    notebook.cells.insert(1, cell)


@way(plain=True)
def answers_in_the_other_s_cell(notebook, folder):
    find(notebook, "normalize_filters").source = NORMALIZE + "\n\n\n" + HEAT
    notebook.cells.remove(find(notebook, "heat_inside"))


@way()
def answer_in_a_cell_of_one_s_own(notebook, folder):
    insert_after(notebook, "normalize_filters", HEAT)
    notebook.cells.remove(find(notebook, "heat_inside"))


@way()
def answer_above_an_untouched_cell(notebook, folder):
    stub = "def heat_inside(cam, box):\n    raise NotImplementedError('to be written')"
    insert_after(notebook, "heat_inside", HEAT)
    find(notebook, "heat_inside").source = stub


@way()
def answer_at_the_end_of_the_notebook(notebook, folder):
    notebook.cells.remove(find(notebook, "heat_inside"))
    notebook.cells.append(new_code_cell(HEAT))


@way()
def a_first_try_in_the_cell_and_the_final_one_below(notebook, folder):
    insert_after(notebook, "heat_inside", HEAT)
    find(notebook, "heat_inside").source = "def heat_inside(cam, box):\n    return 1.0"


@way()
def a_first_try_above_the_cell(notebook, folder):
    insert_after(
        notebook, "setup_imports", "def heat_inside(cam, box):\n    return 1.0"
    )


answer(
    "a_first_try_above_in_the_same_cell",
    "def heat_inside(cam, box):\n    return 1.0\n\n\n" + HEAT,
)
answer("helpers_beside_the_function", "import math\n\n\n" + HEAT.replace(
    "heat_inside", "share") + "\n\n\ndef heat_inside(cam, box):\n"
    "    return share(cam, box)")  # fmt: skip
answer(
    "a_lambda",
    "heat_inside = lambda cam, b: "
    "float(cam[b[1]:b[3], b[0]:b[2]].sum() / cam.sum()) if cam.any() else 0.0",
    plain=True,
)
answer(
    "a_partial",
    "from functools import partial\n\n"
    + HEAT.replace("heat_inside(", "share(nothing, ")
    + "\n\nheat_inside = partial(share, None)",
)
answer(
    "an_instance_that_can_be_called",
    "class Share:\n    def __call__(self, cam, box):\n"
    + "\n".join("    " + line for line in HEAT_BODY.splitlines())
    + "\n\nheat_inside = Share()",
)
answer(
    "a_class",
    "class heat_inside(float):\n    def __new__(cls, cam, box):\n"
    + "\n".join("    " + line for line in HEAT_BODY.splitlines()),
)
answer(
    "a_method",
    "class Shares:\n    @staticmethod\n    def inside(cam, box):\n"
    + "\n".join("    " + line for line in HEAT_BODY.splitlines())
    + "\n\nheat_inside = Shares.inside",
)
answer(
    "a_decorated_function",
    "import functools\n\ndef timed(f):\n    @functools.wraps(f)\n"
    "    def run(*a, **k):\n        print('run')\n        return f(*a, **k)\n"
    "    return run\n\n@timed\n" + HEAT,
)
answer("a_name_given_later", HEAT.replace("heat_inside", "mine")
       + "\n\nheat_inside = mine")  # fmt: skip
answer("a_function_made_by_exec", f"exec({HEAT!r}, globals())")


@way(plain=True)
def a_module_beside_the_notebook(notebook, folder):
    (folder / "mine.py").write_text(HEAT.replace("np.ndarray", "object"))
    find(notebook, "heat_inside").source = "from mine import heat_inside"


@way()
def a_module_written_by_a_cell(notebook, folder):
    source = "%%writefile mine.py\n" + HEAT.replace("np.ndarray", "object")
    insert_after(notebook, "setup_imports", source)
    find(notebook, "heat_inside").source = "from mine import *"


@way()
def no_marks_and_a_scratch_copy(notebook, folder):
    scratch = new_code_cell("def heat_inside(cam, box):\n    return 1.0")
    notebook.cells.insert(1, scratch)
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata.clear()
    notebook.metadata = {"colab": {"provenance": []}}
    notebook.nbformat_minor = 0


@way()
def no_marks_and_answers_in_one_cell(notebook, folder):
    find(notebook, "normalize_filters").source = NORMALIZE + "\n\n\n" + HEAT
    notebook.cells.remove(find(notebook, "heat_inside"))
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata.clear()
    notebook.nbformat_minor = 2


# Nothing says that this cell is not about the question above it: a person looks.
@way(waits=True)
def no_marks_and_a_lambda(notebook, folder):
    find(notebook, "heat_inside").source = (
        "heat_inside = lambda cam, b: "
        "float(cam[b[1]:b[3], b[0]:b[2]].sum() / cam.sum()) if cam.any() else 0.0"
    )
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata.clear()


# Loops beside right work.

own_cell("a_loop_in_a_cell_of_one_s_own", "while True:\n    pass")
own_cell("a_sleep_in_a_cell_of_one_s_own", "import time\ntime.sleep(3600)")
answer("a_loop_below_the_function", HEAT + "\n\nwhile True:\n    pass")
answer(
    "a_loop_in_the_other_function",
    "def normalize_filters(weights):\n    while True:\n        pass",
    exercise="normalize_filters",
    lost={
        "test_normalize_filters_range": 1.0,
        "test_normalize_filters_constant": 0.5,
        "test_normalize_filters_input": 0.5,
    },
    reason="the function never ends",
)


# Experiments on the lesson's own objects.

EXPERIMENTS = {
    "model_in_train_mode": "model.train()",
    "model_with_another_head": "model.fc = nn.Linear(512, 10)",
    "weights_overwritten": (
        "with torch.no_grad():\n    for p in model.parameters():\n        p.zero_()"
    ),
    "another_network": "model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten())",
    "no_network": "model = None\ndel img_tensor",
    "model_in_double_precision": "model = model.double()",
    "another_image": "img_tensor = torch.zeros(1, 3, 64, 64)",
    "image_overwritten": "img_tensor.zero_()",
    "another_device": "device = torch.device('meta')\ndevice = 'cuda:0'",
    "hooks_that_raise": (
        "def stop(*_):\n    raise KeyError('mine')\n"
        "handle = model.layer2.register_forward_hook(stop)"
    ),
    "layers_removed": "model.layer4 = nn.Identity()",
    "frozen_and_graded": (
        "model.requires_grad_(False)\nmodel.zero_grad()\nmodel.eval = None"
    ),
}
for name, source in EXPERIMENTS.items():
    own_cell(name, source, after="setup_photo", course=LESSON,
             plain=name == "another_network")  # fmt: skip


@way(course=LESSON)
def everything_at_once(notebook, folder):
    for source in EXPERIMENTS.values():
        insert_after(notebook, "setup_photo", source)
    for source in ("exit()", "import os\nos._exit(0)", TIDY["no_streams"]):
        insert_after(notebook, "setup_photo", source)
