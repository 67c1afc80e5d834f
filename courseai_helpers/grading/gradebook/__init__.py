"""The gradebook: its settings, who was graded when, transactions, scores, names.

Commands read their settings here, so that all of them find the same database. A
student's grades are written in one transaction or not at all.
"""
