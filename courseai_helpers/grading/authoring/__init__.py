"""Building release/ and solutions/, and the demonstration, by nbgrader's commands.

`build` generates what students get from `source/` and tells what is stale. `demo`
takes three submissions, right, half right and broken, through a course of its own.
"""
