"""Hand what a run made to other programs, in their own formats."""
