"""Runs code in kernels that are in sandboxes."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from jupyter_client import AsyncKernelManager

from courseai_helpers.grading.sandbox.bubblewrap import (
    End,
    SandboxError,
    find_bubblewrap,
)
from courseai_helpers.grading.sandbox.provisioner import (
    SandboxedKernelManager,
    SandboxProvisioner,
)


def explain_lack() -> str:
    """Says why there is no bubblewrap here, if there is none."""
    try:
        find_bubblewrap()
    except SandboxError as error:
        return f"{error.reason}: {error.fix}"
    return ""


needs_sandbox = pytest.mark.skipif(bool(explain_lack()), reason=explain_lack())


@dataclass
class Answer:
    """What a kernel did with a piece of code."""

    text: str = ""
    error: str = ""
    alive: bool = True
    report: End | None = None


def run_inside(
    submission: Path, *sources: str, timeout: float = 60, **limits: int
) -> Answer:
    """Runs code in a kernel in a sandbox of its own.

    Args:
        submission: The folder that the kernel gets to see.
        *sources: What to run, one after another.
        timeout: Seconds for each of them.
        **limits: Those of the sandbox's limits that differ from the usual ones.
    """
    return asyncio.run(run_async(submission, sources, timeout, limits))


async def run_async(submission, sources, timeout, limits) -> Answer:
    """Does what run_inside promises."""
    if limits is None:
        manager = AsyncKernelManager()
    else:
        manager = SandboxedKernelManager()
        manager.provisioner = SandboxProvisioner(
            parent=manager, kernel_id="test", kernel_spec=manager.kernel_spec, **limits
        )
    await manager.start_kernel(cwd=submission and str(submission))
    client = manager.client()
    client.start_channels()
    answer = Answer()
    try:
        await client.wait_for_ready(timeout=120)
        for source in sources:
            await execute(client, source, answer, timeout)
    finally:
        answer.alive = await manager.is_alive()
        answer.report = getattr(manager.provisioner, "report", None)
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return answer


def run_cold(*sources: str) -> Answer:
    """Runs code in a kernel that Jupyter starts its own way."""
    return asyncio.run(run_async(None, sources, 60, None))


async def execute(client, source: str, answer: Answer, timeout: float) -> None:
    """Executes code and collects its output, until it ends or the kernel does."""

    def collect(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            answer.text += content["text"]
        elif message["msg_type"] == "error":
            answer.error = f"{content['ename']}: {content['evalue']}"

    running = asyncio.ensure_future(
        client.execute_interactive(source, output_hook=collect, timeout=timeout)
    )
    while not running.done():
        await asyncio.wait([running], timeout=0.2)
        if not await client.is_alive():
            running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def count_processes(words: str) -> int:
    """Counts the processes that have these words in their command line."""
    found = subprocess.run(["pgrep", "-fc", "--", words], capture_output=True)
    return int(found.stdout)


def count_descendants() -> int:
    """Counts the processes that this one started, and those that they started."""
    return len(psutil.Process().children(recursive=True))


def wait_for_processes(words: str, count: int, seconds: float = 10) -> bool:
    """Returns whether, before long, just `count` such processes are left."""
    return wait_until(lambda: count_processes(words) == count, seconds)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Returns whether a condition comes true before long."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
