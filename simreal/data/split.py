"""Splits that keep every view of one object on one side."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import IntArray
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Step
from simreal.core.seeding import stream


def split_by_group(
    groups: npt.ArrayLike, fractions: Sequence[float], *, rng: np.random.Generator
) -> tuple[IntArray, ...]:
    """Split rows at random so that no group is on two sides.

    Parameters
    ----------
    groups : array of str (n,)
        Resampling unit of every row.
    fractions : sequence of float
        Share of the groups of each part; they add up to at most 1.
    rng : Generator

    Returns
    -------
    tuple of array of int
        Rows of each part, ascending. Counts are rounded so that they add up: fractions that
        sum to 1 use every group.

    Raises
    ------
    UsageError
        If a fraction is not above 0, or they add up to more than 1.
    NotComputableError
        If there are too few groups for every part to get one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = split_by_group(["x", "x", "y", "z"], [0.5, 0.5], rng=rng)
    >>> sorted([*a.tolist(), *b.tolist()])
    [0, 1, 2, 3]
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if not shares.size or not (shares > 0).all() or shares.sum() > 1 + 1e-9:
        raise UsageError(
            f"split: got fractions {tuple(fractions)}, allowed are values above 0 that add up to "
            "at most 1"
        )
    unique, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    edges = np.rint(np.concatenate([[0.0], np.cumsum(shares)]) * len(unique)).astype(np.int64)
    if (np.diff(edges) < 1).any():
        raise NotComputableError(
            f"split: {len(unique)} groups cannot be split into the fractions {tuple(fractions)}; "
            "every part needs at least one group"
        )
    place = np.empty(len(unique), dtype=np.int64)
    place[rng.permutation(len(unique))] = np.arange(len(unique))
    rank = place[member]
    return tuple(np.flatnonzero((rank >= low) & (rank < high)) for low, high in pairwise(edges))


def halves(image_set: ImageSet, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return two disjoint halves of a set, split by group.

    A collection compared with itself is split like this: what a metric reads between the
    halves is its noise floor.

    Raises
    ------
    NotComputableError
        If the set has fewer than two groups.
    """
    if image_set.n_groups < 2:
        raise NotComputableError(
            f"{image_set.name}: {image_set.n_groups} groups cannot be split into halves; "
            "allowed are 2 or more"
        )
    rng = stream(seed, "data", "halves")
    first, second = split_by_group(image_set.groups, [0.5, 0.5], rng=rng)
    return _half(image_set, first, "A"), _half(image_set, second, "B")


def _half(image_set: ImageSet, rows: IntArray, letter: str) -> ImageSet:
    half = image_set.rows(rows).replace(name=f"{image_set.name} half {letter}")
    return half.with_step(
        Step(
            name="split",
            before={"images": len(image_set), "groups": image_set.n_groups},
            after={"images": len(half), "groups": half.n_groups},
            note=f"half {letter}, at random by group",
        )
    )
