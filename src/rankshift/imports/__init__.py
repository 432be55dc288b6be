"""Reading what others asked and judged."""
