"""What a device does with a bundle before and while it serves it: verify, choose, build, install."""
