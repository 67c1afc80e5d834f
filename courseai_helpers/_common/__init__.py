"""What several rooms share: errors, files, HTTP, notices, printing.

It imports from no other room.
"""
