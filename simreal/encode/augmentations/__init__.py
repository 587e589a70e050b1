"""Augmentation presets: one file per task, found by its presence."""
