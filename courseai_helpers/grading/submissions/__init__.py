"""Finding and reading what students hand in, without trusting a file or a name."""
