"""Finding and reading what students hand in, without trusting a file or a name.

Links, devices, damaged notebooks and copies are met here, and each of them costs at
most the submission that it came with.
"""
