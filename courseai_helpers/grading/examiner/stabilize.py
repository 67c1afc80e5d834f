"""Keeps a student's kernel going, whatever a cell does to the process by accident.

It runs in the student's kernel and helps honest code. Code that wants to break its own
kernel still can, and loses its own points.
"""

import builtins
import signal
import sys
from collections.abc import Callable
from typing import Any

from IPython import get_ipython


def steady() -> None:
    """Lets later cells run after one that takes away what a kernel needs."""
    shell = get_ipython()
    shell.unobserve_all("exit_now")  # exit() and the like would end the kernel
    shell.events.register("post_run_cell", make_repair())


def make_repair() -> Callable[..., Any]:
    """Makes the function that repairs what a cell has left unusable."""
    usual = dict(vars(builtins))
    depth = sys.getrecursionlimit()
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    for stream in streams.values():
        stream.close = stream.flush  # the kernel needs it as long as it lives

    def repair(*_: Any) -> None:
        vars(builtins).update(usual)
        sys.setrecursionlimit(max(depth, sys.getrecursionlimit()))
        sys.settrace(None)
        sys.setprofile(None)
        for name, stream in streams.items():
            if not is_usable(getattr(sys, name, None)):
                setattr(sys, name, stream)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)  # it would interrupt what comes after the cell

    return repair


def is_usable(stream: Any) -> bool:
    """Tells whether something can be written to, and flushed."""
    try:
        stream.write("")
        stream.flush()
    except Exception:  # it may be anything
        return False
    return True
