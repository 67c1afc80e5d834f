"""The `courseai` command, one file for each group of commands.

A command imports what it needs when it is called: students have no `grading`, and
`courseai --help` should not load torch.
"""
