"""Verdicts of the calibration: the band of a rejection rate, uniform p-values, lowered bars.

A perfect test leaves a 95 % band one time in twenty. Bands are therefore family-wise: all
cells of a family keep to them together with 99 % probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError
from simreal.stats.fdr import holm

#: Nominal level of every test that is calibrated.
LEVEL = 0.05

#: Chance that any cell of a family of perfect tests is flagged, for the band and for the
#: uniformity of p each.
FAMILY_ERROR = 0.01

#: From this many repetitions on a goal is a goal; with fewer it is lowered by what chance does.
FULL_REPETITIONS = 500


def rejection_band(
    repetitions: int, n_cells: int, *, level: float = LEVEL, family_error: float = FAMILY_ERROR
) -> tuple[float, float]:
    """Return the rejection rates that all of `n_cells` exact tests keep to.

    An exact test rejects Binomial(repetitions, level) times. Each cell gets an equal share of
    the family's error (Bonferroni: valid whatever the dependence between cells), and the band is
    the shortest range of counts that leaves out no more than that.

    Parameters
    ----------
    repetitions, n_cells : int
        One or more.
    level : float
    family_error : float
        Chance that any exact test of the family leaves its band.

    Examples
    --------
    >>> rejection_band(500, 1), rejection_band(2000, 1)
    ((0.026, 0.076), (0.038, 0.063))
    >>> rejection_band(500, 20)
    (0.02, 0.086)
    """
    from scipy import stats

    if repetitions < 1 or n_cells < 1:
        raise UsageError(
            f"rejection band: got {repetitions} repetitions and {n_cells} cells, allowed are 1 or "
            "more of each"
        )
    inside = 1.0 - family_error / n_cells
    cumulative = stats.binom.cdf(np.arange(repetitions + 1), repetitions, level)
    below = np.concatenate([[0.0], cumulative[:-1]])  # P(count < low) for every low
    lows = np.flatnonzero(below <= 1.0 - inside)
    highs = np.searchsorted(cumulative, below[lows] + inside - 1e-15)
    lows, highs = lows[highs <= repetitions], highs[highs <= repetitions]
    # The shortest range; of equally short ones the one that holds most.
    held = cumulative[highs] - below[lows]
    best = np.lexsort((-held, highs - lows))[0]
    return float(lows[best] / repetitions), float(highs[best] / repetitions)


def uniformity_p(p_values: npt.ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov p-value of `p_values` being uniform on 0 to 1.

    Examples
    --------
    >>> round(uniformity_p([0.1, 0.3, 0.5, 0.7, 0.9]), 3)
    1.0
    """
    from scipy import stats

    return float(stats.kstest(np.asarray(p_values, dtype=np.float64), "uniform").pvalue)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelVerdict:
    """What the p-values of one test under a true null say of it.

    Parameters
    ----------
    repetitions : int
    rejection : float
        Share of p-values at or below `LEVEL`.
    ks_p : float
        p-value of their being uniform.
    band : tuple
        Where the rejection of an exact test lies.
    passed : bool
        Whether the rejection is in the band and the p-values are uniform.
    """

    repetitions: int
    rejection: float
    ks_p: float
    band: tuple[float, float]
    passed: bool


def judge_levels(
    cells: Sequence[npt.ArrayLike], *, n_cells: int | None = None
) -> tuple[LevelVerdict, ...]:
    """Judge the p-values of a family of tests whose null is true.

    Parameters
    ----------
    cells : sequence of array
        The p-values of each test, ties broken at random, one per repetition.
    n_cells : int, optional
        Size of the family; by default the cells given.

    Examples
    --------
    >>> fair = (np.arange(100) + 0.5) / 100
    >>> [verdict.passed for verdict in judge_levels([fair, fair / 3, np.zeros(100)])]
    [True, False, False]
    """
    samples = [np.asarray(cell, dtype=np.float64) for cell in cells]
    if not samples:
        return ()
    family = max(len(samples), n_cells or 0)
    uniform = [uniformity_p(sample) for sample in samples]
    # A larger family than the cells at hand: the others are taken to be in order (p = 1).
    adjusted = holm([*uniform, *[1.0] * (family - len(samples))])
    return tuple(
        _verdict(sample, ks_p, bool(adjusted[i] > FAMILY_ERROR), family)
        for i, (sample, ks_p) in enumerate(zip(samples, uniform, strict=True))
    )


def _verdict(p_values: Float64Array, ks_p: float, uniform: bool, family: int) -> LevelVerdict:  # noqa: FBT001
    band = rejection_band(len(p_values), family)
    rejection = float(np.mean(p_values <= LEVEL))
    return LevelVerdict(
        repetitions=len(p_values),
        rejection=rejection,
        ks_p=ks_p,
        band=band,
        passed=uniform and band[0] <= rejection <= band[1],
    )


def lowest_rate(goal: float, repetitions: int) -> float:
    """Return the rate a measured one must reach for `goal`.

    Where there are too few repetitions to know a rate, what a test exactly at the goal stays
    under one time in a hundred.

    Examples
    --------
    >>> lowest_rate(0.45, 500), lowest_rate(0.45, 40)
    (0.45, 0.275)
    """
    if repetitions >= FULL_REPETITIONS:
        return goal
    from scipy import stats

    return float(stats.binom.ppf(FAMILY_ERROR, repetitions, goal) / repetitions)


def highest_rate(goal: float, repetitions: int) -> float:
    """Return the rate a measured one may not exceed: the mirror image of `lowest_rate`.

    Examples
    --------
    >>> highest_rate(0.97, 500), highest_rate(0.97, 40)
    (0.97, 1.0)
    """
    if repetitions >= FULL_REPETITIONS:
        return goal
    from scipy import stats

    return float(stats.binom.ppf(1 - FAMILY_ERROR, repetitions, goal) / repetitions)
