"""Events on the disk until a broker has them, and for a while after."""
