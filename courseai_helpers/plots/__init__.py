"""Figures of the lessons, each with a title, a scale and a text description.

A function takes arrays, tensors or photos and returns a `Picture`, which carries its
description for readers who cannot see it. Nothing in here calls `show()`.
"""

from courseai_helpers.plots.dots import show_shares
from courseai_helpers.plots.figure import Picture
from courseai_helpers.plots.grids import (
    show_activation_grid,
    show_filters,
    show_image,
    show_predictions,
    show_scenes,
)
from courseai_helpers.plots.heatmaps import (
    compare_heatmaps,
    show_gallery,
    show_grad_cam,
)
from courseai_helpers.plots.preferences import Preference, show_preferences

__all__ = [
    "Picture",
    "Preference",
    "compare_heatmaps",
    "show_activation_grid",
    "show_filters",
    "show_gallery",
    "show_grad_cam",
    "show_image",
    "show_predictions",
    "show_preferences",
    "show_scenes",
    "show_shares",
]
