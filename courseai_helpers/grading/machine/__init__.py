"""What an instructor's machine needs, and who else can read or replace a course.

These checks are added to those of `courseai_helpers.machine` when `courseai doctor`
runs on a machine that has the instructors' part.
"""
