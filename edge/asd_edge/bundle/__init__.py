"""The file a model travels in, and the state a device adds beside it."""
