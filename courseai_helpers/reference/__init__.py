"""Reference solutions: for instructors only.

The solution cells of a notebook hold the same functions, and a test compares the two.
No file that students get contains this room.
"""
