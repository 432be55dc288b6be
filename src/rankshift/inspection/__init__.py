"""Inspect: the suites as tasks, arms as models, and what a run has measured as logs."""
