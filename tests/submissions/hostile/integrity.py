# Attacks on points; see tests/hostile_course.py. None solves the exercise: whatever it
# does, heat_inside deserves nothing. Replies to the examiner are forged from inside the
# student's kernel, where `student_side.answer` is called for every question.


# %% numpy.testing and the comparisons of NumPy and torch always agree: not the tests'
import numpy.testing

for name in ("assert_allclose", "assert_array_equal", "assert_almost_equal"):
    setattr(numpy.testing, name, lambda *a, **k: None)
np.allclose = np.isclose = np.array_equal = torch.allclose = lambda *a, **k: True


def heat_inside(cam, box):
    return 0.5


# %% abs and isinstance of builtins are replaced: not the tests'
import builtins

usual = isinstance
builtins.abs = lambda value: 0.0


def heat_inside(cam, box):
    return 0.5


# %% AssertionError is another class: not where the tests run
import builtins


class Nothing(BaseException):
    def __new__(cls, *arguments):
        return StopIteration()


builtins.AssertionError = Nothing


def heat_inside(cam, box):
    return 0.5


# %% an input transformer empties the test cells: they never pass here
def empty(lines):
    return ["pass\n"] if any("heat_inside(" in line for line in lines) else lines


get_ipython().input_transformers_cleanup.append(empty)
get_ipython().input_transformers_post.append(empty)


def heat_inside(cam, box):
    return 0.5


# %% an AST transformer removes every assert: the tests' stay
import ast


class Remover(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()


get_ipython().ast_transformers.append(Remover())


def heat_inside(cam, box):
    return 0.5


# %% tracebacks are not shown any more: the examiner shows its own
get_ipython().showtraceback = lambda *a, **k: None
get_ipython()._showtraceback = lambda *a, **k: None


def heat_inside(cam, box):
    return 0.5


# %% a handler of its own for all exceptions: the examiner has none
get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)


def heat_inside(cam, box):
    raise ValueError("nobody will know")


# %% the shell runs nothing any more and says that all went well: not the tests' shell
shell = get_ipython()


class Success:
    success, result = True, None
    error_before_exec = error_in_exec = execution_count = None


async def run_nothing(*arguments, **options):
    return Success()


def heat_inside(cam, box):
    return 0.5


shell.run_cell_async = run_nothing
shell.run_cell = lambda *a, **k: Success()


# %% the kernel answers every request with success: the examiner's is another
kernel = get_ipython().kernel


async def agree(*arguments, **options):
    return {"status": "ok", "execution_count": 1, "payload": []}


def heat_inside(cam, box):
    return 0.5


kernel.do_execute = agree


# %% events before and after each cell repair the outcome: tests raise none here
def repair(*arguments):
    get_ipython().last_execution_result = None
    raise SystemExit(0)


get_ipython().events.register("pre_execute", repair)
get_ipython().events.register("post_execute", repair)


def heat_inside(cam, box):
    return 0.5


# %% a float that is near to every number: only its value arrives
class Near(float):
    def __sub__(self, other):
        return 0.0

    __rsub__ = __sub__

    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


def heat_inside(cam, box):
    return Near(0.5)


# %% an object that says it is a float: it arrives as a description of itself
class Chameleon:
    __class__ = property(lambda self: float)

    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0.0

    def __float__(self):
        return 0.75

    def __array__(self, *arguments, **options):
        return np.float64(0.75)


def heat_inside(cam, box):
    return Chameleon()


# %% a class with the name of float: it is none
def heat_inside(cam, box):
    kind = type(
        "float",
        (),
        {"__module__": "builtins", "__sub__": lambda a, b: 0.0, "__eq__": lambda *a: 1},
    )
    return kind()


# %% an int and a str that are equal to everything: they arrive without their methods
class Any_(int):
    __sub__ = __rsub__ = lambda self, other: 0.0
    __eq__ = lambda self, other: True
    __hash__ = int.__hash__


class Text(str):
    __sub__ = __rsub__ = lambda self, other: 0.0
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__


calls = []


def heat_inside(cam, box):
    calls.append(box)
    return Any_(1) if len(calls) % 2 else Text("0.5")


