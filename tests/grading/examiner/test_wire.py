"""What crosses the border between the student's process and the examiner's."""

import json
import pickle
import socket
import threading

import numpy as np
import pytest
import torch
from torch import nn

from courseai_helpers.grading.examiner import proxies, student_side, values, wire
from courseai_helpers.grading.examiner.lesson_state import Lesson
from courseai_helpers.grading.examiner.oracles import make_image, make_net
from courseai_helpers.grading.examiner.values import Message, decode, encode
from courseai_helpers.grading.examiner.wire import (
    LENGTHS,
    TransportError,
    receive_message,
    send_message,
)
from courseai_helpers.grading.steps import failures
from courseai_helpers.testing import ElsewhereTensor

EMPTY = len(wire.pack_message(Message())[1])


@pytest.fixture
def ends():
    """A socket for each side."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def line(ends):
    """The examiner's end of the connection."""
    return proxies.Line(ends[0])


@pytest.fixture
def ask(ends, line):
    """Makes stand-ins for functions that run on the other side of a socket."""
    ours, theirs = ends
    kept, lesson = {}, Lesson({})

    def serve():
        try:
            while True:
                student_side.answer(theirs, lesson, kept)
        except TransportError:
            pass

    def make(function, **names):
        lesson.namespace.update(names, function=function)
        lesson.keep(list(names))
        return proxies.make_stand_in(line, "function")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield make
    ours.shutdown(socket.SHUT_RDWR)
    thread.join(10)


