"""asd-edge: hears when a machine starts to sound wrong. Importing this package does nothing."""

__version__ = "0.1.0"
