"""From per-image numbers to readings: the inference of every check, written once.

A nuisance is one number per image. Two sides agree in it if the difference of their means is
smaller than the larger of two limits: a fixed one, for sets whose conditions hardly vary; and
a share of the scatter from image to image, because a shift that is small against the scatter
cannot be used to tell the sides apart. That share is set by an AUC of .55: a normal variable
shifted by .178 of its standard deviation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from simreal.core.arrays import Float64Array
from simreal.core.audit import NEUTRAL, ONE_SIDED, Reading, Scale

AUC_LIMIT = 0.05
#: Shift in standard deviations at which one normal number separates two sides with AUC .55.
SHIFT_LIMIT = float(np.sqrt(2.0) * stats.norm.ppf(0.5 + AUC_LIMIT))
#: Share trimmed from either end before a mean is taken: one bright star is not a nuisance.
TRIM = 0.05
FEWEST = 20
LEVEL = 0.95
RESAMPLES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of one number.

    Parameters
    ----------
    name : str
    limit : float or None
        Half-width about the neutral value of the scale; None for a number that is only
        reported.
    scale : {"offset", "ratio", "auc", "separation", "share"}
        Numbers on ``ratio`` are natural logarithms.
    unit : str
    vetoes : bool
        False for what may be physics.
    note : str
    """

    name: str
    limit: float | None = 0.0
    scale: Scale = "offset"
    unit: str = ""
    vetoes: bool = True
    note: str = ""


def reading(
    asked: Asked, value: float, error: float, *, n: tuple[int, int], freedom: float = np.inf
) -> Reading:
    """Return a reading with its 95 % interval and the p-value of being inside its limit.

    Parameters
    ----------
    asked : Asked
    value, error : float
    n : pair of int
        Groups of the simulated and the observed side.
    freedom : float
        Degrees of freedom of `error`.

    Examples
    --------
    >>> rms = reading(Asked(name="rms", limit=0.02, scale="ratio"), 0.1, 0.01, n=(300, 300))
    >>> rms.verdict, bool(rms.p_value < 1e-9)
    ('red', True)
    """
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, freedom)) * error
    p = None
    if asked.limit is not None:
        away = value - NEUTRAL[asked.scale]
        away = max(away, 0.0) if asked.scale in ONE_SIDED else abs(away)
        p = _p_inside(away, error, asked.limit, freedom)
    return Reading(
        name=asked.name,
        value=float(value),
        low=float(value - reach),
        high=float(value + reach),
        error=float(error),
        limit=None if asked.limit is None else float(asked.limit),
        scale=asked.scale,
        unit=asked.unit,
        vetoes=asked.vetoes,
        p_value=p,
        n_sim=n[0],
        n_obs=n[1],
        note=asked.note,
    )


def _p_inside(away: float, error: float, limit: float, freedom: float) -> float:
    if error > 0:
        return float(stats.t.sf((away - limit) / error, freedom))
    return 1.0 if away <= limit else 0.0


def not_computable(asked: Asked | str, reason: str) -> Reading:
    """Return a reading that says why there is none; asked by name alone, it vetoes."""
    asked = Asked(name=asked) if isinstance(asked, str) else asked
    return Reading(
        name=asked.name, value=None, reason=reason, scale=asked.scale, vetoes=asked.vetoes,
        note=asked.note,
    )  # fmt: skip


def offset(asked: Asked, sim: npt.ArrayLike, obs: npt.ArrayLike) -> Reading:
    """Return the difference of the trimmed means of one number per image, sim minus obs.

    Yuen's test (1974, Biometrika 61, 165): trimmed means with winsorised variances, so that
    a few wild images neither make nor hide a difference.

    Parameters
    ----------
    asked : Asked
        Its limit is the fixed one; the share of the scatter counts where it is larger.
    sim, obs : array (n,), (m,)
        One number per group; non-finite ones are left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> offset(Asked(name="level"), rng.normal(0.5, 1, 400), rng.normal(0, 1, 400)).verdict
    'red'
    """
    sides = _finite(sim, obs)
    counts = (len(sides[0]), len(sides[1]))
    if min(counts) < FEWEST:
        return _too_few(asked, counts)
    (mean_sim, error_sim, free_sim), (mean_obs, error_obs, free_obs) = map(_trimmed, sides)
    error = float(np.hypot(error_sim, error_obs))
    freedom = np.inf
    if error > 0:
        freedom = error**4 / (error_sim**4 / free_sim + error_obs**4 / free_obs)
    wider = _widened(asked, sides)
    return reading(wider, mean_sim - mean_obs, error, n=counts, freedom=freedom)


def _finite(sim: npt.ArrayLike, obs: npt.ArrayLike) -> list[Float64Array]:
    sides = [np.asarray(values, dtype=np.float64) for values in (sim, obs)]
    return [values[np.isfinite(values)] for values in sides]


