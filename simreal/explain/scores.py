"""Numbers of one sample: a value never without its n and its interval, or with the reason why not.

Shares are given Clopper and Pearson's interval (1934, Biometrika 26, 404), which covers at least
its nominal level at any n. Where objects have several views, a share counts each object once, with
the mean over its views: such a mean scatters no more than a yes or no, so the interval still holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simreal.core.errors import UsageError

LEVEL = 0.95
#: Standard errors to either end of a 95 % interval.
REACH = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number about one sample.

    Parameters
    ----------
    value, low, high : float or None
        Interval at `level`; all None together with a `reason`.
    n : int
        Independent objects behind the number.
    level : float
    method : str
        How the interval was made.
    reason : str or None
        Why there is no value.

    Raises
    ------
    UsageError
        If a value comes without interval or method, or null without a reason.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    level: float = LEVEL
    method: str = ""
    reason: str | None = None

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high)
        if self.value is None:
            if not self.reason or self.low is not None or self.high is not None:
                raise UsageError("score: a null value needs a reason and has no interval")
            return
        if any(x is None or not math.isfinite(x) for x in numbers):
            raise UsageError(f"score: got {numbers}, allowed are finite value, low and high")
        if not (self.low <= self.value <= self.high):  # type: ignore[operator]
            raise UsageError(f"score: low <= value <= high does not hold for {numbers}")
        if not self.method:
            raise UsageError("score: an interval names its method")


def no_score(reason: str, *, n: int) -> Score:
    """Return a score that says why there is none."""
    return Score(value=None, n=n, reason=reason)


def clopper_pearson(k: float, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share of which `k` of `n` were seen.

    Parameters
    ----------
    k : float
        Need not be whole: a sum of means over the views of each object.
    n : int
    level : float

    Examples
    --------
    >>> [round(end, 2) for end in clopper_pearson(23, 25)]
    [0.74, 0.99]
    """
    from scipy.special import betaincinv

    if n < 1 or not (0 <= k <= n * (1 + 1e-12)):
        raise UsageError(f"share: got {k} of {n}, allowed is 0 to n of 1 or more")
    tail = (1.0 - level) / 2
    low = 0.0 if k <= 0 else float(betaincinv(k, n - min(k, n) + 1, tail))
    high = 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1.0 - tail))
    return low, high


def share(k: float, n: int) -> Score:
    """Return the share `k` / `n` with its exact interval.

    Examples
    --------
    >>> share(0, 3).low, round(share(0, 3).high, 4)
    (0.0, 0.7076)
    """
    if n < 1:
        return no_score("no objects", n=0)
    low, high = clopper_pearson(k, n)
    value = min(1.0, k / n)
    return Score(
        value=value, low=min(low, value), high=max(high, value), n=n, method="Clopper-Pearson"
    )


def mean_share(shares: Sequence[Score]) -> Score:
    """Return the mean of shares of disjoint objects.

    The ends of its interval are found from theirs (Zou and Donner 2008, Statist. Med. 27, 1693),
    so that it has a width where every share is 0 or 1.

    Examples
    --------
    >>> both = mean_share([share(9, 10), share(5, 10)])
    >>> round(both.value, 2), round(both.low, 2), round(both.high, 2)
    (0.7, 0.47, 0.86)
    """
    values, lows, highs = (
        np.array([getattr(each, name) for each in shares], dtype=np.float64)
        for name in ("value", "low", "high")
    )
    mean = float(values.mean())
    down = float(np.sqrt(((values - lows) ** 2).sum())) / len(shares)
    up = float(np.sqrt(((highs - values) ** 2).sum())) / len(shares)
    return Score(
        value=mean,
        low=max(0.0, mean - down),
        high=min(1.0, mean + up),
        n=sum(each.n for each in shares),
        method="Clopper-Pearson ends, combined",
    )


def from_error(
    value: float,
    error: float,
    *,
    n: int,
    method: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Score:
    """Return a score 1.96 standard errors wide to either side, inside `bounds`.

    Examples
    --------
    >>> round(from_error(0.95, 0.05, n=9, method="linearised", bounds=(0.0, 1.0)).high, 3)
    1.0
    """
    if not (math.isfinite(value) and math.isfinite(error)):
        return no_score("the number or its error is not finite", n=n)
    return Score(
        value=value,
        low=min(value, max(bounds[0], value - REACH * error)),
        high=max(value, min(bounds[1], value + REACH * error)),
        n=n,
        method=method,
    )


def widened(score: Score, factor: float, *, bounds: tuple[float, float]) -> Score:
    """Return a score whose interval reaches `factor` times as far, inside `bounds`.

    Examples
    --------
    >>> narrow = Score(value=0.5, low=0.4, high=0.7, n=9, method="exact")
    >>> wide = widened(narrow, 2.0, bounds=(0.0, 0.8))
    >>> round(wide.low, 1), wide.high
    (0.3, 0.8)
    """
    if score.value is None or score.low is None or score.high is None:
        return score
    return replace(
        score,
        low=max(bounds[0], score.value - factor * (score.value - score.low)),
        high=min(bounds[1], score.value + factor * (score.high - score.value)),
        method=f"{score.method}, {factor:g} times as wide for folds that share what they learn",
    )
