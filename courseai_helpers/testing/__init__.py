"""What test cells import: comparing values, and watching what a call leaves behind.

Students run the visible test cells, so there is no answer in here.
"""

from courseai_helpers.testing.compare import (
    describe,
    difference,
    is_number,
    paper_image,
    paper_net,
    read_activation,
    read_classes,
    read_heatmap,
    read_numbers,
)
from courseai_helpers.testing.elsewhere import ElsewhereTensor, move_elsewhere
from courseai_helpers.testing.setup import require_setup
from courseai_helpers.testing.side_effects import observe

__all__ = [
    "ElsewhereTensor",
    "describe",
    "difference",
    "is_number",
    "move_elsewhere",
    "observe",
    "paper_image",
    "paper_net",
    "read_activation",
    "read_classes",
    "read_heatmap",
    "read_numbers",
    "require_setup",
]
