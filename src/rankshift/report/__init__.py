"""Results to one HTML page that opens from disk; no torch, no network."""
