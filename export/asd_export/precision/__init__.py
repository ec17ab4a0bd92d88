"""Graphs of less than 32 bits, made from the fp32 graphs that a bundle carries beside them."""
