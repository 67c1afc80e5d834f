"""Starts Dask schedulers and workers, each a process of its own."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courseai_helpers.grading.cluster import scheduling

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
NAMES = ("CA_FILE", "SCHEDULER__CERT", "WORKER__CERT", "CLIENT__CERT")


def use_certificate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes a certificate as we advise to, and names it to all that start from now."""
    command = re.search(r"    \((.*?)\)\n\n", scheduling.CERTIFICATES, re.S)[1]
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, **QUIET)
    for name in NAMES:
        path = str(folder / "grading.pem")
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", path)


@contextlib.contextmanager
def start_cluster(folder: Path, *preloads: str) -> Iterator[str]:
    """Starts a scheduler, and a worker with one thread for each module to load first.

    Args:
        folder: Where the workers keep their files, and where their modules are.
        *preloads: For each worker the name of a module, or nothing.

    Yields:
        The scheduler's address.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    address = f"tls://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    dask += ["--protocol=tls", "--host=127.0.0.1", "--port", port]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    worker += ["--nthreads=1", "--no-dashboard", "--memory-limit=0"]
    worker += ["--local-directory", str(folder)]
    commands = [dask]
    for preload in preloads:
        commands.append([*worker, *(["--preload", preload] if preload else [])])
    processes = [subprocess.Popen(each, cwd=folder, **QUIET) for each in commands]
    try:
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
