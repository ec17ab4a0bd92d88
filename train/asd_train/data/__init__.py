"""Data sets: clips with machine, section, domain, attributes and label."""
