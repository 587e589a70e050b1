"""Audits: whether a distance measures galaxies or something about how they were observed."""
