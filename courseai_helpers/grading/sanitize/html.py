"""Removes from students' texts and pages what could act in an instructor's browser.

What is left shows the same: formatted text, tables and pictures. Markup that could act
is shown as text, and a link as its address.
"""

import html
import re
from collections.abc import Container

import nh3
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
)

TAGS = {
    "b", "blockquote", "br", "caption", "center", "code", "dd", "del", "details", "div",
    "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins",
    "kbd", "li", "mark", "ol", "p", "pre", "s", "small", "span", "strong", "sub",
    "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
NUMBER = re.compile(r"\d{1,4}")
# What an attribute must look like to stay. Neither `id` nor `style` is among them: with
# these, a page could show false points.
ATTRIBUTES = {
    "alt": re.compile(r"[^\0]*"),
    "class": re.compile(r"highlight|[a-z][a-z0-9]?"),  # of Pygments
    "colspan": NUMBER,
    "height": NUMBER,
    "rowspan": NUMBER,
    "src": re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+"),
    "width": NUMBER,
}
_FIGURE = r"data:image/(?:png|jpeg|gif|webp);base64,"
_HARMLESS = (
    rf"/?(?:{'|'.join(sorted(TAGS - {'img'}))})\s*/?>",
    r"""https?://[^\s<>"'`]+>""",
    r"""img(?:\s+(?:(?:alt|title)=(?:"[^"<>]*"|'[^'<>]*')|"""
    r"""(?:width|height)=(["']?)\d+%?\1|"""
    rf"""src=(["']?){_FIGURE}[A-Za-z0-9+/=]+\2))+\s*/?>""",
)
# Parts of Markdown that can act, in any viewer: what begins a tag, but for tags without
# attributes, addresses and figures; links and pictures, but for figures that it holds.
_BEGIN = re.compile(rf"<(?=[A-Za-z/!?])(?!{'|'.join(_HARMLESS)})", re.IGNORECASE)
_LINK = re.compile(rf"\](?=:|\((?!{_FIGURE}))(?:\(attachment:([\w.-]+)\))?")


def clean_html(page: object) -> str:
    """Returns HTML that can't act, call another server, or imitate the page."""
    return nh3.clean(
        page.decode(errors="replace") if isinstance(page, bytes) else str(page),
        tags=TAGS,
        clean_content_tags={"script", "style", "template", "title"},
        attributes={"*": set(ATTRIBUTES)},
        attribute_filter=keep_attribute,
        url_schemes={"data"},
        link_rel=None,
    )


def keep_attribute(tag: str, name: str, value: str) -> str | None:
    """Returns the value of an attribute that may stay, or else None."""
    form = ATTRIBUTES.get(name)  # it is also called for what is dropped anyway
    return value if form and form.fullmatch(value) else None


def disarm_markdown(source: str, pictures: Container[str] = ()) -> str:
    """Returns Markdown in which nothing can act in any viewer.

    Tags, but for harmless ones, and links get a space that makes them text.

    Args:
        source: The text of a cell.
        pictures: The names of the cell's attachments; others can't be shown.
    """

    def disarm(link: re.Match[str]) -> str:
        return link[0] if link[1] in pictures else f"] {link[0][1:]}"

    return _LINK.sub(disarm, _BEGIN.sub("< ", source))


@pass_context
def render_markdown(context: Context, source: str) -> str:
    """Renders a student's Markdown, in place of nbconvert's filter `markdown2html`."""
    pictures = context.get("cell", {}).get("attachments", {})
    renderer = PlainRenderer(
        escape=False, attachments=pictures, exclude_anchor_links=True
    )
    source = disarm_markdown(source, pictures)
    try:
        page = MarkdownWithMath(renderer=renderer).render(source)
    except RecursionError:  # absurdly nested
        page = f"<pre>{html.escape(source)}</pre>"
    return clean_html(page)


class PlainRenderer(IPythonRenderer):
    """Renders Markdown without links."""

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Returns the text of a link, which is its address: all others are disarmed."""
        return text
