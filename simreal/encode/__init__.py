"""Encode: images in, vectors out. Torch lives only in this room, and only where it trains."""

import os

# Threads that wait by spinning stall each other as soon as anything else wants a core:
# training was five times slower on two threads than on one, and is as quick or quicker with
# threads that sleep. OpenMP reads this once, when torch is loaded; a user's own choice stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
