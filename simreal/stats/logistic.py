"""Balanced ridge logistic regression, by Newton's method."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, Float64Array

#: Inverse of the ridge: the penalty is |w|²/2 against the sum of the losses.
STRENGTH = 1.0
#: Newton steps, and the largest slope, per object, at which they end.
MOST_STEPS = 100
FLATNESS = 1e-9


def fit_logistic(
    x: npt.NDArray[np.floating], is_sim: BoolArray, *, strength: float = STRENGTH
) -> tuple[Float64Array, float]:
    """Return weights ``(d,)`` and intercept of a balanced ridge logistic regression.

    Newton's method with step halving on Σ c ln(1 + exp(-y f)) + |w|²/2, where the c of either side
    add up to half the number of objects; the intercept carries no penalty. The penalty makes the
    minimum unique, also where the sides can be separated.

    Parameters
    ----------
    x : array (n, d)
    is_sim : array of bool (n,)
    strength : float
        Inverse of the ridge.

    Examples
    --------
    >>> x = np.array([[-1.0], [1.0], [2.0], [4.0]])
    >>> weights, intercept = fit_logistic(x, np.array([False, False, True, True]))
    >>> bool(weights[0] > 0), round(-intercept / weights[0].item(), 2)
    (True, 1.5)
    """
    design = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    n_sim = int(is_sim.sum())
    cost = np.where(is_sim, len(x) / (2 * n_sim), len(x) / (2 * (len(x) - n_sim)))
    ridge = np.append(np.full(x.shape[1], 1.0 / strength), 0.0)
    signs = np.where(is_sim, 1.0, -1.0)
    beta = np.zeros(design.shape[1])
    loss = _loss(design, signs, cost, ridge, beta)
    for _ in range(MOST_STEPS):
        chance = _sigmoid(design @ beta)
        slope = design.T @ (cost * (chance - is_sim)) + ridge * beta
        if np.abs(slope).max() <= FLATNESS * len(x):
            break
        curvature = (design * (cost * chance * (1 - chance))[:, None]).T @ design
        # Where all is certain the intercept alone has no curvature left: a touch of it.
        curvature[np.diag_indices(len(beta))] += ridge + 1e-12 * len(x)
        step = np.linalg.solve(curvature, slope)
        beta, loss, moved = _downhill(
            lambda b: _loss(design, signs, cost, ridge, b), beta, step, loss
        )
        if not moved:
            break
    return beta[:-1], float(beta[-1])


def _loss(
    design: Float64Array,
    signs: Float64Array,
    cost: Float64Array,
    ridge: Float64Array,
    beta: Float64Array,
) -> float:
    losses = np.logaddexp(0.0, -signs * (design @ beta))
    return float(cost @ losses + ridge @ beta**2 / 2)


def _downhill(
    loss_at: Callable[[Float64Array], float], beta: Float64Array, step: Float64Array, loss: float
) -> tuple[Float64Array, float, bool]:
    """Return the first of the full, half, quarter... step that does not climb."""
    for halving in range(30):
        tried = beta - step * 0.5**halving
        there = loss_at(tried)
        if there <= loss:
            return tried, there, bool((tried != beta).any())
    return beta, loss, False


def _sigmoid(x: Float64Array) -> Float64Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
