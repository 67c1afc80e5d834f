"""The examiner's side: functions that stand in for those of a submission.

A test cell calls `grad_cam` as it would in a student's notebook; the stand-in of that
name sends the arguments to the student's process and returns what comes back. The
examiner trusts nothing: a result is plain data of a known form, side effects are only
what the other side reports, and its own networks and images are never changed by a
reply.
"""

import ast
import builtins
import copy
import hashlib
import itertools
import pickle
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from courseai_helpers import testing
from courseai_helpers.grading.examiner.student_side import LINK
from courseai_helpers.grading.examiner.values import (
    Message,
    TransportError,
    clean_text,
    decode,
    encode,
    make_class,
)
from courseai_helpers.grading.examiner.wire import (
    OUR_ERRORS,
    Argument,
    Question,
    RaisedError,
    Reply,
    build,
    pack_message,
    receive_message,
    send,
)
from courseai_helpers.testing import side_effects
from courseai_helpers.testing.side_effects import Observation

# The kinds of hooks that an examiner's network may have, and where torch keeps them.
HOOKS = {
    "_forward_hooks": "forward_hook",
    "_forward_pre_hooks": "forward_pre_hook",
    "_backward_hooks": "full_backward_hook",
}


class NotAskedAgainError(Exception):
    """A function has run out of time before, and is not called again."""


@dataclass
class Line:
    """The connection to the student's process.

    Attributes:
        link: The socket.
        models: The names of the lesson's models, by identity: these are not sent.
        sent: The arguments that the other side has, with number and digest.
        given_up: The names of the functions that are no longer called.
        asked: The name of the function that is being called.
    """

    link: socket.socket
    models: dict[int, str] = field(default_factory=dict)
    sent: dict[int, tuple[Any, int, str]] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)
    given_up: set[str] = field(default_factory=set)
    asked: str | None = None


_line: Line | None = None
_observe_here = side_effects.observe


def set_up(
    namespace: dict[str, Any],
    names: list[str],
    source: str,
    *,
    salt: int,
    given_up: set[str],
) -> None:
    """Puts the stand-ins into the examiner's notebook: called after a setup cell.

    Args:
        namespace: Where the test cells look their names up.
        names: The names of the exercises.
        source: The setup cell; a model that it makes is one of the lesson's.
        salt: What the hidden tests' random inputs depend on.
        given_up: The names of the functions that are no longer called.
    """
    # Not before: a student's kernel has a copy of what was imported before it started.
    from courseai_helpers.grading.examiner import oracles

    global _line
    oracles.set_salt(salt)
    _line = _line or Line(socket.socket(fileno=LINK))
    _line.given_up = given_up
    connect(_line, namespace, names, source)


def observe(function: Callable[..., Any], *arguments: Any) -> Observation:
    """Does what the students' `observe` does, where the function really runs."""
    if hasattr(function, "observe_there"):
        return function.observe_there(*arguments)
    return _observe_here(function, *arguments)


def print_asked() -> None:
    """Tells the grader which function has not answered: called after a time-out."""
    print((_line and _line.asked) or "")


def connect(
    line: Line, namespace: dict[str, Any], names: list[str], source: str
) -> None:
    """Makes the names of exercises stand for the student's functions."""
    testing.observe = side_effects.observe = observe  # for the test cells to import
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            value = namespace.get(node.id)
            if isinstance(value, nn.Module):
                line.models[id(value)] = node.id
    namespace.update({name: make_stand_in(line, name) for name in names})


def make_stand_in(line: Line, name: str) -> Callable[..., Any]:
    """Makes the function that calls a student's function by its name."""

    def stand_in(*arguments: Any, **options: Any) -> Any:
        seen, trace = ask(line, name, arguments, options, observed=False)
        if seen.error is not None:
            if trace:
                print(f"In the submission:\n{trace}", file=sys.stderr)
            raise seen.error
        return seen.result

    def observe_there(*arguments: Any) -> Observation:
        seen, _ = ask(line, name, arguments, {}, observed=True)
        if seen.error is not None and not isinstance(seen.error, Exception):
            raise seen.error  # it passes through observe() where it is raised, too
        return seen

    stand_in.__name__ = stand_in.__qualname__ = name
    vars(stand_in)["observe_there"] = observe_there  # for testing.observe
    return stand_in


def ask(
    line: Line,
    name: str,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    *,
    observed: bool,
) -> tuple[Observation, str]:
    """Has a student's function called.

    Returns:
        What the call did, and the lines of the submission that raised, if one did.

    Raises:
        TransportError: if there is no answer that can be read.
    """
    if name in line.given_up:
        raise NotAskedAgainError(
            f"{name} took too long in an earlier check and was not called again. Does "
            "a loop not end?"
        )
    line.asked = name
    message = Message()
    question = Question(
        number=secrets.token_hex(8),
        function=name,
        arguments=pack(line, arguments, message),
        options={key: encode(value, message) for key, value in options.items()},
        gradients=torch.is_grad_enabled(),
        observed=observed,
    )
    send(line.link, question, message)
    while True:
        answer = receive_message(line.link, trusted=False)
        if answer.header.get("number") == question.number:
            break  # other answers are late, or forged
    line.asked = None
    reply = build(Reply, answer.header)
    note_gradients(question.arguments, arguments, reply)
    return read_reply(reply, answer)


