"""Bring a simulated and an observed set to the same observing conditions."""