VALUES = [
    None,
    True,
    -3,
    2.5,
    float("inf"),
    "text",
    [1, (2, "x"), {"a": None, 3: [4.0]}],
    np.arange(6.0, dtype=np.float32).reshape(2, 3),
    np.zeros((0, 2), dtype=bool),
    np.float64(0.25),
    np.int64(7),
    torch.arange(4, dtype=torch.int64),
    torch.tensor(1.5, dtype=torch.bfloat16),
    {"layer4": torch.full((1, 2, 3), 0.5)},  # an id of it that two processes agree on
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_plain_values_arrive_as_they_were(value, ends):
    message = Message()
    message.header["value"] = encode(value, message)
    send_message(ends[0], message)
    arrived = receive_message(ends[1], trusted=False)
    got = decode(arrived.header["value"], arrived)
    assert repr(got) == repr(value) and type(got) is type(value)


def test_a_tensor_keeps_what_tests_look_at(ends):
    values = [
        torch.randn(2, 3, requires_grad=True),
        nn.Parameter(torch.randn(2)),
        torch.randn(2).as_subclass(ElsewhereTensor),
    ]
    message = Message()
    message.header["value"] = encode(values, message)
    got = decode(message.header["value"], message)
    assert [v.requires_grad for v in got] == [True, True, False]
    assert isinstance(got[1], nn.Parameter) and got[2].device.type == "cuda"


class Equal:
    """Claims to be whatever it is compared with."""

    def __eq__(self, other):
        return True

    def __array__(self, *_):
        return np.ones(3)


@pytest.mark.parametrize(
    "value",
    [
        Equal(),
        object(),
        lambda: 0,
        np.array([Equal()], dtype=object),
        torch.zeros(2, device="meta"),
        np.zeros(2**24 + 1),
        10**400,
        "x" * 20_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_else_arrives_as_a_description(value):
    message = Message()
    got = decode(encode(value, message), message)
    assert isinstance(got, values.Foreign) and not message.tensors
    assert type(got).__eq__ is object.__eq__  # not the value's own, which may lie
    assert type(got).__name__ == type(value).__name__ and len(repr(got)) <= 200


def test_a_value_that_contains_itself_arrives_as_a_description():
    value = []
    value.append(value)
    assert encode(value, Message())["kind"] == "foreign"


def test_subclasses_are_taken_for_what_they_hold():
    class Liar(float):
        def __sub__(self, other):
            return 0.0

    class LyingArray(np.ndarray):
        def __eq__(self, other):
            return True

    message = Message()
    array = np.zeros(3).view(LyingArray)
    got = decode(encode([Liar(3.0), array], message), message)
    assert isinstance(got[0], values.Foreign) and type(got[1]) is np.ndarray


def send_raw(link: socket.socket, *parts: bytes, lengths=None) -> None:
    """Sends four parts as they are."""
    link.sendall(LENGTHS.pack(*(lengths or map(len, parts))) + b"".join(parts))
    link.shutdown(socket.SHUT_WR)


GOOD = wire.pack_message(Message())
BAD = {
    "no JSON": (b"{", *GOOD[1:]),
    "no dict": (b"[]", *GOOD[1:]),
    "deep JSON": (b"[" * 100_000, *GOOD[1:]),
    "a long number": (b'{"a": ' + b"9" * 10_000 + b"}", *GOOD[1:]),
    "a pickle": (b"{}", pickle.dumps(nn.ReLU()), *GOOD[2:]),
    "a network": (*GOOD[:3], pickle.dumps(nn.ReLU())),
    "nothing": (),
}


@pytest.mark.parametrize("parts", BAD.values(), ids=BAD.keys())
def test_what_is_no_message_is_refused(parts, ends):
    if parts:
        send_raw(ends[0], *parts)
    else:
        ends[0].close()
    with pytest.raises(TransportError):
        receive_message(ends[1], trusted=False)


def test_a_message_that_is_too_long_is_refused_before_it_is_read(ends):
    send_raw(ends[0], lengths=(2**60, 0, 0, 0))
    with pytest.raises(TransportError, match="is not taken"):
        receive_message(ends[1], trusted=False)


@pytest.mark.parametrize(
    "structure",
    [
        None,
        {},
        {"kind": "module"},
        {"kind": "plain", "value": {}},
        {"kind": "tensor", "name": "0"},
        {"kind": "list", "items": [{"kind": "plain", "value": 0}] * 20_000},
        {"kind": "dict", "items": [[{"kind": "list", "items": []}] * 2]},
        {"kind": "list", "items": "ab"},
    ],
    ids=lambda structure: json.dumps(structure)[:40],
)
def test_a_header_that_describes_no_value_is_refused(structure):
    with pytest.raises(TransportError):
        decode(structure, Message())


def test_a_call_returns_and_raises_what_the_function_does(ask):
    def raise_it(kind):
        raise {
            "key": KeyError("layer9"),
            "own": OwnError("mine"),
            "exit": SystemExit(0),
        }[kind]

    class OwnError(ValueError):
        pass

    assert ask(lambda a, b=1: a + b)(2, b=3) == 5
    function = ask(raise_it)
    with pytest.raises(KeyError, match="^'layer9'$"):
        function("key")
    with pytest.raises(ValueError, match="mine") as caught:
        function("own")
    assert type(caught.value).__name__ == "OwnError"
    with pytest.raises(SystemExit):
        proxies.observe(function, "exit")
    assert isinstance(proxies.observe(function, "own").error, ValueError)


def test_a_function_that_is_not_there_is_missed_by_its_name(ask, line):
    with pytest.raises(TypeError):
        ask(None)()
    missing = proxies.make_stand_in(line, "grad_cam")
    with pytest.raises(NameError, match="name 'grad_cam' is not defined"):
        missing(1)


def test_a_network_keeps_what_calls_do_to_it_until_the_examiner_changes_it(ask):
    net, image = make_net(seed=1), make_image(seed=2)
    net.layer4.register_forward_hook(lambda *_: None)

    def look(net, image):
        hooks, mode = len(net.layer4._forward_hooks), net.training
        net.train()
        net.layer4.register_forward_hook(lambda *_: None)
        return hooks, mode, net.fc.bias[0].item(), net.fc.bias.requires_grad

    function, bias = ask(look), net.fc.bias[0].item()
    assert function(net, image) == (1, False, bias, True)
    assert function(net, image) == (2, True, bias, True)
    assert not net.training and len(net.layer4._forward_hooks) == 1
    net.requires_grad_(False)
    net.fc.bias[0] = 3.0
    assert function(net, image) == (1, False, 3.0, False)


def test_side_effects_are_reported(ask):
    def act(net, image):
        net(image)
        net.stem.train()
        net.stem[1].running_mean += 1
        net.layer4.register_forward_hook(lambda *_: None)
        net.fc.requires_grad_(False)
        net(image).sum().backward()
        image += 1

    net, image = make_net(seed=1), make_image(seed=2)
    call = proxies.observe(ask(act), net, image)
    assert call.forward_passes == 2 and call.hooks_left == 1 and not call.hooks_lost
    assert "stem.1" in call.modes_changed and call.inputs_changed == [1]
    assert "stem.1.running_mean" in call.state_changed
    assert "layer4.0.weight" in call.gradients_changed
    assert not net.fc.weight.requires_grad  # a test may look
    assert net.stem.training is False and torch.equal(image, make_image(seed=2))


def test_a_lesson_s_model_goes_by_its_name(ask, line):
    model = nn.Sequential(nn.Conv2d(1, 1, 1))

    class Theirs(nn.Module):
        pass

    function = ask(lambda model: type(model).__name__, model=Theirs())
    proxies.connect(line, {"model": model}, [], "model = load()")
    assert function(model) == "Theirs"


def test_a_network_of_the_test_s_own_layers_is_refused(ask):
    class Secret(nn.Module):
        pass

    with pytest.raises(TypeError, match="made of torch.nn's own layers"):
        ask(lambda net: 0)(nn.Sequential(Secret()))


def test_gradients_are_off_there_if_they_are_off_here(ask):
    function = ask(torch.is_grad_enabled)
    with torch.no_grad():
        assert function() is False
    assert function() is True


def test_forged_answers_to_no_question_are_passed_over(ends):
    forged = Message({"number": "0", "result": {"kind": "plain", "value": "forged"}})
    for _ in range(3):
        send_message(ends[1], forged)
    lesson = Lesson({"function": lambda: "true"})
    thread = threading.Thread(target=student_side.answer, args=(ends[1], lesson, {}))
    thread.start()
    function = proxies.make_stand_in(proxies.Line(ends[0]), "function")
    assert function() == "true"
    thread.join()


EFFECTS = {
    **dict.fromkeys(("forward_passes", "hooks_left", "hooks_lost"), 0),
    **{f"{name}_changed": [] for name in ("modes", "state", "inputs", "gradients")},
}
ERROR = {"type": "Own", "base": "ValueError", "arguments": ["no"], "traceback": ""}
LONG = "x" * 20_000


def reply_with(link: socket.socket, change: dict) -> None:
    """Answers a question with a good reply, but for a change."""
    question = receive_message(link, trusted=True)
    good = {
        "number": question.header["number"],
        "result": {"kind": "plain", "value": 1},
        "error": None,
        "requires_grad": {},
        "effects": EFFECTS,
    }
    reply = {k: v for k, v in (good | change).items() if v is not Ellipsis}
    send_message(link, Message(reply))


def call_with(ends, change: dict):
    """Calls a function whose reply is valid but for one change."""
    thread = threading.Thread(target=reply_with, args=(ends[1], change))
    thread.start()
    try:
        return proxies.make_stand_in(proxies.Line(ends[0]), "function")()
    finally:
        thread.join()


def test_a_reply_of_the_promised_form_is_taken(ends):
    assert call_with(ends, {}) == 1
    with pytest.raises(ValueError, match="no") as caught:
        call_with(ends, {"error": ERROR})
    assert type(caught.value).__name__ == "Own"


@pytest.mark.parametrize(
    "change",
    [
        {"effects": {}},
        {"effects": None},
        {"effects": EFFECTS | {"hooks_left": True}},
        {"effects": EFFECTS | {"hooks_left": {"__eq__": True}}},
        {"effects": EFFECTS | {"modes_changed": [1]}},
        {"effects": EFFECTS | {"inputs_changed": ["0"]}},
        {"effects": EFFECTS | {"state_changed": ["x"] * 5000}},
        {"effects": EFFECTS | {"state_changed": [LONG]}},
        {"effects": EFFECTS | {"result": 1}},
        {"effects": ...},
        {"error": ERROR | {"base": "open"}},
        {"error": ERROR | {"base": "object"}},
        {"error": ERROR | {"base": 5}},
        {"error": ERROR | {"type": None}},
        {"error": ERROR | {"arguments": [[]]}},
        {"error": ERROR | {"arguments": [0] * 50}},
        {"error": ERROR | {"arguments": [LONG]}},
        {"error": ERROR | {"traceback": LONG}},
        {"error": ERROR | {"__class__": "x"}},
        {"error": {}},
        {"error": "no"},
        {"error": 0},
        {"error": ...},
        {"requires_grad": 1},
        {"requires_grad": {"0": "yes"}},
        {"requires_grad": {"0": {"weight": 1}}},
        {"requires_grad": {str(n): True for n in range(5000)}},
        {"result": {"kind": "plain", "value": []}},
        {"result": None},
        {"result": ...},
        {"more": 1},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_reply_of_another_form_is_refused(change, ends):
    with pytest.raises(TransportError):
        call_with(ends, change)


@pytest.mark.parametrize("name", wire.OUR_ERRORS)
def test_no_student_s_error_has_the_name_of_one_of_the_grader_s(name, ends):
    with pytest.raises(ValueError, match="no") as caught:
        call_with(ends, {"error": ERROR | {"type": name}})
    assert type(caught.value) is ValueError


def test_the_names_that_decide_about_a_failure_are_the_grader_s_own():
    assert {*failures.TOO_LATE, failures.GONE} == {*wire.OUR_ERRORS}


def test_who_closes_the_link_is_gone(ends):
    ends[1].close()
    with pytest.raises(wire.GoneError):
        proxies.make_stand_in(proxies.Line(ends[0]), "function")()
