"""One machine's life in a minute, through the real path."""
