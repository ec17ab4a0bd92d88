"""An exported fp32 graph in fewer bits, and where its numbers go."""
