"""What the engine is worth beside the public stack, measured side by side."""
