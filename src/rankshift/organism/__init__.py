"""The embedded model organism: data for the lab, a base, datasets, questions and an exact judge."""
