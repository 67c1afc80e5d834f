"""What is kept of a cell's outputs: one form of a figure, and only what is plain."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell, new_output

from courseai_helpers.grading.steps.messages import clean_cell
from courseai_helpers.grading.submissions.outputs import has_picture, read_outputs
from courseai_helpers.plots.figure import make_picture


@pytest.fixture(scope="module")
def figure() -> dict[str, str]:
    """The data that a figure of the lesson puts out."""
    InteractiveShell.instance()
    with capture_output() as shown:
        make_picture(1, 1, 'A <b> & a "c".')._ipython_display_()
    return shown.outputs[0].data


def test_a_figure_goes_out_in_two_forms_and_one_is_kept(figure):
    assert {*figure} == {"text/html", "text/plain", "image/jpeg"}
    cell = new_code_cell(outputs=[new_output("display_data", data=figure)])
    clean_cell(cell)
    (run,) = cell.outputs
    (handed_in,) = read_outputs([new_output("display_data", data=figure)])
    for output in (run, handed_in):
        assert {*output.data} == {"text/html", "text/plain"}
        assert has_picture([output])


@pytest.mark.parametrize("page", ["<b>bold</b>", "<img src='data:image/png;base64,'>"])
def test_a_picture_stays_beside_other_html(figure, page):
    data = figure | {"text/html": page}
    cell = new_code_cell(outputs=[new_output("display_data", data=data)])
    clean_cell(cell)
    assert cell.outputs[0].data == data
