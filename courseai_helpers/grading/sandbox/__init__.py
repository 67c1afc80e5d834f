"""Where student code runs: bubblewrap, resource limits, kernels forked from a server.

Kernels of students and examiners are processes of this room; what is said between
them is the examiner's matter.
"""
