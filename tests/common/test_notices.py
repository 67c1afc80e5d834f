"""Notices: on the page or on stdout, never on stderr, readable by everyone."""

import nbformat
from local_server import serve
from nbclient import NotebookClient

from courseai_helpers._common.notices import show_notice


def test_outside_a_notebook_a_notice_is_printed(capfd):
    show_notice("The photo <cat> is not here.")
    assert capfd.readouterr() == ("Notice: The photo <cat> is not here.\n", "")


def test_in_a_notebook_a_notice_is_a_note_for_screen_readers_too():
    cell = nbformat.v4.new_code_cell(
        "from courseai_helpers._common.notices import show_notice\nshow_notice('a < b')"
    )
    (output,) = run_cell(cell)
    assert output.output_type == "display_data"
    assert output.data["text/plain"] == "Notice: a < b"
    assert 'role="note"' in output.data["text/html"]
    assert "a &lt; b" in output.data["text/html"]


def test_in_a_notebook_trouble_leaves_nothing_on_stderr():
    with serve() as server:
        url = server.add("/resnet18-0.pth", bytes(1_000_000))
        cell = nbformat.v4.new_code_cell(
            "import os\n"
            "del os.environ['COURSEAI_OFFLINE']\n"
            "from courseai_helpers.models import weights\n"
            "from courseai_helpers.images import ImageError, load_image, load_photo\n"
            f"weights.WEIGHTS_URL = {url!r}\n"
            "weights.load_resnet18()\n"
            "load_photo('cat')\n"
            "for data in (b'', b'GIF89a' + b'\\xff' * 50, b'\\xff\\xd8\\xff\\xe0'):\n"
            "    try:\n"
            "        load_image(data)\n"
            "    except ImageError:\n"
            "        print('refused')\n"
        )
        outputs = run_cell(cell)
    streams = [output for output in outputs if output.output_type == "stream"]
    assert {output.name for output in streams} == {"stdout"}
    assert "".join(output.text for output in streams).count("refused") == 3
    pages = [o.data.get("text/html", "") for o in outputs if "data" in o]
    assert any("its hash is not the expected one" in page for page in pages)


def run_cell(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120).execute()
    return notebook.cells[0].outputs
