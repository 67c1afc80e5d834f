"""What happens to a submission's notebook: repaired, executed, scored, fed back.

nbgrader_config.py names these preprocessors and exporters.
"""
