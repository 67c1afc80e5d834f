"""The bank of student work, judged by the examiner from another process.

By default every seventh entry is; `-m long` judges all.
"""

import pytest
from bank import EXERCISES, judge, prepare, print_table, read_cells, read_entries
from bank import run_entry_examined as examine


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_every_entry_is_judged_as_in_one_process(step, capsys, show_table):
    cells = read_cells()
    entries = [entry for name in EXERCISES for entry in read_entries(name)][::step]
    verdicts = list(judge(entries, cells, prepare(cells), run=examine))
    print_table(verdicts, 0)
    show_table(capsys.readouterr().out)
    assert [f"{v.entry}: {v.trouble}" for v in verdicts if v.trouble] == []
