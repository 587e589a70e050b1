"""Training objectives: one file each, found by its presence."""
