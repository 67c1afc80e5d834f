"""What several rooms share: errors, files, HTTP, notices, printing.

It imports from no other room, so that every other may import from it. What only one
room needs belongs in that room.
"""
