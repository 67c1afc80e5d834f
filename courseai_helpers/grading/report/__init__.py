"""`courseai report`: the class report, its item analysis and its charts."""