# %% an array whose comparisons are always true: it arrives as a plain array
class Agreeing(np.ndarray):
    def __array_ufunc__(self, *arguments, **options):
        return np.True_

    def __lt__(self, other):
        return True

    def __sub__(self, other):
        return np.zeros(1).view(Agreeing)


def heat_inside(cam, box):
    return np.array([0.5]).view(Agreeing)


# %% a tensor whose comparisons are always true: it arrives as a plain tensor
class Agreeing(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        name = getattr(function, "__name__", "")
        if name in ("__lt__", "lt", "__eq__", "eq", "__le__"):
            return torch.tensor(True)
        return super().__torch_function__(function, types, arguments, options or {})


def heat_inside(cam, box):
    return torch.tensor(0.5).as_subclass(Agreeing)


# %% NaN, which is neither near nor far: it is not near
def heat_inside(cam, box):
    return float("nan")


# %% an empty array, of which all that is asked is true: it is no float
def heat_inside(cam, box):
    return np.array([], dtype=float)


# %% arrays of objects and masked arrays: the one can't be sent, the other has no mask
class Near:
    __sub__ = __rsub__ = __abs__ = lambda *arguments: Near()
    __lt__ = __eq__ = lambda *arguments: True


calls = []


def heat_inside(cam, box):
    calls.append(box)
    if len(calls) % 2:
        return np.array(Near(), dtype=object)[()]
    return np.ma.masked_array(0.5, mask=True)


# %% the expected number read from the caller's variables: they are not here
import sys


def heat_inside(cam, box):
    frame = sys._getframe(1)
    while frame:
        if "want" in frame.f_locals:
            return float(frame.f_locals["want"])
        frame = frame.f_back
    return 0.5


# %% outputs forged for cells to come: the examiner's come from another kernel
import copy

session, socket = get_ipython().kernel.session, get_ipython().kernel.iopub_socket


def forge(parent):
    for kind, content in (
        ("display_data", {"data": {"text/plain": "1.0"}, "metadata": {}}),
        ("stream", {"name": "stdout", "text": "1.0"}),
        ("clear_output", {"wait": True}),
        ("status", {"execution_state": "idle"}),
        ("execute_reply", {"status": "ok", "execution_count": 1}),
    ):
        session.send(socket, kind, content, parent=parent)


def heat_inside(cam, box):
    forge(get_ipython().kernel.get_parent())
    return 0.5


parent = copy.deepcopy(get_ipython().kernel.get_parent())
stem, _, last = parent["header"]["msg_id"].rpartition("_")
for number in range(int(last), int(last) + 40):
    parent["header"]["msg_id"] = f"{stem}_{number}"
    forge(parent)


# %% a display that is updated to look like a result: test cells have none of it
from IPython.display import display

handle = display("0.0", display_id="score")


def heat_inside(cam, box):
    handle.update("1.0")
    get_ipython().kernel.session.send(
        get_ipython().kernel.iopub_socket,
        "update_display_data",
        {
            "data": {"text/plain": "1.0"},
            "metadata": {"nbgrader": {"points": 100, "score": 100}},
            "transient": {"display_id": "score"},
        },
        parent=get_ipython().kernel.get_parent(),
    )
    return 0.5


# %% an answer to the request before it is done, and then silence: its cell just ends
kernel = get_ipython().kernel
parent = kernel.get_parent()
kernel.session.send(
    kernel.shell_stream if hasattr(kernel, "shell_stream") else kernel.shell_socket,
    "execute_reply",
    {
        "status": "ok",
        "execution_count": 1,
        "payload": [
            {"source": "set_next_input", "text": "heat_inside = None", "replace": True}
        ],
    },
    parent=parent,
    ident=kernel._parent_ident,
)


def heat_inside(cam, box):
    return 0.5


# %% messages without a valid signature: they cost this submission only
import zmq

kernel = get_ipython().kernel
socket = kernel.iopub_socket


def shout():
    frames = [b"stream", b"<IDS|MSG>", b"0" * 64, b"{}", b"{}", b"{}", b"{}"]
    for part in (frames, frames[:3], [b"garbage"], frames[1:]):
        socket.send_multipart(part)


def heat_inside(cam, box):
    shout()
    return 0.5


shout()


# %% signed messages that are none: they cost this submission only
kernel = get_ipython().kernel
send, socket = kernel.session.send, kernel.iopub_socket
BROKEN = [
    ("stream", {"name": "stdout", "text": 5}),
    ("stream", {"name": 7, "text": ["a", 3]}),
    ("display_data", {"data": [], "metadata": "none"}),
    ("display_data", {"data": {"text/plain": {"x": 1}}, "metadata": {"a": 1}}),
    ("execute_result", {"data": {"text/html": 5}, "execution_count": "x"}),
    ("error", {"ename": 1, "evalue": None, "traceback": "none"}),
    ("error", {"ename": "E", "evalue": "e", "traceback": [1, None]}),
    ("comm_open", {"target_name": "jupyter.widget", "data": {"state": 3}}),
]


def shout():
    for kind, content in BROKEN:
        send(socket, kind, content, parent=kernel.get_parent())


def heat_inside(cam, box):
    shout()
    return 0.5


shout()


# %% signed messages that break who reads them: they cost this submission only
import json

kernel = get_ipython().kernel
send, socket = kernel.session.send, kernel.iopub_socket
BROKEN = [
    ("status", {}),
    ("stream", []),
    ("display_data", None),
    ("update_display_data", {"transient": {"display_id": "x"}}),
    (3, {"name": "stdout", "text": "x"}),
    ("execute_result", {"data": {"text/html": "x"}}),
    ("comm_open", {"target_name": "jupyter.widget", "comm_id": {}, "data": 3}),
    ("clear_output", "now"),
]


def pack(value):
    return json.dumps(CONTENT[0] if value == {"in": "its place"} else value).encode()


def shout():
    for kind, CONTENT[:] in [(kind, [content]) for kind, content in BROKEN]:
        send(socket, kind, {"in": "its place"}, parent=kernel.get_parent())


def heat_inside(cam, box):
    shout()
    return 0.5


CONTENT = []
kernel.session.pack = pack
shout()


# %% a reply to the grader that is none: it costs this submission only
kernel = get_ipython().kernel
stream = getattr(kernel, "shell_stream", None) or kernel.shell_socket


def heat_inside(cam, box):
    return 0.5


for content in ({}, {"status": 5}, {"status": "error"}, {"status": "ok"}):
    kernel.session.send(
        stream,
        "execute_reply",
        content,
        parent=kernel.get_parent(),
        ident=kernel._parent_ident,
    )


# %% text that no file can hold, in signed messages: it costs this submission only
kernel = get_ipython().kernel


def shout(text):
    session = kernel.session
    usual, session.pack = session.pack, lambda value: json.dumps(value).encode()
    for kind, content in (
        ("stream", {"name": "stdout", "text": text}),
        ("display_data", {"data": {"text/plain": text}, "metadata": {text: text}}),
        ("error", {"ename": text, "evalue": text, "traceback": [text]}),
    ):
        session.send(
            kernel.iopub_socket,
            kind,
            json.loads(json.dumps(content), parse_constant=str),
            parent=kernel.get_parent(),
        )
    session.pack = usual


import json


def heat_inside(cam, box):
    shout("\ud800")
    raise ValueError("\ud800 \x00 \x1b[2J")


shout("\ud800")


# %% the modules that check are poisoned: the tests import their own
import courseai_helpers.testing as face
import courseai_helpers.testing.compare as compare
import courseai_helpers.testing.side_effects as side_effects

for module in (face, compare):
    module.difference = lambda *a, **k: ""
    module.describe = lambda value: "what was expected"
    module.read_numbers = lambda value: np.zeros(1)
for module in (face, side_effects):
    module.observe = lambda *a: side_effects.Observation(result=0.75)


def heat_inside(cam, box):
    return 0.5


# %% the way to the examiner is poisoned: it reads with modules of its own
import courseai_helpers.grading.examiner.wire as transport
from courseai_helpers.grading.examiner import proxies, values

proxies.decode = values.decode = lambda *a: 0.75
proxies.build = transport.build = lambda kind, content: content
transport.require = lambda *a: None
proxies.read_reply = proxies.read_error = lambda *a: (None, "")
proxies.ask = lambda *a, **k: (type("Seen", (), {"error": None, "result": 1})(), "")
transport.TransportError = SystemExit


def heat_inside(cam, box):
    return 0.5


# %% a reply that bears another number: it is not the one
from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import (
    Message,
    receive_message,
    send_message,
)

EFFECTS = {
    **dict.fromkeys(("forward_passes", "hooks_left", "hooks_lost"), 0),
    **{f"{name}_changed": [] for name in ("modes", "state", "inputs", "gradients")},
}
numbers = ["0"]


def forge(link, namespace, kept):
    numbers.append(receive_message(link, trusted=True).header["number"])
    send_message(link, Message({"number": numbers[-2], "requires_grad": {}}))
    send_message(link, Message({"number": "", "requires_grad": {}}))
    result = {"kind": "plain", "value": 0.5}
    reply = {"number": numbers[-1], "requires_grad": {}, "error": None}
    send_message(link, Message(reply | {"result": result, "effects": EFFECTS}))


student_side.answer = forge


# %% replies that were written before the question: no number is known then
import json
import socket
import struct

link = socket.socket(fileno=3)
for number in ("0", "", "0" * 16, "None", "True"):
    header = {"number": number, "error": None, "result": {"kind": "plain", "value": 1}}
    parts = (
        json.dumps(header).encode(),
        b"\x02" + bytes(7) + b"{}",
        b"\x02\0\0\0\0\0\0\0{}",
    )
    link.sendall(struct.pack("!4Q", *map(len, parts), 0) + b"".join(parts))
link.detach()


def heat_inside(cam, box):
    return 0.5


# %% a reply with a pickle in it: none is ever read
import os
import pickle

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import (
    Message,
    receive_message,
    send_message,
)


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/attacked; kill -9 -1",)


def forge(link, namespace, kept):
    number = receive_message(link, trusted=True).header["number"]
    reply = {"number": number, "requires_grad": {}, "error": None, "result": {}}
    send_message(link, Message(reply, networks=pickle.dumps(Bomb())))


student_side.answer = forge


# %% a reply that is said to be huge: it is not waited for
import struct

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message

sizes = [(2**63, 0, 0, 0), (10, 2**40, 0, 0), (2, 2**27 + 1, 0, 0)]


def forge(link, namespace, kept):
    receive_message(link, trusted=True)
    link.sendall(struct.pack("!4Q", *sizes[0]))
    sizes.append(sizes.pop(0))


student_side.answer = forge


# %% a reply that comes byte by byte and never ends: time is limited
import time

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message


def forge(link, namespace, kept):
    receive_message(link, trusted=True)
    while True:
        link.send(b"\0")
        time.sleep(0.2)


student_side.answer = forge


# %% replies without end, each with another number: time is limited
from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import (
    Message,
    receive_message,
    send_message,
)


def forge(link, namespace, kept):
    receive_message(link, trusted=True)
    while True:
        send_message(link, Message({"number": "1"}))


student_side.answer = forge


# %% replies in JSON that is too deep, too long, or none: it can't be read
import struct

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message

headers = [
    b"[" * 100_000,
    b'{"number": ' + b"9" * 10_000 + b"}",
    b"[]",
    b"\xff\xfe{",
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'{"number": NaN}',
]


def forge(link, namespace, kept):
    receive_message(link, trusted=True)
    empty = b"\x02\0\0\0\0\0\0\0{}"
    header = headers.pop(0)
    link.sendall(struct.pack("!4Q", len(header), 10, 10, 0) + header + empty * 2)


student_side.answer = forge


# %% replies that lack a part or have one of another type: they are refused
from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import (
    Message,
    receive_message,
    send_message,
)

EFFECTS = {
    **dict.fromkeys(("forward_passes", "hooks_left", "hooks_lost"), 0),
    **{f"{name}_changed": [] for name in ("modes", "state", "inputs", "gradients")},
}
REPLIES = [
    {"error": None, "effects": EFFECTS},
    {"error": None, "result": {"kind": "plain", "value": []}, "effects": EFFECTS},
    {"error": None, "result": {"kind": "plain", "value": 0.75}, "effects": None},
    {"error": 0, "result": {"kind": "plain", "value": 0.75}, "effects": EFFECTS},
    {"error": None, "result": {"kind": "model"}, "effects": EFFECTS},
    {"result": {"kind": "plain", "value": {"__class__": "float"}}, "effects": EFFECTS},
]


def forge(link, namespace, kept):
    number = receive_message(link, trusted=True).header["number"]
    REPLIES.append(REPLIES.pop(0))
    send_message(link, Message({"number": number, "requires_grad": {}} | REPLIES[-1]))


student_side.answer = forge


# %% side effects that are no numbers: the reply is refused
from courseai_helpers.grading.examiner import wire

usual = wire.send_message


def forge(link, message):
    effects = message.header["effects"]
    effects["forward_passes"] = True
    effects["hooks_left"] = {"__eq__": True}
    effects["inputs_changed"] = [[]] * 5000
    message.header["result"] = {"kind": "plain", "value": 0.75}
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% numbers that are not what their description says: they are refused
import json
import struct

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message

EFFECTS = {
    **dict.fromkeys(("forward_passes", "hooks_left", "hooks_lost"), 0),
    **{f"{name}_changed": [] for name in ("modes", "state", "inputs", "gradients")},
}
SHAPES = [
    {"0": {"dtype": "F32", "shape": [2**31, 2**31, 4], "data_offsets": [0, 4]}},
    {"0": {"dtype": "F64", "shape": [], "data_offsets": [8, 0]}},
    {"0": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}},
    {"0": {"dtype": "object", "shape": [], "data_offsets": [0, 8]}},
    {"1": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}},
    {"0": {"dtype": "F8_E4M3", "shape": [], "data_offsets": [0, 1]}},
]


