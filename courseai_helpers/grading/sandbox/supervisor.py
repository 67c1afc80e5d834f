"""Supervises one kernel: builds its sandbox, forks it, watches it, reports its end."""

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import time
import traceback
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from courseai_helpers.grading.sandbox import privileges
from courseai_helpers.grading.sandbox.bubblewrap import (
    End,
    Limits,
    SandboxError,
    Start,
    Stop,
    build_sandbox,
)
from courseai_helpers.grading.sandbox.kernel import become_kernel, make_connection
from courseai_helpers.grading.sandbox.mounts import RUN

WATCH_INTERVAL = 0.1  # seconds
# Nobody can read more output than this in about 5 seconds. It waits in the
# kernel's memory, and if it is not stopped here, the kernel is ended for its memory,
# not its output.
MAX_OUTPUT, OUTPUT_MARKS = 2**26, 50
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """What all processes in a sandbox use together: bytes, threads, seconds."""

    resident: int = 0
    threads: int = 0
    cpu_seconds: float = 0.0


def keep_kernel(channel: socket.socket, link: int | None) -> None:
    """Runs one kernel from its start to its end.

    Sends a message in JSON when the kernel has started and one when it has ended.

    Args:
        channel: Where the requester sends "limits", "key" (of the connection),
            "submission" (a path or None) and "examiner" (whether the kernel is one),
            then the numbers of signals, and reads the messages. When it is closed, the
            kernel is killed.
        link: The file that leads to the kernel's counterpart, if it has one.
    """
    content = channel.recv(65536)
    if not content:
        return  # the requester is gone
    request = json.loads(content)
    limits = Limits(**request["limits"])
    submission = request["submission"] and Path(request["submission"])
    sandbox = None
    try:
        sandbox = build_sandbox(submission, limits, examiner=request["examiner"])
        privileges.join_sandbox(sandbox.first_handle)
        output = mmap.mmap(-1, 8)
        kernel = os.fork()
        if kernel == 0:
            run_kernel(request["key"], limits, link, output)
        if link is not None:
            os.close(link)  # so that its other end notices when the kernel ends
        send(channel, Start(kernel, f"/proc/{sandbox.first}/root{RUN}/socket"))
        send(channel, watch(kernel, channel, limits, output))
    except BrokenPipeError:
        pass  # the requester is gone
    except SandboxError as error:
        send(channel, Start(error=error.reason))
    except OSError as error:
        send(channel, Start(error=str(error)))
    finally:
        if sandbox:
            sandbox.close()


def run_kernel(key: str, limits: Limits, link: int | None, output: mmap.mmap) -> None:
    """Becomes the kernel, and never returns into the supervisor's code."""
    try:
        count_output(output)
        become_kernel(make_connection(f"{RUN}/socket", key), limits, link)
    except BaseException:  # nothing may get from here into the supervisor's code
        traceback.print_exc()
    finally:
        os._exit(1)


def count_output(output: mmap.mmap) -> None:
    """Makes this process tell its supervisor how many characters it puts out.

    Student code could report a false number. Its kernel is then ended for its memory.
    """
    from ipykernel.iostream import OutStream

    write = OutStream.write

    def write_and_count(self: OutStream, string: str) -> int | None:
        result = write(self, string)
        output[:] = (read_output(output) + len(string)).to_bytes(8)
        return result

    OutStream.write = write_and_count  # type: ignore[method-assign]


def read_output(output: mmap.mmap) -> int:
    """Returns how many characters a kernel says that it has printed."""
    return int.from_bytes(output[:])


def send(channel: socket.socket, message: Start | End) -> None:
    """Sends a message to the requester."""
    channel.sendall(json.dumps(asdict(message)).encode())


def watch(
    kernel: int, channel: socket.socket, limits: Limits, output: mmap.mmap
) -> End:
    """Waits for the kernel's end, passes signals on and enforces the limits."""
    start = time.monotonic()
    stop: Stop | None = None
    message = ""
    marks = deque([0], maxlen=OUTPUT_MARKS)
    handle = os.pidfd_open(kernel)
    while True:
        watched: list[Any] = [channel, handle]
        ready, _, _ = select.select(watched, [], [], WATCH_INTERVAL)
        if handle in ready:
            break
        if channel in ready:
            if number := channel.recv(64):
                os.kill(kernel, int(number))
            else:
                stop, message = Stop.UNWANTED, "nobody waits for it any more"
        marks.append(read_output(output))
        if stop is None:
            seconds, recent = time.monotonic() - start, marks[-1] - marks[0]
            stop, message = find_excess(limits, seconds, recent)
        if stop is not None:
            os.kill(kernel, signal.SIGKILL)
            break
    _, status, usage = os.wait4(kernel, 0)
    return End(
        status=os.waitstatus_to_exitcode(status),
        stop=stop,
        message=message,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory=usage.ru_maxrss * 1024,
    )


def find_excess(
    limits: Limits, seconds: float, recent_output: int
) -> tuple[Stop | None, str]:
    """Returns which limit the processes in this sandbox exceed, if any, and how.

    Args:
        limits: What they may use.
        seconds: Since the kernel was started.
        recent_output: Characters that it has put out within OUTPUT_MARKS intervals.
    """
    usage = measure_usage()
    if recent_output > MAX_OUTPUT:  # before the memory, which it fills
        size = f"{MAX_OUTPUT / 2**20:.0f} MiB"
        return Stop.OUTPUT, f"it put out more than {size} within seconds"
    if usage.threads >= limits.processes:  # a bomb goes on to the end
        return Stop.PROCESSES, f"it started {limits.processes} processes and threads"
    if usage.cpu_seconds > limits.cpu_seconds:
        return Stop.CPU_TIME, f"it used more than {limits.cpu_seconds} s of CPU time"
    if seconds > limits.wall_seconds:
        return Stop.LIFETIME, f"it ran for more than {limits.wall_seconds} s"
    hidden = measure_hidden_memory()
    # Pages shared with the warm parent count as resident; a closer look is costly.
    if (
        usage.resident + hidden > limits.memory
        and measure_private_memory() + hidden > limits.memory
    ):
        size = f"{limits.memory / 2**20:.0f} MiB"
        return Stop.MEMORY, f"it was out of memory: it may use {size}"
    return None, ""


def list_processes() -> list[Path]:
    """Returns the /proc directories of the processes in this sandbox."""
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def measure_usage() -> Usage:
    """Adds up what the processes in this sandbox use."""
    total = Usage()
    for process in list_processes():
        try:
            # The name, in parentheses, may hold anything.
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        user, system, *of_children = map(int, fields[11:15])
        total.cpu_seconds += (user + system + sum(of_children)) / TICKS
        total.threads += int(fields[17])
        total.resident += int(fields[21]) * PAGE
    return total


def measure_private_memory() -> int:
    """Returns the bytes that no process outside of this sandbox shares."""
    total = 0
    for process in list_processes():
        try:
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(("Private_Dirty:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def measure_hidden_memory() -> int:
    """Returns the bytes that belong to no process: files in memory, shared segments."""
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    total = sum(int(line.split()[14]) for line in segments)
    files = {}
    for process in list_processes():
        for name in list_open_files(process):
            with contextlib.suppress(OSError):  # it has just been closed
                if os.readlink(name).startswith("/memfd:"):
                    status = os.stat(name)
                    files[status.st_ino] = status.st_blocks * 512
    return total + sum(files.values())


def list_open_files(process: Path) -> list[Path]:
    """Returns the links to the open files of a process; none if it has ended."""
    try:
        return list((process / "fd").iterdir())
    except OSError:
        return []
