"""Helpers for the CourseAI lessons: images, models and plots for students."""
