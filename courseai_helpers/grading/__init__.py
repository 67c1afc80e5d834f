"""Grading tools: for instructors only."""

import sys

# jsonschema, which nbformat brings, looks for this package to check addresses in JSON,
# of which a notebook has none. Loading it takes 2 s, longer than all of nbgrader. With
# None here it is taken for not installed.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
