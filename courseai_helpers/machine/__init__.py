"""Is everything here before a class? The doctor, and downloads ahead of it.

Only commands import from this room, each one of its modules. The doctor looks for
packages that may be missing, so it imports none of the other rooms at the top.
"""
