"""What happens to a submission's notebook: repaired, executed, scored, fed back.

nbgrader_config.py names these preprocessors and exporters, in the order in which they
run. A step changes one notebook and knows nothing of the class.
"""
