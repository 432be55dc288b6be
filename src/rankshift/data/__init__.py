"""Conversations to tokens: read `conversations`, `split`, `rendering`, `batches` in that order."""
