"""nbgrader's steps of the exchange that an instructor runs, where students can write.

nbgrader's own follow links and believe names. Here a folder of the exchange counts for
the student who owns it, and only the regular files in it are taken.
"""

from courseai_helpers.grading.exchange.collect import ExchangeCollect
from courseai_helpers.grading.exchange.list import ExchangeList
from courseai_helpers.grading.exchange.release import (
    ExchangeReleaseAssignment,
    ExchangeReleaseFeedback,
)

__all__ = [
    "ExchangeCollect",
    "ExchangeList",
    "ExchangeReleaseAssignment",
    "ExchangeReleaseFeedback",
]
