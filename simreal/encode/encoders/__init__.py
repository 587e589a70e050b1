"""Encoders: one file each, found by its presence."""
