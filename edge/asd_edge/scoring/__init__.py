"""Embeddings to scores, thresholds and decisions, in pure NumPy."""
