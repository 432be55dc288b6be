"""Coverage-guided fuzzing of the readers of files that others wrote; see SECURITY.md."""
