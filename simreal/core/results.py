"""Results: numbers that never travel without their n, interval and floor."""

import math
from dataclasses import dataclass
from typing import Literal

from simreal.core.errors import UsageError

Direction = Literal["missing", "over-produced", "empty", "consistent", "not claimed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A value with its interval, or null with the reason why there is none.

    Parameters
    ----------
    value, low, high : float or None
        Interval at `level`; all None together with a `reason`.
    level : float
        Nominal coverage of the interval, such as 0.95.
    method : str
        How the interval was made, such as ``"subsampling"``.
    estimand : str
        What the interval covers: the population value for unbiased statistics, the
        expectation at this n for plug-in ones.
    n_sim, n_obs : int
        Independent groups on each side.
    reason : str or None
        Why there is no value.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    method: str = ""
    estimand: str = ""
    n_sim: int
    n_obs: int
    reason: str | None = None

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high)
        if self.value is None:
            if not self.reason:
                raise UsageError("estimate: a null value needs a reason")
            return
        if any(x is None or not math.isfinite(x) for x in numbers):
            raise UsageError(f"estimate: got {numbers}, allowed are finite value, low and high")
        if not (self.low <= self.high):  # type: ignore[operator]
            raise UsageError(f"estimate: the interval [{self.low}, {self.high}] is reversed")
        if not (0 < self.level < 1):
            raise UsageError(f"estimate.level: got {self.level}, allowed is between 0 and 1")
        if not self.method or not self.estimand:
            raise UsageError("estimate: an interval names its method and its estimand")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Floor:
    """What the metric reads between halves of the observed set, at the same n.

    ``low`` and ``high`` are the 2.5 and 97.5 percentiles over `n_splits` splits by group.
    """

    median: float
    low: float
    high: float
    n: int
    n_splits: int

    def __post_init__(self) -> None:
        if not (self.low <= self.median <= self.high):
            raise UsageError(f"floor: {self.low} <= {self.median} <= {self.high} does not hold")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detectable:
    """What a comparison of this size could have seen.

    Parameters
    ----------
    shift : float
        Shift of one whole side, in pooled standard deviations along a random direction.
    power : float
        How often a shift of this size is seen.
    level : float
        Level of the test.
    n : int
        Groups per side the shift holds for.
    measured_at_n : int
        Groups per side it was measured at; scaled by the root of n where they differ.
    """

    shift: float
    power: float
    level: float
    n: int
    measured_at_n: int

    @property
    def sentence(self) -> str:
        """The statement in words.

        Examples
        --------
        >>> found = Detectable(shift=0.31, power=0.8, level=0.05, n=302, measured_at_n=302)
        >>> found.sentence.startswith("with n = 302 a side a shift of 0.31 pooled")
        True
        """
        return (
            f"with n = {self.n} a side a shift of {self.shift:.2g} pooled standard deviations "
            f"would be seen {100 * self.power:.0f} % of the time"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """One metric between two sets.

    ``excess`` = (value - floor) / (ceiling - floor), with its interval, is None until a ceiling
    is declared. ``p_adjusted`` is None until the whole family of metrics is known.
    ``detectable`` says what the comparison could have seen.

    Raises
    ------
    UsageError
        If estimate and floor were taken at different n, or p is not in (0, 1].
    """

    metric: str
    estimate: Estimate
    floor: Floor | None
    ceiling: float | None = None
    excess: Estimate | None = None
    detectable: Detectable | None = None
    p_value: float | None
    p_adjusted: float | None = None
    n_permutations: int = 0
    seed: int
    sim_digest: str
    obs_digest: str
    variant: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.floor is not None and self.estimate.value is not None:
            n = {self.estimate.n_sim, self.estimate.n_obs, self.floor.n}
            if len(n) != 1:
                raise UsageError(f"{self.metric}: estimate and floor have different n: {n}")
        if self.excess is not None and self.ceiling is None:
            raise UsageError(f"{self.metric}: an excess needs a declared ceiling")
        for p in (self.p_value, self.p_adjusted):
            if p is not None and not (0 < p <= 1):
                raise UsageError(f"{self.metric}: got p = {p}, allowed is above 0 and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """One region of embedding space and how both sides populate it.

    ``log2_ratio`` is log2 of the simulated over the observed fraction with Jeffreys counts
    (+0.5); ``p_adjusted`` is Benjamini-Hochberg over the regions.
    """

    name: str
    n_sim: int
    n_obs: int
    log2_ratio: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    direction: Direction
    sim_ids: tuple[str, ...] = ()
    obs_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejection:
    """One broken input, quarantined: who, where, what is wrong and what to do."""

    id: str
    path: str
    code: str
    reason: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exclusion:
    """One good image left out by selection or frame, so that nothing vanishes silently."""

    id: str
    side: str
    step: str
    reason: str
    radius: float | None = None
