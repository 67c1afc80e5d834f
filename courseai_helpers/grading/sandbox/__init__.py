"""Where student code runs: bubblewrap, resource limits, kernels forked from a server.

Kernels of students and of examiners are processes of this room. What the two say to
each other is defined in `examiner`.
"""
