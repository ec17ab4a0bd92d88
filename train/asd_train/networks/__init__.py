"""Embedding networks: log-mel segments in, embeddings out."""
