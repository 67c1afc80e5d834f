"""The explorer's widgets: what they are called, how they are laid out, their HTML."""

import base64
import html
import io
from collections.abc import Sequence
from types import SimpleNamespace

import ipywidgets as widgets

from courseai_helpers.explorer.render import SIDE, View, mark_cell
from courseai_helpers.models.pretrained import Prediction

FILTER, ACTIVATION, GRAD_CAM = VIEWS = ("filter", "activation map", "Grad-CAM")
BOX, ROW, MESSAGE = "courseai-explorer", "courseai-row", "courseai-message"
# Three things that ipywidgets has no words for. JupyterLab takes arrow keys and letters
# from dropdowns and sliders (https://github.com/jupyter-widgets/ipywidgets/issues/3912)
# unless they have a certain attribute; a slider's handle has no name; and the message
# is not read out when it changes. An image that fails to load runs this once: it waits
# until it is part of the page, ten seconds at most. From then on the focus mends.
MENDING = f"""<img alt="" src="data:," style="display: none" onerror="
    let tries = 100;
    const begin = () => {{
        const box = this.closest('.{BOX}');
        if (!box) return tries-- && setTimeout(begin, 100);
        box.addEventListener('focusin', ({{ target }}) => {{
            target.setAttribute('data-lm-suppress-shortcuts', 'true');
            for (const row of box.querySelectorAll('.{ROW}'))
                row.querySelector('[role=slider]').setAttribute(
                    'aria-label', row.querySelector('label').innerText);
            box.querySelector('.{MESSAGE}').setAttribute('role', 'status');
        }});
    }};
    begin();">"""
HELP = (
    "Tab moves from control to control, the arrow keys change a value, Enter confirms "
    "a text."
)


def make_controls(
    photos: Sequence[str], stages: Sequence[str], classes: Sequence[Prediction]
) -> SimpleNamespace:
    """Makes the explorer's controls, each with a label that a screen reader finds."""
    look = {"style": {"description_width": "7.5em"}, "layout": {"width": "24em"}}
    short = look | {"layout": {"width": "13em"}}
    names = sorted((p.class_index, p.label) for p in classes)
    c = SimpleNamespace(
        photo=widgets.Dropdown(options=photos, description="Photo", **look),
        upload=widgets.FileUpload(
            accept="image/*",
            description="Upload a photo",
            layout={"width": "16em", "margin": "2px 2px 2px 7.5em"},
        ),
        address=widgets.Text(
            description="Web address",
            placeholder="https://…",
            continuous_update=False,
            **look,
        ),
        view=widgets.Dropdown(options=VIEWS, description="Show", **look),
        layer=widgets.Dropdown(options=stages, description="Layer", **look),
        channel=widgets.BoundedIntText(description="Channel", **short),
        channel_slider=widgets.IntSlider(readout=False, layout={"width": "10.5em"}),
        target=widgets.Combobox(
            options=[f"{index}: {label}" for index, label in names],
            description="Class",
            placeholder="part of a name",
            continuous_update=False,
            **look,
        ),
        opacity=widgets.BoundedIntText(description="Opacity in %", **short),
        opacity_slider=widgets.IntSlider(
            step=5, readout=False, layout={"width": "10.5em"}
        ),
        row=widgets.BoundedIntText(description="Read row", **short),
        column=widgets.BoundedIntText(description="Read column", **short),
        reset=widgets.Button(
            description="Reset",
            tooltip="Go back to how the explorer began",
            layout={"width": "16em", "margin": "2px 2px 2px 7.5em"},
        ),
        picture=widgets.HTML(),
        message=widgets.HTML(),
        predictions=widgets.HTML(),
    )
    c.message.add_class(MESSAGE)
    for field, slider in [(c.channel, c.channel_slider), (c.opacity, c.opacity_slider)]:
        for trait in ("max", "value", "disabled"):
            widgets.link((field, trait), (slider, trait))
    return c


def arrange(controls: SimpleNamespace) -> list[widgets.Widget]:
    """Lays the controls out beside the picture; in the order in which Tab visits."""
    c = controls
    channel = widgets.HBox([c.channel, c.channel_slider])
    opacity = widgets.HBox([c.opacity, c.opacity_slider])
    for row in (channel, opacity):
        row.add_class(ROW)
    left = [c.photo, c.upload, c.address, c.view, c.layer, channel, c.target]
    left += [opacity, c.row, c.column, c.reset, c.predictions]
    room = {"flex": "1 1 20em", "max_width": f"{SIDE + 20}px"}
    right = widgets.VBox([c.picture, c.message], layout=room)
    box = widgets.HBox([widgets.VBox(left), right], layout={"flex_flow": "row wrap"})
    return [widgets.HTML(f"<p>{HELP}</p>{MENDING}"), box]


def write_picture(view: View, title: str, row: int, column: int) -> str:
    """Returns the picture with its frame as HTML, with a title and a description."""
    buffer = io.BytesIO()
    # Over a photo small errors do not show, and save nine tenths of the bytes.
    options = {"quality": 85} if view.over_photo else {"lossless": True, "quality": 0}
    mark_cell(view, row, column).save(buffer, "WEBP", method=0, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = html.escape(f"{title}. {view.description}", quote=True)
    return (
        f'<figure style="margin: 0"><b>{html.escape(title)}</b><br>'
        f'<img alt="{alt}" src="data:image/webp;base64,{data}" '
        'style="max-width: 100%; height: auto; image-rendering: pixelated"></figure>'
    )


def write_message(*sentences: str) -> str:
    """Returns sentences as HTML, a paragraph for each."""
    lines = "".join(f"<p>{html.escape(text)}</p>" for text in sentences if text)
    return f'<div style="line-height: 1.4">{lines}</div>'


def write_predictions(best: Sequence[Prediction]) -> str:
    """Returns a list of predictions as HTML."""
    items = "".join(
        f"<li>{p.class_index}: {html.escape(p.label)} ({write_probability(p)})</li>"
        for p in best
    )
    return f"<b>Top {len(best)} predictions</b><ol>{items}</ol>"


def write_probability(prediction: Prediction) -> str:
    """Returns a class's probability in percent."""
    value = prediction.probability
    return f"{value:.0%}" if value > 0.01 else "below 1%"
