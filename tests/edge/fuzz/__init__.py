"""Mutated bundles, and the process that loads and runs them (test_bundle_fuzz.py)."""
