"""Imprinting at the workstation: target clips become centres of a run, and may change its network."""
