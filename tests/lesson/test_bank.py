"""The test cells tell right work from wrong, and each of their assertions is needed."""

import copy
import re
from collections import Counter

import pytest
from bank import (
    EXERCISES,
    Verdict,
    judge,
    prepare,
    print_table,
    read_cells,
    read_entries,
    select_tests,
)
from mutations import find_redundant

from courseai_helpers.testing.setup import note_network

# Every message says this, in this order: "expected zeros, got NaN", "expected the
# weights to stay as they were, but they changed".
EXPECTED_AND_GOT = re.compile(r"\bexpected \S.*?, (got|but:?) \S", re.DOTALL)


@pytest.fixture(scope="module")
def cells() -> dict[str, str]:
    """The code cells of the authored notebook."""
    return read_cells()


@pytest.fixture(scope="module")
def namespace(cells) -> dict:
    """What the cells before an exercise define."""
    return prepare(cells)


@pytest.fixture(scope="module")
def verdicts(cells, namespace) -> list[Verdict]:
    """What the test cells say about every entry of the bank."""
    entries = [entry for name in EXERCISES for entry in read_entries(name)]
    return list(judge(entries, cells, namespace))


def test_every_entry_is_judged_rightly(verdicts, capsys, show_table):
    print_table(verdicts, 0)
    show_table(capsys.readouterr().out)
    assert [f"{v.entry}: {v.trouble}" for v in verdicts if v.trouble] == []


def test_the_bank_is_large_and_no_entry_is_there_twice(verdicts):
    counts = Counter(bool(verdict.entry.caught_by) for verdict in verdicts)
    assert counts[False] >= 40 and counts[True] >= 110
    codes = Counter(verdict.entry.code for verdict in verdicts)
    assert codes.most_common(1)[0][1] == 1


def test_entries_name_test_cells_that_are_there(cells, verdicts):
    for verdict in verdicts:
        tests = select_tests(cells, verdict.entry.exercise)
        assert verdict.entry.caught_by <= tests.keys(), verdict.entry


def test_messages_say_what_was_expected_and_what_came(verdicts):
    for verdict in verdicts:
        for name, message in verdict.messages.items():
            if message.startswith("AssertionError"):
                text = f"{verdict.entry}, {name}: {message}"
                assert EXPECTED_AND_GOT.search(message), text
                assert len(message) < 500, text


@pytest.mark.long
def test_no_assertion_of_the_hidden_tests_is_redundant(cells, namespace):
    entries = [entry for name in EXERCISES for entry in read_entries(name)]
    assert list(map(str, find_redundant(cells, namespace, entries))) == []


def test_right_work_is_accepted_whatever_the_weights_and_the_photo(cells, namespace):
    import torch

    generator = torch.Generator().manual_seed(3)
    model = copy.deepcopy(namespace["model"])
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(noise * parameter.data.std(correction=0) * 0.3)
    note_network(model)  # as if the setup cell had loaded it
    photo = namespace["preprocess"](namespace["load_photo"]("rocket"))
    other = namespace | {"model": model, "img_tensor": photo}
    right = [e for name in EXERCISES for e in read_entries(name) if not e.caught_by]
    troubles = {str(v.entry): v.trouble for v in judge(right, cells, other)}
    note_network(namespace["model"])
    assert {entry: trouble for entry, trouble in troubles.items() if trouble} == {}
