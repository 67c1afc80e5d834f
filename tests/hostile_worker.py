"""What a worker does that somebody has taken over; a Dask worker loads it first.

A submission chooses the attack: its answers have `attack = "name"` in them. Those that
choose none are executed as they should be.
"""

import json
import os
import pickle
import re
from pathlib import Path

from distributed import get_worker

from courseai_helpers.grading.cluster import execution

ATTACKS = {}
# Dask loads this module twice.
honest = vars(execution).setdefault("honest", execution.answer_packed)


class Bomb:
    """Runs code wherever it is unpickled, and notes in which program."""

    def __reduce__(self):
        code = (
            "import os\n"
            "command = open('/proc/self/cmdline').read().replace('\\0', ' ')\n"
            f"open({os.getcwd()!r} + '/bombs', 'a').write(command + '\\n')"
        )
        return exec, (code,)


class BombError(Exception, Bomb):
    """The same as an exception."""

    __reduce__ = Bomb.__reduce__


def attack(function):
    """Enters an attack by the name of its function."""
    ATTACKS[function.__name__] = function
    return function


@attack
def a_pickle(reply):
    return Bomb()


@attack
def an_exception(reply):
    raise BombError


@attack
def an_event(reply):
    worker = get_worker()
    for topic in ("print", "warn"):
        worker.log_event(topic, {"args": ("\x1b]0;owned\x07",), "message": b"printed"})
        bomb = pickle.dumps(Bomb())
        worker.log_event(topic, {"message": bomb, "category": bomb, "args": ("owned",)})
    return json.dumps(reply).encode()


@attack
def another_student(reply):
    return json.dumps(reply | {"student": "honest"}).encode()


@attack
def another_notebook(reply):
    reply["notebooks"]["other"] = reply["notebooks"]["small"]
    return json.dumps(reply).encode()


@attack
def no_notebook(reply):
    return json.dumps(reply | {"notebooks": {}}).encode()


@attack
def more_cells(reply):
    reply["notebooks"]["small"]["cells"] *= 2
    return json.dumps(reply).encode()


@attack
def unknown_cells(reply):
    failure = {"cause": "error", "message": "x"}
    reply["notebooks"]["small"]["causes"] = {"../../gradebook": failure}
    return json.dumps(reply).encode()


@attack
def unknown_causes(reply):
    failure = {"cause": "<script>", "message": "x"}
    reply["notebooks"]["small"]["causes"] = {"test_triple": failure}
    return json.dumps(reply).encode()


@attack
def scores(reply):
    return json.dumps(reply | {"scores": {"test_double_one": 100}}).encode()


@attack
def metadata(reply):
    reply["notebooks"]["small"]["metadata"] = {"courseai_audit": ["all is well"]}
    return json.dumps(reply).encode()


@attack
def new_source(reply):
    reply["notebooks"]["small"]["cells"][0]["source"] = "print('mine')"
    return json.dumps(reply).encode()


@attack
def too_much(reply):
    return b'"' + b"x" * 2**27 + b'"'


@attack
def no_json(reply):
    return b"{"


@attack
def no_bytes(reply):
    return reply


@attack
def not_a_number(reply):
    return json.dumps(reply | {"seconds": float("nan")}).encode()


@attack
def endless_time(reply):
    return json.dumps(reply).replace('"seconds": 1', '"seconds": 1e999').encode()


@attack
def deep_nesting(reply):
    return b"[" * 10**6


@attack
def long_number(reply):
    return b"9" * 10**6


@attack
def control_characters(reply):
    return json.dumps({"error": "\x1b]0;owned\x07\x1b[2J\r\n" + "x" * 10**6}).encode()


@attack
def odd_outputs(reply):
    """Malformed outputs must cost only the student whose submission it is."""
    odd = [
        {"output_type": "stream", "name": "stdout", "text": {"a": 1}},
        {"output_type": "stream", "name": "stdout", "text": "\ud800"},
        {"output_type": "error", "ename": ["\ud800"], "evalue": None},
        {"output_type": "display_data", "data": {"text/html": 5}, "metadata": None},
        {"output_type": "execute_result", "data": {"text/plain": "1000"}},
        {"output_type": None},
        {},
    ]
    cells = [{"outputs": odd, "execution_count": -(10**9)} for _ in range(5)]
    failure = {"cause": "error", "message": "\ud800" * 10**6}
    notebook = {"cells": cells, "causes": {"test_triple": failure}}
    return json.dumps({"seconds": 1, "notebooks": {"small": notebook}}).encode()


def answer_packed(packed: bytes) -> object:
    """Answers as the submission wants it."""
    found = re.search(rb'attack = \\+"(\w+)', packed)
    if not found:
        return honest(packed)
    with Path("received").open("ab") as file:
        file.write(packed)
    cells = [{"outputs": [], "execution_count": None} for _ in range(5)]
    notebook = {"cells": cells, "causes": {}}
    reply = {"seconds": 1, "notebooks": {"small": notebook}}
    return ATTACKS[found[1].decode()](reply)


execution.answer_packed = answer_packed
