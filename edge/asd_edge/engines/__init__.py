"""What turns segments into embeddings: one engine a file behind one protocol."""
