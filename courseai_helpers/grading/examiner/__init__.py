"""Asking a student's functions questions from outside the student's process.

`student_side`, `lesson_state` and `stabilize` run in the student's kernel, `kernel`,
`proxies` and `oracles` with the hidden tests; `wire` is what both speak, and `values`
what they tell each other about. The sandbox hides `oracles` from students.
"""
