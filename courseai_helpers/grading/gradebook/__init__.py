"""The gradebook: its settings, who was graded when, transactions, scores, names."""
