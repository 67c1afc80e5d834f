"""Figures of numbers: each one a dot, with the means beside a line to compare with."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from courseai_helpers.plots.figure import Picture, make_picture

# Colors that color-blind readers tell apart, and shapes for those who see none.
DOTS = (("#c0392b", "o"), ("#1f5fa8", "s"), ("#777777", "^"))


def show_shares(
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    title: str,
    label: str = "share of the heat",
    line: tuple[float, str] | None = None,
) -> Picture:
    """Shows numbers as dots in rows, with the mean of each kind in a row.

    Args:
        rows: Name of the row to name of the kind to numbers, a dot for each. There are
            up to three kinds; each has its own color and its own shape of dots.
        title: What the numbers measure.
        label: What stands below the axis.
        line: A number to draw a line at, and what it stands for.
    """
    words = [
        f"{row}, {kind}: {np.mean(values):.2f} on average"
        for row, kinds in rows.items()
        for kind, values in kinds.items()
    ]
    if line:
        words.append(f"a dashed line for {line[1]} at {line[0]:.2f}")
    picture = make_picture(8.5, 0.75 * len(rows) + 1.3, f"{title}. {'; '.join(words)}.")
    ax = picture.subplots()
    for row, kinds in enumerate(rows.values()):
        _draw_row(ax, row, kinds)
    if line:
        ax.axvline(line[0], color="gray", linestyle="--", label=line[1])
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    return picture


def _draw_row(ax: Axes, row: int, kinds: Mapping[str, Sequence[float]]) -> None:
    """Draws the kinds of one row one below the other, each with a bar at its mean."""
    step = 0.8 / len(kinds)
    for place, ((kind, values), (color, marker)) in enumerate(
        zip(kinds.items(), DOTS, strict=False)
    ):
        middle = row - 0.4 + step * (place + 0.5)
        # The dots are spread over the height, so that none hides another.
        heights = middle + np.linspace(-0.3, 0.3, len(values)) * step
        name = None if row else kind  # once in the legend
        ax.scatter(values, heights, s=20, c=color, marker=marker, alpha=0.8, label=name)
        ends = [middle - 0.45 * step, middle + 0.45 * step]
        ax.plot([np.mean(values)] * 2, ends, color=color, lw=2)
