"""Rosters of Canvas and Moodle into the gradebook, and grades out of it.

A system is a reader of its roster and a writer of its grades; matching people and
quoting tables is the same for all. Submissions that were downloaded go to `uploads`.
"""
