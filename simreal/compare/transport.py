"""Optimal transport between two samples: in one dimension by sorting, in several exactly."""

import importlib
import os
import warnings
from types import ModuleType

import numpy as np

from simreal.compare.contract import Points
from simreal.compare.kernels import squared_distances
from simreal.core.arrays import Float64Array, IntArray
from simreal.core.errors import NotComputableError

#: POT imports every tensor library it finds, torch among them, unless it is told not to.
BACKENDS = ("PYTORCH", "JAX", "CUPY", "TENSORFLOW")

#: Pivots of the network simplex: it takes some tens per point.
MOST_PIVOTS = 50_000_000


#: Smoothing of the potentials that the exact solver starts from, in units of the mean reduced cost;
#: their steps; and the largest exponent that single precision bears.
SMOOTHING = 0.04
SMOOTHED_STEPS = 30
LARGEST_EXPONENT = 80.0


def coupling(n: int, m: int) -> tuple[IntArray, IntArray, Float64Array]:
    """Return which order statistics meet, and with how much mass, in the optimal plan on a line.

    In one dimension mass moves in order. The quantile functions of `n` and `m` points change
    at multiples of 1/n and 1/m; between two changes one point of each side meets the other.

    Examples
    --------
    >>> [part.tolist() for part in coupling(1, 2)]
    [[0, 0], [0, 1], [0.5, 0.5]]
    """
    steps = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    left = steps[:-1]
    return left // m, left // n, np.diff(steps) / (n * m)


def squared_wasserstein(obs: Points, sim: Points) -> float:
    """Return the squared Wasserstein-2 distance of two samples ``(n, d)``, ``(m, d)``, exactly.

    Samples of one size are an assignment problem (every point goes to one point, Birkhoff), which
    is solved several times as fast as the general one and in a third of the memory. The time grows
    as n^2.5, the memory as 16 n m bytes.

    Raises
    ------
    NotComputableError
        If the sizes differ and POT, which solves that case, is not installed.

    Examples
    --------
    >>> squared_wasserstein(np.array([[0.0], [1.0]]), np.array([[3.0], [2.0]]))
    4.0
    >>> squared_wasserstein(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([[9.0, 7.0], [0.0, 0.0]]))
    2.0
    """
    if obs.shape[1] == 1:
        from_obs, from_sim, mass = coupling(len(obs), len(sim))
        a, b = (np.sort(x[:, 0].astype(np.float64)) for x in (obs, sim))
        return float((a[from_obs] - b[from_sim]) ** 2 @ mass)
    centre = obs.mean(axis=0, dtype=np.float64)
    costs = squared_distances(obs - centre, sim - centre).astype(np.float64, copy=False)
    n, m = costs.shape
    if n == m:
        from scipy.optimize import linear_sum_assignment

        return float(costs[linear_sum_assignment(reduced(costs))].mean())
    pot = _pot(n, m)
    with warnings.catch_warnings():
        # Masses 1/n and 1/m add up to 1 only to rounding, which POT says in a warning.
        warnings.filterwarnings("ignore", message=".*[Ss]um of (a|the).*")
        cost = pot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), costs, numItermax=MOST_PIVOTS)
    return float(cost)


def reduced(costs: Float64Array) -> Float64Array:
    """Return costs less a number per row and one per column, nearly zero along the best plan.

    Such numbers change no plan's rank, and a solver that would have to find them is done sooner:
    two to five times as fast from 500 points on. They are the smallest entries of rows and columns,
    then the potentials of a few smoothed (Sinkhorn) steps, in single precision: they need not
    be exact.

    Parameters
    ----------
    costs : array (n, m)

    Examples
    --------
    >>> costs = np.array([[5.0, 9.0], [7.0, 6.0]])
    >>> float(np.trace(reduced(costs)) - np.trace(reduced(costs)[::-1]).round(9))
    -5.0
    """
    left: Float64Array = costs - costs.min(axis=1, keepdims=True)
    left -= left.min(axis=0)
    smoothing = SMOOTHING * left.mean()
    if not smoothing > 0:
        return left
    kernel = np.exp(np.maximum((left / -smoothing).astype(np.float32), -LARGEST_EXPONENT))
    v = np.ones(costs.shape[1], dtype=np.float32)
    with np.errstate(all="ignore"):
        for _ in range(SMOOTHED_STEPS):
            u = 1 / (kernel @ v)
            v = 1 / (u @ kernel)
        rows, columns = (smoothing * np.log(scaling.astype(np.float64)) for scaling in (u, v))
    if np.isfinite(rows).all() and np.isfinite(columns).all():
        left -= rows[:, None]
        left -= columns
    return left


def _pot(n: int, m: int) -> ModuleType:
    """Import POT without the tensor libraries it would otherwise import (torch: seconds)."""
    switches = {f"POT_BACKEND_DISABLE_{name}": "1" for name in BACKENDS}
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        return importlib.import_module("ot")
    except ImportError:
        raise NotComputableError(
            f"exact Wasserstein distance of {n} against {m} points: unequal numbers need the "
            "package POT, which is not installed; install it or use equal numbers"
        ) from None
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
