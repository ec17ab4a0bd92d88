"""Pure NumPy signal processing: stateless functions below, streaming stages above."""
