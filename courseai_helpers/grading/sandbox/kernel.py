"""Becomes an IPython kernel in a sandbox, in a process that has just been forked."""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from courseai_helpers.grading.sandbox import privileges
from courseai_helpers.grading.sandbox.bubblewrap import Limits
from courseai_helpers.grading.sandbox.mounts import RUN

CONNECTION_FILE = f"{RUN}/connection.json"
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


def make_connection(path: str, key: str) -> dict[str, str | int]:
    """Returns how to connect to a kernel, as its connection file says it.

    Args:
        path: The start of its sockets' paths; each channel's number is put behind it.
        key: The key that signs messages.
    """
    return {
        "transport": "ipc",
        "ip": path,
        "key": key,
        "signature_scheme": "hmac-sha256",
        **{f"{name}_port": number for number, name in enumerate(CHANNELS, start=1)},
    }


def become_kernel(connection: dict[str, Any], limits: Limits, link: int | None) -> None:
    """Turns this process into a kernel; doesn't return.

    Args:
        connection: The content of the kernel's connection file.
        limits: What the kernel may use.
        link: The file that leads to the kernel's counterpart, if it has one.
    """
    os.setsid()
    privileges.enter_work_folder()
    privileges.drop_rights()
    os.environ.clear()
    os.environ.update(privileges.make_kernel_environment())
    Path(CONNECTION_FILE).write_text(json.dumps(connection))
    options = ["-f", CONNECTION_FILE, "--HistoryManager.hist_file=:memory:"]
    privileges.set_limits(limits)
    privileges.keep_only_standard_streams(link)
    forget_random_state()
    run_kernel(options)


def run_kernel(options: list[str]) -> None:
    """Runs an IPython kernel like the one that `python -m ipykernel` starts."""
    from ipykernel.kernelapp import IPKernelApp

    # The socket is for root, who in some containers is bound by file modes.
    os.umask(0)
    sys.argv = ["ipykernel", *options]
    sys.path[0:0] = [""]
    IPKernelApp.launch_instance(options)
    os._exit(0)


def forget_random_state() -> None:
    """Seeds what a new interpreter seeds from the system's entropy."""
    import numpy
    import torch

    random.seed()
    numpy.random.seed()
    torch.seed()
