"""Training: the one loop, what it learns from, and where it runs."""