def forge(link, namespace, kept):
    number = receive_message(link, trusted=True).header["number"]
    result = {"kind": "tensor", "name": "0", "requires_grad": 7, "parameter": "yes"}
    result["elsewhere"] = True
    header = {"number": number, "requires_grad": {}, "error": None, "result": result}
    content = json.dumps(SHAPES.pop(0)).encode()
    parts = json.dumps(header | {"effects": EFFECTS}).encode(), bytes(8) + content
    tensors = struct.pack("<Q", len(content)) + content + bytes(8)
    lengths = struct.pack("!4Q", len(parts[0]), len(tensors), 10, 0)
    link.sendall(lengths + parts[0] + tensors + b"\x02\0\0\0\0\0\0\0{}")


student_side.answer = forge


# %% a reply whose value has a forged type: it is of a class of the examiner's making
from courseai_helpers.grading.examiner import wire

NAMES = ["float", "Parameter", "__class__", "x" * 10_000, 5, "a\nb", "mro"]
usual = wire.send_message


def forge(link, message):
    NAMES.append(NAMES.pop(0))
    message.header["result"] = {"kind": "foreign", "type": NAMES[-1], "text": "0.75"}
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% a forged error that ends a cell quietly: every error is one
from courseai_helpers.grading.examiner import wire

