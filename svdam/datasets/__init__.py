"""Data sets: which songs there are, with their splits and labels."""
