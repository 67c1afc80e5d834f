"""`courseai grade`: sanitizes here, executes anywhere, records with one writer."""
