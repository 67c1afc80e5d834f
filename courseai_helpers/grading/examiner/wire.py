"""Carries questions to the student's process and replies back, over a socket.

A message has four parts: a header in JSON, tensors and arrays in safetensors, and, from
the examiner only, networks. The header is a `Question` or a `Reply`. What comes from a
student is plain data: reading it runs no code of theirs, and whatever does not have the
promised form is a TransportError.
"""

import json
import socket
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError

from courseai_helpers.grading.examiner.values import (
    MAX_NUMBERS,
    MAX_TEXT,
    PLAIN,
    Message,
    TransportError,
)

LENGTHS = struct.Struct("!4Q")
MAX_HEADER = 2**22  # bytes of a header
MAX_NAMES = 1000  # names in a report of side effects
MAX_ARGUMENTS = 10  # of an exception
# By these names the grader knows its own errors; a student's get no such name.
OUR_ERRORS = ("CellTimeoutError", "GoneError", "NotAskedAgainError")
T = TypeVar("T")


class GoneError(TransportError):
    """Says that the other process has ended or closed the link."""


@dataclass
class Argument:
    """One argument of a question.

    Attributes:
        number: By which the other side keeps it for later questions.
        model: The name of the lesson's model that it is, if it is one.
        content: Its description, if it is news and no network.
    """

    number: int
    model: str | None = None
    content: dict[str, Any] | None = None


@dataclass
class Question:
    """What the examiner asks: a call of a student's function.

    Attributes:
        number: What the reply has to bear; a random one, so that none can be prepared.
        function: The function's name.
        arguments: Its positional arguments.
        options: The descriptions of the others, by name.
        gradients: Whether torch is to record gradients.
        observed: Whether to watch for side effects.
    """

    number: str
    function: str
    arguments: list[Argument]
    options: dict[str, dict[str, Any]]
    gradients: bool
    observed: bool

    def __post_init__(self) -> None:
        """Takes the arguments as JSON has them, too."""
        self.arguments = [build(Argument, argument) for argument in self.arguments]


@dataclass
class RaisedError:
    """An exception that a student's function raised.

    Attributes:
        type: The name of its class.
        base: That of the built-in class which it is derived from.
        arguments: Plain values, at most MAX_ARGUMENTS.
        traceback: The lines of the submission that it came through.
    """

    type: str
    base: str
    arguments: list[Any]
    traceback: str

    def __post_init__(self) -> None:
        """Refuses another form."""
        require(is_text(self.type) and is_text(self.base), "the type of an error")
        require(is_text(self.traceback), "a traceback")
        require(is_list(self.arguments, PLAIN, MAX_ARGUMENTS), "an error's arguments")


@dataclass
class Effects:
    """The side effects of a call, as an `Observation` has them."""

    forward_passes: int
    hooks_left: int
    hooks_lost: int
    modes_changed: list[str]
    state_changed: list[str]
    inputs_changed: list[int]
    gradients_changed: list[str]

    def __post_init__(self) -> None:
        """Refuses another form."""
        counts = (self.forward_passes, self.hooks_left, self.hooks_lost)
        require(is_list([*counts], [int]), "a count of side effects")
        names = (self.modes_changed, self.state_changed, self.gradients_changed)
        require(all(is_list(each, [str]) for each in names), "names of what changed")
        require(is_list(self.inputs_changed, [int]), "numbers of changed inputs")


