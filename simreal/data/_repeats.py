"""Images that repeat the pixels of another: they are one object and share a group."""

from collections.abc import Mapping, Sequence

import numpy as np

from simreal.core.arrays import StrArray


def merged_groups(
    ids: Sequence[str], groups: Sequence[str], same_as: Sequence[int]
) -> tuple[StrArray, list[str]]:
    """Return the group of every image, joined where pixels are the same, and a note on those.

    Parameters
    ----------
    ids, groups : sequence of str (n,)
    same_as : sequence of int (n,)
        First image with the same pixels; its own number where there is none before it.

    Examples
    --------
    >>> merged_groups(["a", "b", "c"], ["1", "2", "3"], [0, 1, 0])[0].tolist()
    ['1', '2', '1']
    """
    repeats = [(i, first) for i, first in enumerate(same_as) if first != i]
    merged: dict[str, str] = {}
    for i, first in repeats:
        a, b = _root(merged, groups[i]), _root(merged, groups[first])
        if a != b:
            merged[max(a, b)] = min(a, b)
    notes = []
    if repeats:
        pairs = ", ".join(f"{ids[i]} = {ids[j]}" for i, j in repeats[:5])
        more = ", ..." if len(repeats) > 5 else ""
        notes.append(
            f"{len(repeats)} images repeat the pixels of another and share its group "
            f"({pairs}{more})"
        )
    return np.array([_root(merged, group) for group in groups], dtype=np.str_), notes


def _root(merged: Mapping[str, str], group: str) -> str:
    while group in merged:
        group = merged[group]
    return group
