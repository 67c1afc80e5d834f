"""Reference solutions: for instructors only."""
