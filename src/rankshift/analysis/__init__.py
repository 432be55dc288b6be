"""Records to estimates: rates, intervals, curves, then results; no torch."""
