"""Is what the analysis says true? Simulated and planted truths, put through the real code."""
