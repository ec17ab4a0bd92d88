"""The connection to a broker: one at a time, to the first of several that takes it."""
