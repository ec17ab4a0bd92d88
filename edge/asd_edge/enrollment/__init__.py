"""Enrollment: a few clips become an operating condition, in two steps: propose and look, then commit."""