def pack(line: Line, values: tuple[Any, ...], message: Message) -> list[Argument]:
    """Describes the arguments of a question, in full only if they are new."""
    arguments: list[Argument] = []
    networks: dict[int, tuple[nn.Module, list[tuple[str, str]]]] = {}
    for place, value in enumerate(values):
        if id(value) in line.models:
            arguments.append(Argument(-1 - place, model=line.models[id(value)]))
            continue
        digest = compute_digest(value)
        known = line.sent.get(id(value)) if digest else None
        argument = Argument(known[1] if known else next(line.numbers))
        if not known or known[2] != digest:
            if isinstance(value, nn.Module):
                networks[argument.number] = strip_hooks(value)
            else:
                argument.content = encode(value, message)
            if digest:
                line.sent[id(value)] = (value, argument.number, digest)
        arguments.append(argument)
    message.networks = pickle.dumps(networks) if networks else b""
    return arguments


def compute_digest(value: Any) -> str:
    """Returns what tells whether an argument has changed; '' for plain values."""
    if isinstance(value, nn.Module):
        return compute_network_digest(value)
    if not isinstance(value, torch.Tensor | np.ndarray):
        return ""
    message = Message()
    message.header = encode(value, message)
    parts = pack_message(message)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def compute_network_digest(network: nn.Module) -> str:
    """Returns what tells whether a network has changed: layers, state, place, modes."""
    state = {k: v.contiguous().clone() for k, v in network.state_dict().items()}
    weights = [*network.named_parameters(), *network.named_buffers()]
    flags = [(name, w.requires_grad, str(w.device)) for name, w in weights]
    modes = [(name, module.training) for name, module in network.named_modules()]
    form = repr((repr(network), flags, modes, strip_hooks(network)[1]))
    content = form.encode() + safetensors.torch.save(state)
    return hashlib.sha256(content).hexdigest()


def strip_hooks(network: nn.Module) -> tuple[nn.Module, list[tuple[str, str]]]:
    """Returns a copy of a network without its hooks, and where they were.

    Raises:
        TypeError: if it is not made of torch's own layers: the student's process must
            not learn how a test is made.
    """
    plain = copy.deepcopy(network)
    hooks: list[tuple[str, str]] = []
    for name, module in plain.named_modules():
        if not type(module).__module__.startswith("torch.nn."):
            raise TypeError(
                f"A network that a test passes on is made of torch.nn's own layers; "
                f"{type(module).__name__} is none. Or set it up in a locked cell, as "
                "the lesson's model is."
            )
        for place, kind in HOOKS.items():
            hooks += [(name, kind)] * len(getattr(module, place))
            getattr(module, place).clear()
    return plain, hooks


def note_gradients(
    arguments: list[Argument], values: tuple[Any, ...], reply: Reply
) -> None:
    """Gives the examiner's own arguments the gradient flags of the other side's.

    Tests look at these flags after a call. They don't change what is computed.
    """
    for argument, value in zip(arguments, values, strict=True):
        if argument.model is not None:
            continue  # it is the lesson's: no call may change it for a later one
        flags = reply.requires_grad.get(str(argument.number))
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            if isinstance(flags, bool) and value.is_leaf:
                value.requires_grad_(flags)
        elif isinstance(value, nn.Module) and isinstance(flags, dict):
            for name, parameter in value.named_parameters():
                if isinstance(flags.get(name), bool):
                    parameter.requires_grad_(flags[name])


def read_reply(reply: Reply, message: Message) -> tuple[Observation, str]:
    """Returns what a reply says about the call, and its traceback."""
    effects = vars(reply.effects)
    if reply.error is not None:
        error, trace = read_error(reply.error)
        return Observation(None, error, **effects), trace
    return Observation(decode(reply.result, message), None, **effects), ""


def read_error(raised: RaisedError) -> tuple[BaseException, str]:
    """Builds an exception like the one that the student's function raised.

    Raises:
        TransportError: if its base is no exception.
    """
    base = getattr(builtins, raised.base, None)
    if not (isinstance(base, type) and issubclass(base, BaseException)):
        raise TransportError("an error that is no exception")
    name = raised.base if raised.type in OUR_ERRORS else raised.type
    kind = base if base.__name__ == name else make_class(name, base)
    arguments = [clean_text(a) if isinstance(a, str) else a for a in raised.arguments]
    trace = clean_text(raised.traceback)
    try:
        return kind(*arguments), trace
    except TypeError:  # some want more than a text
        base = Exception if issubclass(base, Exception) else BaseException
        return make_class(name, base)(*map(str, arguments)), trace
