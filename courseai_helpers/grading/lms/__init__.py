"""Rosters of Canvas and Moodle into the gradebook, and grades out of it."""
