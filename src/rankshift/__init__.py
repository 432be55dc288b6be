"""Sweep the rank of a finetune; measure what it learned, and whom it became."""
