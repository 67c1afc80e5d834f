"""Finds out whether student code can be run here, by a kernel that says hello."""

import os
import sys
from functools import cache

from jupyter_client import AsyncKernelClient
from nbclient.util import run_sync

from courseai_helpers.grading.sandbox.bubblewrap import (
    ALLOW,
    Limits,
    SandboxError,
    build_sandbox,
)
from courseai_helpers.grading.sandbox.mounts import PACKAGE
from courseai_helpers.grading.sandbox.provisioner import SandboxedKernelManager

SECONDS = 120  # seconds for a kernel to say hello on a busy machine
# The module is in memory already, and a kernel will want files that are not.
HELLO = "import torch; open(torch.__file__).close(); del torch"


@cache
def require_sandbox() -> None:
    """Makes sure that student code can be run in sandboxes on this machine.

    Raises:
        SandboxError: if not.
    """
    try:
        build_sandbox(None, Limits()).close()
    except OSError as error:
        raise SandboxError(f"user namespaces fail ({error})", ALLOW) from None
    try:
        run_sync(start_and_greet)()
    except (OSError, RuntimeError, TimeoutError) as error:
        reason = f"a kernel in the sandbox does not answer ({error})"
        raise SandboxError(reason, advise_about_environment()) from None


async def start_and_greet() -> None:
    """Starts a kernel like a submission's and has it look for this environment.

    Raises:
        RuntimeError: if it ends.
        OSError: if it can't read a file of the environment.
    """
    manager = SandboxedKernelManager()
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=SECONDS)
        await greet(client)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def greet(client: AsyncKernelClient) -> None:
    """Has a kernel say hello."""
    reply = await client.execute(HELLO, silent=True, reply=True, timeout=SECONDS)
    content = reply["content"]
    if content["status"] != "ok":
        raise RuntimeError(f"{content['ename']}: {content['evalue']}")


def advise_about_environment() -> str:
    """Says why kernels can't use an environment that works outside."""
    if os.geteuid() != 0:
        return "install the course into a new environment"
    places = f"{sys.prefix} {sys.base_prefix} {PACKAGE}"
    return (
        f"let everybody read the environment: chmod -R go+rX {places} (kernels run as "
        "another user than root)"
    )
