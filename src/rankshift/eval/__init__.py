"""Ask every arm, and judge what it says."""
