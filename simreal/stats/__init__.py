"""Vectors to numbers: groups and resampling, false discovery, neighbours, PCA, clusters."""
