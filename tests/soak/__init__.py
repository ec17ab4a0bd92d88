"""Long runs of the real daemon against a real broker, outside CI: `make soak`, or `python -m tests.soak SCENARIO`."""