def _too_few(asked: Asked, counts: tuple[int, int]) -> Reading:
    return not_computable(
        asked,
        f"got {counts[0]} simulated and {counts[1]} observed objects with this number, needed "
        f"are {FEWEST} of each",
    )


def _widened(asked: Asked, sides: Sequence[Float64Array]) -> Asked:
    """Return what is asked with the limit that the scatter from image to image allows."""
    if asked.limit is None:
        return asked
    scatter = float(np.sqrt(np.mean([robust_scatter(values) ** 2 for values in sides])))
    # Where both sides are constant, any difference is exact, and so is equality.
    return replace(asked, limit=max(asked.limit, SHIFT_LIMIT * scatter, 1e-12))


def _trimmed(values: Float64Array) -> tuple[float, float, float]:
    """Return trimmed mean, its standard error and the degrees of freedom."""
    n = len(values)
    cut = int(TRIM * n)
    ordered = np.sort(values)
    kept = n - 2 * cut
    mean = float(ordered[cut : n - cut].mean())
    ordered[:cut], ordered[n - cut :] = ordered[cut], ordered[n - cut - 1]
    error = float(np.sqrt((n - 1) * ordered.var(ddof=1) / (kept * (kept - 1))))
    return mean, error, kept - 1.0


def robust_scatter(values: Float64Array) -> float:
    """Return the standard deviation of `values` from their central 80 %.

    Examples
    --------
    >>> round(robust_scatter(np.random.default_rng(1).normal(0, 2, 100_000)), 1)
    2.0
    """
    low, high = np.percentile(values, [10, 90])
    return float((high - low) / (2 * stats.norm.ppf(0.9)))


def quantile_offset(
    asked: Asked,
    sim: npt.ArrayLike,
    obs: npt.ArrayLike,
    *,
    percentile: float,
    rng: np.random.Generator,
) -> Reading:
    """Return the difference of a percentile of one number per image, sim minus obs.

    The error is that of a bootstrap over groups; limits as in `offset`.
    """
    sides = _finite(sim, obs)
    counts = (len(sides[0]), len(sides[1]))
    if min(counts) < FEWEST:
        return _too_few(asked, counts)
    at = [float(np.percentile(values, percentile)) for values in sides]
    draws = [
        np.percentile(rng.choice(values, (RESAMPLES, len(values))), percentile, axis=1)
        for values in sides
    ]
    error = float(np.hypot(draws[0].std(ddof=1), draws[1].std(ddof=1)))
    return reading(_widened(asked, sides), at[0] - at[1], error, n=counts)


def statistic(
    asked: Asked,
    sim: Float64Array,
    obs: Float64Array,
    compute: Callable[[Float64Array, Float64Array], float],
    *,
    rng: np.random.Generator,
) -> Reading:
    """Return any contrast of two tables of per-image numbers, its error bootstrapped by group.

    Parameters
    ----------
    asked : Asked
        Its limit is taken as it is.
    sim, obs : array (n, k), (m, k)
    compute : callable(sim, obs) -> float
    """
    counts = (len(sim), len(obs))
    if min(counts) < FEWEST:
        return _too_few(asked, counts)
    draws = [compute(_redrawn(sim, rng), _redrawn(obs, rng)) for _ in range(RESAMPLES)]
    return reading(asked, compute(sim, obs), float(np.std(draws, ddof=1)), n=counts)


def _redrawn(table: Float64Array, rng: np.random.Generator) -> Float64Array:
    return np.asarray(table[rng.integers(len(table), size=len(table))])


def separation(asked: Asked, sim: npt.ArrayLike, obs: npt.ArrayLike) -> Reading:
    """Return how well one number tells the sides apart: the AUC, in either direction.

    For numbers with no scale of their own, or whose differences are exact (a bit pattern). The
    limit is AUC .45 to .55 whatever was asked.

    Examples
    --------
    >>> separation(Asked(name="grid"), np.zeros(40), np.ones(40)).verdict
    'red'
    """
    sides = _finite(sim, obs)
    counts = (len(sides[0]), len(sides[1]))
    if min(counts) < FEWEST:
        return _too_few(asked, counts)
    auc, error = auc_with_error(*sides)
    return reading(replace(asked, limit=AUC_LIMIT, scale="separation"), auc, error, n=counts)


def auc_with_error(sim: Float64Array, obs: Float64Array) -> tuple[float, float]:
    """Return the chance that a simulated number is the larger one, ties half, and its error.

    DeLong et al. 1988; no smaller than the step of one exchanged pair.

    Examples
    --------
    >>> auc_with_error(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.5]))[0]
    1.0
    """
    n, m = len(sim), len(obs)
    ranks = stats.rankdata(np.concatenate([sim, obs]))
    place_sim = (ranks[:n] - stats.rankdata(sim)) / m
    place_obs = 1.0 - (ranks[n:] - stats.rankdata(obs)) / n
    variance = place_sim.var(ddof=1) / n + place_obs.var(ddof=1) / m
    return float(place_sim.mean()), float(max(np.sqrt(variance), 0.5 / min(n, m)))
