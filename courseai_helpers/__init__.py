"""Helpers for the CourseAI lessons: images, models and plots for students.

Each folder is a room. Students have all of them but `reference` and `grading`;
CONTRIBUTING.md has the map.
"""
