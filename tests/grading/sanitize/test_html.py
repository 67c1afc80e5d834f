"""What remains of hostile texts and outputs after cleaning."""

from html.parser import HTMLParser

import nbformat
import pytest
from hostile_pages import CLICKED, MARKDOWN, OUTPUTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from courseai_helpers.grading.sanitize.html import (
    ATTRIBUTES,
    TAGS,
    clean_html,
    disarm_markdown,
    render_markdown,
)
from courseai_helpers.grading.sanitize.notebook import HarmlessNotebook

RED = draw("red")
PARTS = [
    *MARKDOWN.values(), *CLICKED.values(), "<", ">", "</", "<!--", "-->", "<![CDATA[",
    "`",
    "```", "~~~html\n", "$", "$$", "\\", "\n", "\n\n", "    ", "|", "](", "]:", "[",
    "![",
    ")", "attachment:", f"data:image/png;base64,{RED}", "javascript:x", "&lt;", "&#60;",
    "&#106;", "<img ", " src=", " onerror=x", "<b>", "</b>", "<p", "style=x",
    "'", '"', "=",
    "http://x", "<http://x", "mermaid", "# ", "> ", "1. ", "* ", "x", "\0", "\u2028",
]  # fmt: skip
texts = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def is_harmless(page: str) -> bool:
    """Tells whether a page has only what is allowed on it."""
    return all(
        tag in TAGS and all(ATTRIBUTES[n].fullmatch(v or "") for n, v in values.items())
        for tag, values in Tags(page).found
    )


@settings(max_examples=300, deadline=None)
@given(texts)
def test_markdown_is_harmless_where_the_formgrader_shows_it(text):
    assert is_harmless(render_markdown({}, text))


@settings(max_examples=300, deadline=None)
@given(texts)
def test_markdown_is_harmless_in_a_viewer_that_protects_nobody(text):
    for tag, values in Tags(markdown2html(disarm_markdown(text))).found:
        assert tag in TAGS | {"a", "input"}
        address = values.pop("href", "")
        assert address.startswith(("http://x", "#")) or not address
        picture = values.pop("src", "data:image/png;base64,")
        assert picture.startswith("data:image/png;base64,")
        names = {"class", "alt", "title", "width", "height", "id", "type", "disabled"}
        assert values.keys() <= names | {"checked"}


@settings(max_examples=300, deadline=None)
@given(texts)
def test_disarming_again_changes_nothing(text):
    once = disarm_markdown(text)
    assert disarm_markdown(once) == once


@settings(max_examples=300, deadline=None)
@given(
    texts
    | st.sampled_from([d["text/html"] for d in OUTPUTS.values() if "text/html" in d])
)
def test_html_is_harmless(text):
    assert is_harmless(clean_html(text))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"![x](data:image/png;base64,{RED})", f'src="data:image/png;base64,{RED}"'),
        (f"<img src='data:image/png;base64,{RED}'>", f'base64,{RED}"'),
        ("H<sub>2</sub>O<br>**b**", "H<sub>2</sub>O<br><strong>b</strong>"),
        ("if a<b or c>d", "if a&lt; b or c&gt;d"),
        ("$a<b$", "$a&lt; b$"),
        ("see <https://x.org/a>", "see https://x.org/a"),
        ("[paper](https://x.org/a)", "[paper] (https://x.org/a)"),
        ("|a|\n|-|\n|b|", "<td>b</td>"),
        ("```python\nif a < 1: pass\n```", '<span class="k">if</span>'),
        ("<b onclick=x>bold</b>", "&lt; b onclick=x&gt;bold"),
    ],
)
def test_what_students_write_can_be_read(text, part):
    assert part in render_markdown({}, text)


def test_pictures_that_come_along_are_shown_and_others_are_text():
    cell = new_markdown_cell("![a](attachment:a.png) ![b](attachment:b.png)")
    cell.attachments = {
        "a.png": {"image/png": RED},
        "b.png": {'image/png" onload="x': ""},
    }
    notebook, _ = HarmlessNotebook().preprocess(new_notebook(cells=[cell]), {})
    assert list(notebook.cells[0].attachments) == ["a.png"]
    page = render_markdown({"cell": notebook.cells[0]}, notebook.cells[0].source)
    assert f"base64,{RED}" in page and "![b] (attachment:b.png)" in page


def test_names_are_escaped_where_they_are_shown():
    resources = {"first_name": "<b>", "last_name": "O'Neil & Co", "student": None}
    HarmlessNotebook().preprocess(new_notebook(), resources)
    assert resources["first_name"] == "&lt;b&gt;"
    assert resources["last_name"] == "O&#x27;Neil &amp; Co"


def test_an_output_says_what_is_not_shown():
    data = {"application/javascript": "x", "image/png": 'A"'}
    output = new_output(
        "display_data", data=data, metadata={"image/png": {"width": "1"}}
    )
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    HarmlessNotebook().preprocess(notebook, {})
    nbformat.validate(notebook)
    (output,) = notebook.cells[0].outputs
    assert output.data == {"text/plain": "Not shown: application/javascript, image/png"}
    assert output.metadata == {}
