"""A run in object storage: for workers without a shared folder, and for another machine."""
