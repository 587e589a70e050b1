"""Groups: the unit every split, permutation and subsample acts on.

A group is the galaxy behind several views or the sky tile behind several cutouts. Images
of one group are not independent, and a test that treats them as if they were rejects
almost every true null hypothesis.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, IntArray, StrArray
from simreal.core.errors import NotComputableError, UsageError


def group_rows(groups: StrArray, ids: StrArray | None = None) -> tuple[IntArray, ...]:
    """Return the rows of every group, groups in the order of their names.

    Within a group rows are in the order of their ids where `ids` are given, so that nothing
    downstream depends on the order in which a table happened to be written.

    Parameters
    ----------
    groups : array of str (n,)
    ids : array of str (n,), optional

    Examples
    --------
    >>> [rows.tolist() for rows in group_rows(np.array(["b", "a", "b"]))]
    [[1], [0, 2]]
    """
    order = np.arange(len(groups)) if ids is None else np.argsort(ids, kind="stable")
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.flatnonzero(groups[order][1:] != groups[order][:-1]) + 1
    return tuple(np.split(order, starts)) if len(order) else ()


def smallest_group(*sides: Sequence[IntArray]) -> int:
    """Return the smallest number of views that any group of any side has."""
    return min((len(rows) for side in sides for rows in side), default=0)


def thin_views(rows_of: Sequence[IntArray], n_views: int, *, rng: np.random.Generator) -> IntArray:
    """Return `n_views` random rows of every group, as rounds ``(n_views, n_groups)``.

    Each round holds one view of every group and no view occurs twice. With the same number
    of views on both sides, groups are exchangeable under the null hypothesis whatever the
    numbers they came with: a mean over four views is less noisy than one view, so without
    thinning a 4-view side differs from a 1-view side even when nothing differs.

    Raises
    ------
    UsageError
        If a group has fewer views than asked for.
    """
    if smallest_group(rows_of) < n_views or n_views < 1:
        raise UsageError(
            f"views per group: got {n_views}, allowed are 1 to {smallest_group(rows_of)}, the "
            "smallest group"
        )
    picked = [rng.choice(rows, n_views, replace=False) for rows in rows_of]
    return np.stack(picked, axis=1).astype(np.int64)


def choose(n_groups: int, n: int, *, rng: np.random.Generator) -> IntArray:
    """Return `n` of `n_groups` group numbers, without replacement, in rising order."""
    return np.sort(rng.choice(n_groups, n, replace=False))


def permuted_labels(
    labels: BoolArray, n: int, *, rng: np.random.Generator, strata: IntArray | None = None
) -> BoolArray:
    """Return ``(n + 1, n_groups)`` labels: the given ones first, then `n` shuffles of them.

    Parameters
    ----------
    labels : array of bool (n_groups,)
    n : int
    rng : Generator
    strata : array of int (n_groups,), optional
        Labels are shuffled inside each stratum only, so that no shuffle changes how often a
        side has a mass, a redshift or a size.

    Examples
    --------
    >>> labels, strata = np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    >>> shuffled = permuted_labels(labels, 9, rng=np.random.default_rng(0), strata=strata)
    >>> set(shuffled[:, :2].sum(axis=1).tolist())
    {1}
    """
    shuffled = np.repeat(labels[None], n, axis=0)
    codes = np.zeros(len(labels), dtype=np.int64) if strata is None else strata
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        shuffled[:, members] = rng.permuted(shuffled[:, members], axis=1)
    return np.concatenate([labels[None], shuffled])


def random_masks(members: BoolArray, size: int, n: int, *, rng: np.random.Generator) -> BoolArray:
    """Return ``(n, n_groups)`` masks, each of `size` random members.

    Examples
    --------
    >>> masks = random_masks(np.array([True, True, False]), 1, 5, rng=np.random.default_rng(0))
    >>> masks.sum(axis=1).tolist(), int(masks[:, 2].sum())
    ([1, 1, 1, 1, 1], 0)
    """
    rows = np.flatnonzero(members)
    order = rng.permuted(np.broadcast_to(rows, (n, len(rows))), axis=1)[:, :size]
    masks = np.zeros((n, len(members)), dtype=np.bool_)
    masks[np.arange(n)[:, None], order] = True
    return masks


def kish_effective_size(weights: npt.ArrayLike) -> float:
    """Return (sum w)² / sum w²: how many equally weighted objects weighted ones are worth.

    Kish 1965, Survey Sampling, section 11.7.

    Raises
    ------
    NotComputableError
        If a weight is negative or not finite, or all are zero.

    Examples
    --------
    >>> kish_effective_size([1, 1, 1, 1]), kish_effective_size([1, 0, 0, 0])
    (4.0, 1.0)
    """
    w = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(w).all() or (w < 0).any():
        raise NotComputableError("weights: got negative or non-finite ones, allowed are 0 or more")
    if not w.any():
        raise NotComputableError(
            f"weights: all {w.size} are zero, nothing is left to compare; widen the selection"
        )
    return float(w.sum() ** 2 / (w**2).sum())
