"""People read a blind sample of the answers, and what they say comes back as verdicts."""
