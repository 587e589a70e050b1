"""Several tests at once: family-wise error and false discovery rate."""

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """Return Holm-adjusted p-values: the chance of any false rejection stays below the level.

    Valid under any dependence between the tests (Holm 1979, Scand. J. Statist. 6, 65).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return _back(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p_values: npt.ArrayLike) -> Float64Array:
    """Return Benjamini-Hochberg adjusted p-values: the share of false discoveries is held.

    Benjamini and Hochberg 1995, J. R. Statist. Soc. B 57, 289.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _back(np.minimum(stepped, 1.0), order)


def _checked(p_values: npt.ArrayLike) -> Float64Array:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise UsageError(f"p-values: got {p.tolist()}, allowed is a list of numbers from 0 to 1")
    return p


def _back(ordered: Float64Array, order: npt.NDArray[np.intp]) -> Float64Array:
    result = np.empty_like(ordered)
    result[order] = ordered
    return result
