"""What students wrote, made harmless for pages and terminals of instructors.

nbgrader_config.py names the filters and the preprocessor.
"""
