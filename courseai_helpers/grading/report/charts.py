"""Draws the plots of the class report."""

import base64
import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from courseai_helpers.grading.report.items import Item

COLOR = "#33658a"


def draw_scores(totals: np.ndarray, possible: float) -> Figure:
    """Draws how many students have how many points.

    Args:
        totals: Float array [students].
        possible: The points at most.
    """
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    ax = figure.subplots()
    top = max(possible, totals.max(initial=0))
    ax.hist(
        totals, bins=np.linspace(0, top, 21).tolist(), color=COLOR, edgecolor="white"
    )
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(
        title="Distribution of the automatic scores",
        xlabel=f"points, of {possible:g}",
        ylabel="students",
        xlim=(0, top),
    )
    return figure


def draw_items(items: list[Item]) -> Figure:
    """Draws difficulty and discrimination of each test cell, a row per cell."""
    figure = Figure(figsize=(9, 1.2 + 0.26 * len(items)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(items))[::-1]
    left.barh(places, [item.difficulty for item in items], color=COLOR)
    left.set(title="Difficulty", xlabel="mean share of the points", xlim=(0, 1))
    left.set_yticks(places, [item.name for item in items])
    known = [item.discrimination or 0.0 for item in items]
    right.barh(places, known, color=COLOR)
    right.axvline(0, color="black", linewidth=0.8)
    right.set(
        title="Discrimination",
        xlabel="correlation with all other cells",
        xlim=(-1, 1),
    )
    return figure


def embed(figure: Figure) -> str:
    """Returns a figure as a URL that holds the whole picture."""
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
