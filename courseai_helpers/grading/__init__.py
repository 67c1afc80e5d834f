"""Grading tools: for instructors only."""
