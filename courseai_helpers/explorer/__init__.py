"""The explorer: looking into a network by hand, with the functions of the lesson.

`app` puts the widgets together; `session` asks the network, with the student's own
functions where they work; `render` turns answers into pictures.
"""

from courseai_helpers.explorer.app import explore

__all__ = ["explore"]
