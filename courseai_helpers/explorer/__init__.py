"""The explorer: looking into a network by hand, with the functions of the lesson."""

from courseai_helpers.explorer.app import explore

__all__ = ["explore"]