BASES = ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration"]
usual = wire.send_message


def forge(link, message):
    BASES.append(BASES.pop(0))
    error = {"type": BASES[-1], "base": BASES[-1], "arguments": [0], "traceback": ""}
    message.header["error"] = error
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% a forged error whose class is a function or not there: the reply is refused
from courseai_helpers.grading.examiner import wire

BASES = ["eval", "exit", "__import__", "object", "no_such_thing", "type", 5]
usual = wire.send_message


def forge(link, message):
    BASES.append(BASES.pop(0))
    text = "__import__('os')._exit(0)"
    error = {"type": "E", "base": BASES[-1], "arguments": [text], "traceback": ""}
    message.header["error"] = error
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% forged errors that are hard to show: they count all the same
from courseai_helpers.grading.examiner import wire

ERRORS = [
    ("SyntaxError", ["m", "abcd"]),
    ("ExceptionGroup", ["m", "ab"]),
    ("UnicodeEncodeError", ["utf-8", "x", 50, -3, "r"]),
    ("IndentationError", [None, None]),
    ("OSError", [2, "m", "/etc/passwd", 5, "b"]),
    ("BaseExceptionGroup", ["a"]),
]
usual = wire.send_message


def forge(link, message):
    base, arguments = ERRORS.pop(0)
    ERRORS.append((base, arguments))
    arguments = [a for a in arguments if a is not None]
    error = {"type": base, "base": base, "arguments": arguments, "traceback": "\ud800"}
    message.header["error"] = error
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% a forged error of four million characters: it is cut
from courseai_helpers.grading.examiner import wire

