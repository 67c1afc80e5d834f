"""`courseai grade`: sanitizes here, executes anywhere, records with one writer.

`run` is the way of a class through these steps, `autograde` that of one submission.
Which process executes a submission is left to `cluster`.
"""
