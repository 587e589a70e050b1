"""Matching of calibrated images: everything that is peculiar to flux."""