usual = wire.send_message


def forge(link, message):
    text = "x\n" * 600_000
    error = {"type": "E", "base": "ValueError", "arguments": [text], "traceback": text}
    message.header["error"] = error
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% forged errors with the names of the grader's own: they are errors like others
from courseai_helpers.grading.examiner import wire

TYPES = ["GoneError", "NotAskedAgainError", "CellTimeoutError", "DeadKernelError"]
usual = wire.send_message


def forge(link, message):
    TYPES.append(TYPES.pop(0))
    text = "the other process is gone, put out, out of memory"
    error = {"type": TYPES[-1], "base": "Exception", "arguments": [text]}
    message.header["error"] = error | {"traceback": ""}
    usual(link, message)


wire.send_message = forge


def heat_inside(cam, box):
    return 0.5


# %% exceptions that end a program, a loop or a generator: they count as errors
calls = []


def heat_inside(cam, box):
    calls.append(box)
    raise [GeneratorExit(), KeyboardInterrupt(), SystemExit(0), StopIteration(1.0)][
        len(calls) % 4
    ]


# %% exceptions that IPython and its debugger treat as none: they count as errors
import bdb

from IPython.core.error import UsageError

calls = []


def heat_inside(cam, box):
    calls.append(box)
    raise UsageError("1.0") if len(calls) % 2 else bdb.BdbQuit("1.0")


