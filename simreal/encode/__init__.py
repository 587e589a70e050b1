"""Encode: images in, vectors out. Torch lives only in this room, and only where it trains."""
