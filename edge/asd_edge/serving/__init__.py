"""What a device does with a bundle: which engine and precision serve, and how engines come to be."""