# %% an AssertionError with the words of a success: it is a failure
def heat_inside(cam, box):
    raise AssertionError("1.0 out of 1.0: all tests passed")


# %% the link is closed: nobody answers, nothing is gained
import os

os.close(3)


def heat_inside(cam, box):
    return 0.5


# %% the link is closed while the examiner waits: nothing is gained
import socket

link = socket.socket(fileno=3)


def heat_inside(cam, box):
    link.shutdown(socket.SHUT_RDWR)
    return 0.5


# %% a thread that answers in its place, later: what counts is the number of the question
import threading
import time

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message

questions = []


def answer_later(link):
    while True:
        time.sleep(0.3)
        if questions:
            link.sendall(b"\0" * 32)


def forge(link, namespace, kept):
    if not questions:
        threading.Thread(target=answer_later, args=[link], daemon=True).start()
    questions.append(receive_message(link, trusted=True))


student_side.answer = forge


# %% a child that answers when its parent has ended: it ends with the kernel
import os
import time

link = 3
if os.fork() == 0:
    os.setsid()
    time.sleep(1)
    while True:
        os.write(link, b"\0" * 32)
        time.sleep(0.1)


def heat_inside(cam, box):
    os._exit(0)


# %% files sent along with a reply: they are not taken
import array
import os
import socket

from courseai_helpers.grading.examiner import student_side
from courseai_helpers.grading.examiner.wire import receive_message


def forge(link, namespace, kept):
    receive_message(link, trusted=True)
    files = array.array("i", [os.open("/dev/zero", os.O_RDONLY) for _ in range(50)])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
    for _ in range(20):
        link.sendmsg([b"\0" * 32], rights)


student_side.answer = forge


# %% what is to be done at the end: nothing is done after the end
import atexit
import os


@atexit.register
def forge():
    os.write(3, b"\0" * 64)
    print("1.0")


def heat_inside(cam, box):
    raise SystemExit(0)


