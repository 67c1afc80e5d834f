"""The supervisor of a kernel says which limit it exceeded, and names the right one."""

import kernels
import pytest

from courseai_helpers.grading.sandbox import supervisor
from courseai_helpers.grading.sandbox.bubblewrap import End, Limits
from courseai_helpers.grading.steps.failures import classify_death


@pytest.fixture
def usage(monkeypatch) -> supervisor.Usage:
    """What the kernel is said to use."""
    usage = supervisor.Usage()
    monkeypatch.setattr(supervisor, "measure_usage", lambda: usage)
    monkeypatch.setattr(supervisor, "measure_hidden_memory", lambda: 0)
    monkeypatch.setattr(supervisor, "measure_private_memory", lambda: usage.resident)
    return usage


def test_output_that_has_filled_the_memory_is_called_output(usage):
    limits = Limits(memory=2**29)
    usage.resident = 2**30
    stop, message = supervisor.find_excess(limits, 0.0, supervisor.MAX_OUTPUT + 1)
    assert "put out more than 64 MiB" in message
    assert classify_death(End(-9, stop, message)).cause == "output flood"


def test_memory_filled_by_something_else_is_called_memory(usage):
    limits = Limits(memory=2**29)
    assert supervisor.find_excess(limits, 0.0, 5 * 2**20) == (None, "")
    usage.resident = 2**30
    excess = supervisor.find_excess(limits, 0.0, 5 * 2**20)
    assert classify_death(End(-9, *excess)).cause == "out of memory"


@kernels.needs_sandbox
@pytest.mark.parametrize(
    "flood",
    [
        "import sys\nwhile True: sys.stdout.write('x' * 2**20)",
        "import os\nwhile True: os.write(1, b'x' * 2**16)",
    ],
)
def test_a_kernel_that_floods_is_stopped_before_its_memory_is_full(tmp_path, flood):
    answer = kernels.run_inside(tmp_path, "print('hello')", flood, memory=2**29)
    assert not answer.alive and answer.text.startswith("hello")
    assert classify_death(answer.report).cause == "output flood"
