"""Named random streams: adding a consumer changes no other number."""

import hashlib

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the generator that belongs to `names` under the root `seed`.

    Streams are named, not ordered, so a metric added tomorrow leaves every other number
    as it is today.

    Parameters
    ----------
    seed : int
        Root seed of the run, zero or larger.
    *names : str
        The path of the consumer, such as ``"compare", "mmd", "permutation"``.

    Examples
    --------
    >>> a = stream(1, "compare", "mmd").integers(100)
    >>> b = stream(1, "compare", "mmd").integers(100)
    >>> bool(a == b)
    True
    """
    return np.random.default_rng(seed_sequence(seed, *names))


def seed_sequence(seed: int, *names: str) -> np.random.SeedSequence:
    """Return the seed sequence behind `stream`, for libraries that want integers."""
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.SeedSequence([seed, *words])


def integer_seed(seed: int, *names: str) -> int:
    """Return a 31-bit integer seed for a named stream (sklearn, torch, GalSim)."""
    return int(seed_sequence(seed, *names).generate_state(1)[0] & 0x7FFFFFFF)
