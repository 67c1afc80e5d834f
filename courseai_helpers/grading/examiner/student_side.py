"""The student's side: calls the student's functions when the examiner asks for it.

It runs in the student's kernel, and student code can do with it what it likes. So
nothing here is secret, and the other side believes nothing that it says: see
`proxies.py` and docs/borders.md.
"""

import asyncio
import contextlib
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from courseai_helpers.grading.examiner import lesson_state
from courseai_helpers.grading.examiner.lesson_state import Lesson, find_lesson
from courseai_helpers.grading.examiner.wire import (
    PLAIN,
    Message,
    TransportError,
    decode,
    encode,
    receive_message,
    send_message,
)
from courseai_helpers.testing import side_effects
from courseai_helpers.testing.side_effects import Observation, observe

LINK = 3  # the file descriptor that leads to the other process
LONGEST = 4000  # characters of a message or traceback
OWN_FILES = {__file__, lesson_state.__file__, side_effects.__file__}


def listen() -> None:
    """Answers the examiner from now on, whenever no cell runs: called in a kernel."""
    from IPython import get_ipython

    link = socket.socket(fileno=LINK)
    lesson, kept = find_lesson() or Lesson(get_ipython().user_ns), {}
    loop = asyncio.get_running_loop()

    def answer_one() -> None:
        try:
            answer(link, lesson, kept)
        except TransportError:
            loop.remove_reader(link)  # the examiner has gone

    loop.add_reader(link, answer_one)


def answer(link: socket.socket, lesson: Lesson, kept: dict[int, Any]) -> None:
    """Answers one question.

    Args:
        link: Where it comes from and the answer goes to.
        lesson: The notebook, with the student's functions.
        kept: The arguments of earlier questions, by number; used and added to.

    Raises:
        TransportError: if nobody asks any more.
    """
    question = receive_message(link, trusted=True)
    number = {"number": question.header["number"]}
    try:
        with lesson.restored(question.header["function"]) as made:
            reply = give_answer(question, Message(number), lesson, made, kept)
    except Exception as error:  # of ours; without an answer the other side would wait
        reply = Message(number | {"requires_grad": {}})
        reply.header |= describe_call(Observation(error=error), reply)
    send_message(link, reply)


def give_answer(
    question: Message,
    reply: Message,
    lesson: Lesson,
    made: dict[str, Any],
    kept: dict[int, Any],
) -> Message:
    """Calls the function that is asked for, and completes the reply."""
    arguments, options = {}, {}
    try:
        with expect_interrupts():
            function = find(lesson.namespace, question.header["function"])
            arguments, options = unpack(question, made, kept)
            function = lesson.lend_methods(function)
            seen = call(function, arguments.values(), options, question.header)
    except BaseException as error:  # sys.exit() and Ctrl-C are answers, too
        seen = Observation(error=error)
    reply.header |= describe_call(seen, reply)
    reply.header["requires_grad"] = {
        number: find_requires_grad(value) for number, value in arguments.items()
    }
    return reply


def unpack(
    question: Message, made: dict[str, Any], kept: dict[int, Any]
) -> tuple[dict[int, Any], dict[str, Any]]:
    """Returns the arguments by number, and the options."""
    header = question.header
    networks = pickle.loads(question.networks) if question.networks else {}
    arguments = {}
    for number, structure in header["arguments"]:
        if "model" in structure:
            arguments[number] = find(made, structure["model"])
        else:
            if "content" in structure:
                kept[number] = decode(structure["content"], question)
            elif number in networks:
                kept[number] = restore_hooks(*networks[number])
            arguments[number] = kept[number]
    options = {name: decode(s, question) for name, s in header["options"].items()}
    return arguments, options


def find(namespace: dict, name: str) -> Any:
    """Returns what a name stands for in the student's notebook."""
    try:
        return namespace[name]
    except KeyError:
        raise NameError(f"name {name!r} is not defined") from None


def restore_hooks(network: nn.Module, hooks: list[tuple[str, str]]) -> nn.Module:
    """Puts hooks that do nothing where the examiner's network has some."""
    for name, kind in hooks:
        register = getattr(network.get_submodule(name), f"register_{kind}")
        register(lambda *_: None)
    return network


def call(function: Any, arguments: Any, options: dict, header: dict) -> Observation:
    """Calls a function as the examiner wants it."""
    with torch.set_grad_enabled(header["gradients"]):
        if header["observed"]:
            return observe(function, *arguments)
        return Observation(result=function(*arguments, **options))


def describe_call(seen: Observation, reply: Message) -> dict:
    """Describes what a call did in plain values."""
    error = seen.error and describe_error(seen.error)
    result = encode(seen.result, reply)
    effects = asdict(Observation(**{**vars(seen), "result": None, "error": None}))
    return {"result": result, "error": error, "effects": effects}


def describe_error(error: BaseException) -> dict:
    """Describes an exception: its type, its message, where it came from."""
    bases = [base for base in type(error).__mro__ if base.__module__ == "builtins"]
    try:
        text = str(error)[:LONGEST]
    except Exception:  # a student's own __str__ may do anything
        text = ""
    plain = all(type(value) in PLAIN for value in error.args)
    return {
        "type": type(error).__name__,
        "base": bases[0].__name__,
        "arguments": list(error.args) if plain and len(text) < LONGEST else [text],
        "traceback": clean_traceback(error),
    }


def clean_traceback(error: BaseException) -> str:
    """Returns the lines of the submission that an exception came through."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in OWN_FILES
    ]
    lines = [f"line {frame.lineno}, in {frame.name}: {frame.line}" for frame in frames]
    return "\n".join(lines)[-LONGEST:]


def find_requires_grad(value: Any) -> bool | dict[str, bool] | None:
    """Tells whether a tensor, or each parameter of a network, requires gradients."""
    if isinstance(value, torch.Tensor):
        return bool(value.requires_grad)
    if isinstance(value, nn.Module):
        return {name: p.requires_grad for name, p in value.named_parameters()}
    return None


@contextlib.contextmanager
def expect_interrupts() -> Iterator[None]:
    """Lets a signal of the grader interrupt a call; between calls kernels ignore it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
