"""Whether everything is here before a class: the doctor, and getting it ahead.

Imported by commands only, which load one of its modules each.
"""
