"""Answers by vLLM, in an environment of its own, compared with ours before they are taken."""