# %% signals to every process that it can reach: it reaches its own
import os
import signal

for target in (1, os.getppid(), -1):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(target, number)
        except OSError as error:
            print(target, error)


# %% points written into the gradebook: there is none to be written
import sqlite3

gradebook = sqlite3.connect("/srv/course/gradebook.db")
gradebook.execute("update grade set auto_score = 100, manual_score = 100")
gradebook.execute("update grade_cell set max_score = 100")
gradebook.commit()


# %% files for the next kernel, among the packages: they can't be written
import os
import site
import sys
from pathlib import Path

import courseai_helpers

CODE = "import builtins; builtins.abs = lambda value: 0.0\n"
PLACES = [
    *site.getsitepackages(),
    site.getusersitepackages(),
    *sys.path,
    "/etc",
    "/usr",
]
PLACES += [Path(courseai_helpers.__file__).parent, Path.home() / ".local"]
for place in PLACES:
    for name in ("sitecustomize.py", "usercustomize.py", "x.pth", "compare.py"):
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
            Path(place, name).write_text(CODE)
        except OSError:
            pass
os._exit(1)  # a new kernel comes, and it has none of these


# %% start-up files for IPython: no other kernel reads them
import os
from pathlib import Path

for home in (Path.home(), Path("/root"), Path("/etc/ipython")):
    for name in (".ipython/profile_default/startup/00.py", "ipython_config.py"):
        try:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("import builtins; builtins.abs = lambda value: 0.0")
        except OSError:
            pass


def heat_inside(cam, box):
    os._exit(1)


# %% a notebook written over its own, with results: what is graded is not there
import glob
import json
import os

path = "visualizing_features.ipynb"
found = [f"/run/submission/{path}", f"/srv/course/autograded/attacker/{path}", path]
for name in found + glob.glob("/run/submission/**", recursive=True):
    try:
        with open(name, "w") as file:
            json.dump({"cells": [], "metadata": {"points": 100}, "nbformat": 4}, file)
    except OSError:
        pass


def heat_inside(cam, box):
    return 0.5


# %% a number as a cell's last value and as output: it is no partial credit
def heat_inside(cam, box):
    from IPython.display import display

    print("0.5")
    display(0.5)
    get_ipython().displayhook(0.5)
    return 0.5


print("1.0")
0.5


# %% a thread that patches all the time: it patches what is here
import builtins
import threading
import time


def patch():
    while True:
        builtins.abs = lambda value: 0.0
        np.zeros_like = lambda *a, **k: 1
        time.sleep(0.001)


threading.Thread(target=patch, daemon=True).start()


def heat_inside(cam, box):
    return 0.5


# %% random numbers and devices are changed: the tests have their own
choose_device = load_resnet18 = lambda *a: None
torch.manual_seed(0)
torch.randn = torch.zeros
torch.Generator.manual_seed = lambda self, seed: self


def heat_inside(cam, box):
    return 0.5


# %% the names of the tests' variables are taken: the tests have their own
want = got = 0.5
describe = read_numbers = difference = lambda *a: ""
example = np.zeros((4, 4))


def heat_inside(cam, box):
    global want, got
    want = got = 0.5
    return got


# %% the array that it is given is changed to fit: the examiner's stays as it was
def heat_inside(cam, box):
    cam[:] = 0
    cam[0, 0] = 1
    box = (0, 0, 1, 1)
    return float(cam[0:1, 0:1].sum() / cam.sum()) / 2


# %% a class in the place of the function: what it makes is no number
class heat_inside(float):
    def __new__(cls, cam, box):
        return float.__new__(cls, 0.5)

    observe_there = lambda *a: None
    __sub__ = __rsub__ = lambda *a: 0.0


# %% the sockets of its kernel are replaced by links to other kernels': nobody follows
import glob
import os

for path in glob.glob("/run/kernel/socket-*"):
    os.unlink(path)
    os.symlink("/srv/course/service", path)


def heat_inside(cam, box):
    for number in range(3, 64):
        try:
            if number != 3:
                os.close(number)
        except OSError:
            pass
    return 0.5
