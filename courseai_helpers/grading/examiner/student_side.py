"""The student's side: calls the student's functions when the examiner asks for it.

It runs in the student's kernel, where student code can change it. So nothing here is
secret, and the other side trusts nothing that it says: see
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
from typing import Any

import torch
from torch import nn

from courseai_helpers.grading.examiner import lesson_state
from courseai_helpers.grading.examiner.lesson_state import Lesson, find_lesson
from courseai_helpers.grading.examiner.values import (
    PLAIN,
    Message,
    TransportError,
    decode,
    encode,
)
from courseai_helpers.grading.examiner.wire import (
    MAX_ARGUMENTS,
    Effects,
    Question,
    RaisedError,
    Reply,
    build,
    receive_message,
    send,
)
from courseai_helpers.testing import side_effects
from courseai_helpers.testing.side_effects import Observation, observe

LINK = 3  # the file descriptor that leads to the other process
LONGEST = 4000  # characters of a message or traceback
OWN_FILES = {__file__, lesson_state.__file__, side_effects.__file__}


def listen() -> None:
    """Starts to answer the examiner whenever no cell runs: called in a kernel."""
    from IPython import get_ipython

    link = socket.socket(fileno=LINK)
    lesson = find_lesson() or Lesson(get_ipython().user_ns)
    kept: dict[int, Any] = {}
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
        TransportError: if the examiner has closed the connection.
    """
    received = receive_message(link, trusted=True)
    question, message = build(Question, received.header), Message()
    try:
        with lesson.restored(question.function) as made:
            seen, arguments = ask_function(question, received, lesson, made, kept)
        reply = describe_call(question, seen, arguments, message)
    except Exception as error:  # of ours; without an answer the other side would wait
        message = Message()
        reply = describe_call(question, Observation(error=error), {}, message)
    send(link, reply, message)


def ask_function(
    question: Question,
    received: Message,
    lesson: Lesson,
    made: dict[str, Any],
    kept: dict[int, Any],
) -> tuple[Observation, dict[int, Any]]:
    """Calls the function that is asked for.

    Returns:
        What the call did, and the arguments by their numbers.
    """
    arguments: dict[int, Any] = {}
    try:
        with expect_interrupts():
            function = find(lesson.namespace, question.function)
            arguments, options = unpack(question, received, made, kept)
            function = lesson.lend_methods(function)
            seen = call(function, arguments.values(), options, question)
    except BaseException as error:  # sys.exit() and Ctrl-C are answers, too
        seen = Observation(error=error)
    return seen, arguments


def unpack(
    question: Question, received: Message, made: dict[str, Any], kept: dict[int, Any]
) -> tuple[dict[int, Any], dict[str, Any]]:
    """Returns the arguments by number, and the options."""
    networks = pickle.loads(received.networks) if received.networks else {}
    arguments = {}
    for argument in question.arguments:
        number = argument.number
        if argument.model is not None:
            arguments[number] = find(made, argument.model)
            continue
        if argument.content is not None:
            kept[number] = decode(argument.content, received)
        elif number in networks:
            kept[number] = restore_hooks(*networks[number])
        arguments[number] = kept[number]
    options = {name: decode(s, received) for name, s in question.options.items()}
    return arguments, options


def find(namespace: dict[str, Any], name: str) -> Any:
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


def call(
    function: Any, arguments: Any, options: dict[str, Any], question: Question
) -> Observation:
    """Calls a function, and observes it if the examiner asks for that."""
    with torch.set_grad_enabled(question.gradients):
        if question.observed:
            return observe(function, *arguments)
        return Observation(result=function(*arguments, **options))


def describe_call(
    question: Question, seen: Observation, arguments: dict[int, Any], message: Message
) -> Reply:
    """Describes what a call did, and adds the numbers of its result to a message."""
    effects = {name: getattr(seen, name) for name in Effects.__dataclass_fields__}
    return Reply(
        number=question.number,
        result=encode(seen.result, message),
        error=None if seen.error is None else describe_error(seen.error),
        effects=Effects(**effects),
        requires_grad={
            str(number): find_requires_grad(value)
            for number, value in arguments.items()
        },
    )


def describe_error(error: BaseException) -> RaisedError:
    """Describes an exception: its type, its message, where it came from."""
    bases = [base for base in type(error).__mro__ if base.__module__ == "builtins"]
    try:
        text = str(error)[:LONGEST]
    except Exception:  # a student's own __str__ may do anything
        text = ""
    plain = all(type(value) in PLAIN for value in error.args)
    arguments = error.args if plain and len(text) < LONGEST else (text,)
    return RaisedError(
        type=type(error).__name__,
        base=bases[0].__name__,
        arguments=list(arguments[:MAX_ARGUMENTS]),
        traceback=clean_traceback(error),
    )


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
