"""A run as pandas frames, for notebooks and for files that other programs read."""