@dataclass
class Reply:
    """What the student's process says about a call. It may be forged, every part of it.

    Attributes:
        number: That of the question.
        result: The description of what the function returned.
        error: What it raised, or None.
        effects: Its side effects.
        requires_grad: By the numbers of the arguments, whether a tensor, or each
            parameter of a network by its name, requires gradients now.
    """

    number: str
    result: dict[str, Any]
    error: RaisedError | None
    effects: Effects
    requires_grad: dict[str, bool | dict[str, bool] | None]

    def __post_init__(self) -> None:
        """Takes its parts as JSON has them, too, and refuses another form."""
        require(is_text(self.number), "the number of a reply")
        require(isinstance(self.result, dict), "a result")
        if self.error is not None:
            self.error = build(RaisedError, self.error)
        self.effects = build(Effects, self.effects)
        require(isinstance(self.requires_grad, dict), "what requires gradients")
        require(len(self.requires_grad) <= MAX_NAMES, "what requires gradients")
        for flags in self.requires_grad.values():
            if isinstance(flags, dict):
                require(is_list([*flags.values()], [bool]), "a network's gradients")
            else:
                require(flags is None or isinstance(flags, bool), "a tensor's gradient")


def require(condition: bool, what: str) -> None:
    """Returns if a part of a message has the form that it should have.

    Raises:
        TransportError: if not.
    """
    if not condition:
        raise TransportError(f"a message has another form than it should: {what}")


def is_text(value: Any) -> bool:
    """Tells whether something is a text that is not too long."""
    return type(value) is str and len(value) <= MAX_TEXT


def is_list(value: Any, types: Iterable[type], longest: int = MAX_NAMES) -> bool:
    """Tells whether something is a list that is not too long, of such plain values."""
    if type(value) is not list or len(value) > longest:
        return False
    return all(
        type(part) in types and (type(part) is not str or len(part) <= MAX_TEXT)
        for part in value
    )


def build(kind: type[T], content: Any) -> T:
    """Builds a part of a message from what JSON holds, or takes it as it is.

    Raises:
        TransportError: if it has other parts, or one that it refuses.
    """
    if isinstance(content, kind):
        return content
    try:
        return kind(**content)
    except TypeError:
        raise TransportError(f"a message has no valid {kind.__name__}") from None


def send(link: socket.socket, said: Question | Reply, message: Message) -> None:
    """Sends a question or a reply, with the numbers that belong to it."""
    message.header = asdict(said)
    send_message(link, message)


def pack_message(message: Message) -> list[bytes]:
    """Returns the four parts of a message."""
    return [
        json.dumps(message.header).encode(),
        safetensors.torch.save(message.tensors),
        safetensors.numpy.save(message.arrays),
        message.networks,
    ]


def send_message(link: socket.socket, message: Message) -> None:
    """Sends a message, all of it."""
    parts = pack_message(message)
    try:
        link.sendall(LENGTHS.pack(*map(len, parts)) + b"".join(parts))
    except OSError as error:
        raise GoneError(f"the other process is gone ({error})") from None


def receive_message(link: socket.socket, *, trusted: bool) -> Message:
    """Waits for a message and reads it.

    Args:
        link: Where it comes from.
        trusted: Whether it comes from the examiner; networks are taken from no other.

    Raises:
        TransportError: if it is not a message.
    """
    lengths = LENGTHS.unpack(receive_bytes(link, LENGTHS.size))
    limits = (MAX_HEADER, *[2 * MAX_NUMBERS] * 2, MAX_NUMBERS if trusted else 0)
    if any(length > limit for length, limit in zip(lengths, limits, strict=True)):
        raise TransportError(f"a message of {sum(lengths)} bytes is not taken")
    header, tensors, arrays, networks = (receive_bytes(link, n) for n in lengths)
    try:
        content = json.loads(header)
        numbers = safetensors.torch.load(tensors), safetensors.numpy.load(arrays)
    except (ValueError, KeyError, RecursionError, SafetensorError) as error:
        raise TransportError(f"a message can't be read: {error}") from None
    if not isinstance(content, dict):
        raise TransportError("a message has no header")
    return Message(content, *numbers, networks)


def receive_bytes(link: socket.socket, count: int) -> bytes:
    """Waits for so many bytes."""
    data = bytearray()
    while len(data) < count:
        try:
            part = link.recv(min(count - len(data), 2**20))
        except OSError as error:
            raise GoneError(f"the other process is gone ({error})") from None
        if not part:
            raise GoneError("the other process is gone")
        data += part
    return bytes(data)
