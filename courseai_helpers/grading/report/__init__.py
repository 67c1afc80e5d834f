"""`courseai report`: the class report, its item analysis and its charts.

The page is one file that loads nothing and runs no script, since it shows what students
wrote. Beside it lies the same as a table.
"""
