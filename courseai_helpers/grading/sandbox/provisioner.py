"""Lets Jupyter start kernels in the sandbox: a kernel manager and its provisioner."""

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import Integer

from courseai_helpers.grading.sandbox.bubblewrap import (
    End,
    Limits,
    SandboxError,
    Start,
)
from courseai_helpers.grading.sandbox.forkserver_client import request_kernel
from courseai_helpers.grading.sandbox.kernel import make_connection

DEFAULTS = Limits()
MAX_MESSAGE = 2**24  # bytes; what is longer closes the connection
MAX_WAITING = 100  # messages that wait for the grader


class SandboxedKernelManager(AsyncKernelManager):
    """Starts the one kind of kernel that student code runs in.

    A submission names the kernel that it wants; it always gets this one.

    Attributes:
        link: What leads to another kernel, that of the student or of the examiner.
        examiner: Whether it is the examiner's.
    """

    link: socket.socket | None = None
    examiner = False

    @property
    def kernel_spec(self) -> KernelSpec:
        """The spec of that kernel; Jupyter starts it by the provisioner below."""
        return KernelSpec(
            display_name="Python in a sandbox",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": "courseai-sandbox"}},
        )

    def _context_default(self) -> zmq.asyncio.Context:
        context = super()._context_default()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        context.setsockopt(zmq.RCVHWM, MAX_WAITING)
        return context


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a Python kernel in a sandbox, forked from a warm process.

    The command of the kernel spec and the environment of the caller are not used.
    """

    memory = Integer(DEFAULTS.memory, help="Bytes of private memory.").tag(config=True)
    processes = Integer(DEFAULTS.processes, help="Processes and threads.").tag(
        config=True
    )
    cpu_seconds = Integer(DEFAULTS.cpu_seconds, help="Seconds of CPU time.").tag(
        config=True
    )
    wall_seconds = Integer(DEFAULTS.wall_seconds, help="Seconds of life.").tag(
        config=True
    )
    file_size = Integer(DEFAULTS.file_size, help="Bytes in one file.").tag(config=True)
    disk = Integer(DEFAULTS.disk, help="Bytes in a private folder.").tag(config=True)

    channel: socket.socket | None = None
    pid: int | None = None  # of the kernel, as this process sees it
    report: End | None = None  # of the last kernel's end

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and its end has not been noticed yet."""
        return self.channel is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Keeps the working directory: it is the submission."""
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Starts a kernel and returns how to connect to it.

        Raises:
            SandboxError: if the kernel can't be started.
        """
        names = Limits.__dataclass_fields__
        limits = Limits(**{name: getattr(self, name) for name in names})
        folder = kwargs.get("cwd")
        key = self.parent.session.key.decode()
        link = getattr(self.parent, "link", None)
        examiner = getattr(self.parent, "examiner", False)
        self.report = None
        self.channel = await asyncio.to_thread(
            request_kernel, folder and Path(folder), limits, key, link, examiner
        )
        start = Start(**await asyncio.to_thread(self._receive))
        if not start.path:
            self._close()
            raise SandboxError(f"a kernel could not be started ({start.error})")
        self.channel.setblocking(False)
        self.pid = start.pid
        self.connection_info: Any = make_connection(start.path, key)
        self.connection_info["key"] = key.encode()
        return self.connection_info

    def _receive(self) -> Any:
        data = self.channel.recv(65536)
        return json.loads(data) if data else {}

    async def poll(self) -> int | None:
        """Returns None while the kernel runs, else its exit code."""
        if self.channel is None:
            return self.report.status if self.report else 1
        try:
            said = self._receive()
        except BlockingIOError:
            return None
        self._close()
        # A supervisor that fails says so in the words for a start, and knows no end.
        self.report = End() if "error" in said else End(**said)
        return self.report.status

    async def wait(self) -> int | None:
        """Waits for the kernel's end and returns its exit code."""
        while await self.poll() is None:
            await asyncio.sleep(0.01)
        return await self.poll()

    async def send_signal(self, signum: int) -> None:
        """Sends a signal to the kernel; 0 only asks whether there is one."""
        if self.channel and signum:
            try:
                self.channel.sendall(str(int(signum)).encode())
            except BrokenPipeError:
                pass  # it has ended: poll() finds the report

    async def kill(self, restart: bool = False) -> None:
        """Kills the kernel and all that it started."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Kills the kernel: in the sandbox there is nothing to save."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Closes the channel, which ends the sandbox."""
        self._close()

    def _close(self) -> None:
        if self.channel:
            self.channel.close()
            self.channel = None
