"""Item analysis: how hard a test cell is, and whether it tells students apart."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Item:
    """How the class did in one test cell.

    Attributes:
        name: The cell's `grade_id`.
        difficulty: The mean share of its points that students got, in [0, 1]. This is
        the textbooks' term, although 1 is the easiest. discrimination: The correlation
        between the points for this cell and those for
            all other cells, in [-1, 1]; None if all students have the same points
            here or elsewhere, as a correlation has no meaning then.
    """

    name: str
    difficulty: float
    discrimination: float | None


def analyze_items(
    points: np.ndarray, possible: np.ndarray, names: list[str]
) -> list[Item]:
    """Analyses the test cells of an assignment.

    Args:
        points: Float array [students, cells]: who got how much for what.
        possible: Float array [cells]: the points at most, above 0.
        names: The cells' names.

    Returns:
        An Item for each cell, in the same order.

    Source: Crocker and Algina, Introduction to Classical and Modern Test Theory, 1986,
        chapter 14 (the corrected item-total correlation).
    """
    totals = points.sum(axis=1)
    return [
        Item(
            name,
            float(column.mean() / most),
            correlate(column, totals - column),
        )
        for name, column, most in zip(names, points.T, possible, strict=True)
    ]


def correlate(left: np.ndarray, right: np.ndarray) -> float | None:
    """Returns Pearson's correlation, or None where a side does not vary."""
    left, right = left - left.mean(), right - right.mean()
    scale = np.sqrt((left**2).sum() * (right**2).sum())
    # The means of equal floats may miss them by a rounding error.
    if scale < 1e-9:
        return None
    return float((left * right).sum() / scale)
