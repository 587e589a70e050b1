"""Two embeddings to comparisons: every number with its n, its interval and its floor."""
