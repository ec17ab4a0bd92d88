"""The running device: sources to detectors to the broker."""
