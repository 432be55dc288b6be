"""Whether the intervals and the verdicts do what they promise, on simulated truths."""
