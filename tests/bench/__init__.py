"""Benchmarks: every figure in docs/benchmarks.md, with the command that makes it."""
