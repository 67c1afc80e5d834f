"""A forked kernel is as good as a new one."""

import functools
import os
import signal
import subprocess
import sys

import kernels
import psutil
import pytest

pytestmark = kernels.needs_sandbox

# The forward and backward pass, a figure, and what a seed decides.
COMPUTE = """
import hashlib, io, random, numpy as np, torch, torchvision
import matplotlib.pyplot as plt
random.seed(1); np.random.seed(2); torch.manual_seed(3)
net = torchvision.models.resnet18(num_classes=5).eval()
image = torch.rand(1, 3, 64, 64, requires_grad=True)
score = net(image)[0, 2]
score.backward()
digest = hashlib.sha256()
digest.update(image.grad.numpy().tobytes())
digest.update(np.random.rand(9).tobytes() + repr(random.random()).encode())
figure, ax = plt.subplots()
ax.imshow(image[0, 0].detach(), vmin=0, vmax=1)
ax.set_title("a title")
file = io.BytesIO()
figure.savefig(file, format="raw")
digest.update(file.getvalue())
plt.close(figure)
print(digest.hexdigest(), torch.get_num_threads(), plt.get_backend())
"""


@pytest.fixture
def run_inside(tmp_path):
    """Runs code in a kernel of its own."""
    return functools.partial(kernels.run_inside, tmp_path)


def test_results_equal_a_cold_kernel_s(run_inside, monkeypatch):
    monkeypatch.delenv("MPLBACKEND")
    cold = kernels.run_cold(COMPUTE)
    assert not cold.error and len(cold.text) > 64
    for _ in range(3):
        answer = run_inside(COMPUTE)
        assert answer.text == cold.text and not answer.error


def test_kernels_draw_different_random_numbers(run_inside):
    code = (
        "import random, numpy, torch\n"
        "print(random.random(), numpy.random.rand(), torch.rand(1).item())"
    )
    answers = [run_inside(code).text.split() for _ in range(3)]
    assert [len(answer) for answer in answers] == [3, 3, 3]
    assert all(len(set(column)) == 3 for column in zip(*answers, strict=True))


def test_a_kernel_leaves_nothing_to_the_next(run_inside):
    run_inside(
        "import torch; torch.rand = None; import os; os.environ['LEFT'] = 'x'",
        "open('/tmp/left', 'w').write('x'); open('/dev/shm/left', 'w').write('x')",
    )
    answer = run_inside(
        "import os, torch; print(torch.rand is None, 'LEFT' in os.environ)",
        # The environment may lie under /tmp itself, which is then not empty.
        "print([os.path.exists(f'{place}/left') for place in ('/tmp', '/dev/shm')])",
    )
    assert answer.text.splitlines() == ["False False", "[False, False]"]


def test_a_dead_forkserver_is_replaced(run_inside):
    run_inside("1")
    program = "courseai_helpers.grading.sandbox.forkserver"
    children = psutil.Process().children()
    (process,) = [child for child in children if program in child.cmdline()]
    process.kill()
    assert kernels.wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert run_inside("print('back')").text == "back\n"


def test_with_a_killed_grader_its_kernels_end(tmp_path):
    script = (
        "import kernels, pathlib\n"
        "kernels.run_inside(pathlib.Path('.'), 'import os; os.system(\"sleep 87654\")')"
    )
    folder = os.path.dirname(kernels.__file__)
    grader = subprocess.Popen([sys.executable, "-c", script], cwd=folder)
    assert kernels.wait_for_processes("^sleep 87654$", 1, seconds=60)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    assert kernels.wait_for_processes("^sleep 87654$", 0)


def test_a_warm_kernel_imports_nothing_anew(run_inside):
    answer = run_inside(
        "import sys; before = set(sys.modules)\n"
        "import torch, torchvision, matplotlib.pyplot, courseai_helpers.models\n"
        "print(set(sys.modules) - before)"
    )
    assert answer.text == "set()\n"
