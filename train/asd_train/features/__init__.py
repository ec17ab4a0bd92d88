"""What networks learn from: features and samples of clips, read once, kept on disk, cut into batches."""
