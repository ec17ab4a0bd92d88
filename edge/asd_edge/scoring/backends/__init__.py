"""Backends: what is learned of normal embeddings, and how far a new one is from it. One a file."""
