"""What was heard: the embedded segments of the last hours, on the disk."""
