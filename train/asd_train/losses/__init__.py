"""Losses of labelled embeddings, one paper a file."""
