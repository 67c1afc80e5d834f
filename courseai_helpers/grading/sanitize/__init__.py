"""What students wrote, made harmless for pages and terminals of instructors.

nbgrader_config.py names the filters and the preprocessor. Submissions are cleaned
before they are stored, and once more when the Formgrader shows them.
"""
