"""Groups on a Ray cluster: the workers, the one who speaks with Ray, and who may write."""
