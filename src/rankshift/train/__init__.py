"""Finetune all arms of a group in lock step."""
