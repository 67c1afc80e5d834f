"""The `courseai` command, one file for each group of commands.

It loads what a command needs when that is called: students have no `grading`.
"""
