"""The nouns of an audit: readings against limits, checks, and the verdict over all of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simreal.core.errors import UsageError

Verdict = Literal["clean", "red", "underpowered", "not computable"]
Overall = Literal["clean", "warned", "confounded", "underpowered"]
Cost = Literal["fast", "full"]
Scale = Literal["offset", "ratio", "auc", "separation", "share"]

#: Value of each scale where both sides are equal. Ratios are kept as natural logarithms.
NEUTRAL: Mapping[Scale, float] = {
    "offset": 0.0,
    "ratio": 0.0,
    "auc": 0.5,
    "separation": 0.5,
    "share": 0.0,
}
#: Scales on which only a value above neutral means that the sides differ.
ONE_SIDED: tuple[Scale, ...] = ("auc", "share")
#: A check that cannot rule out this many times its limit is blind: at a limit of AUC .55 that
#: is an AUC of .65.
BLIND = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One number in which two sides must agree, with its interval and its limit.

    Parameters
    ----------
    name : str
    value, low, high : float or None
        Interval at 95 %. On the scale ``ratio`` these are natural logarithms; see `shown`.
    error : float
        Standard error.
    limit : float or None
        Largest distance from `neutral` that does no harm; None for a number that is only
        reported.
    scale : {"offset", "ratio", "auc", "separation", "share"}
        ``auc`` is that of a classifier, where only values above .5 tell; ``separation`` that of
        one number, where both directions do.
    unit : str
    vetoes : bool
        Whether a value outside the limit makes the comparison confounded. False for what may
        be physics.
    p_value : float or None
        Of the hypothesis that the true value is inside the limit.
    p_adjusted : float or None
        Holm-adjusted over the battery.
    n_sim, n_obs : int
        Independent groups.
    note : str
    reason : str or None
        Why there is no value.

    Raises
    ------
    UsageError
        If a value lacks its interval, or a null value lacks its reason.

    Examples
    --------
    >>> rms = Reading(name="sky rms", value=0.0953, low=0.06, high=0.13, error=0.018, limit=0.0198,
    ...               scale="ratio", n_sim=300, n_obs=300, p_value=1e-5)
    >>> [round(x, 2) for x in rms.shown], round(rms.exceedance, 1)
    ([1.1, 1.06, 1.14], 4.8)
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    error: float = 0.0
    limit: float | None = None
    scale: Scale = "offset"
    unit: str = ""
    vetoes: bool = True
    p_value: float | None = None
    p_adjusted: float | None = None
    n_sim: int = 0
    n_obs: int = 0
    note: str = ""
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.scale not in NEUTRAL:
            raise UsageError(f"{self.name}: got scale {self.scale!r}, allowed are {[*NEUTRAL]}")
        if self.value is None:
            if not self.reason:
                raise UsageError(f"{self.name}: a reading without a value needs a reason")
            return
        numbers = (self.value, self.low, self.high, self.error)
        if any(x is None or not math.isfinite(x) for x in numbers):
            raise UsageError(f"{self.name}: got {numbers}, allowed are finite numbers")
        if self.limit is not None and not self.limit > 0:
            raise UsageError(f"{self.name}: got limit {self.limit}, allowed is above 0")

    @property
    def neutral(self) -> float:
        """The value where both sides are equal."""
        return NEUTRAL[self.scale]

    @property
    def exceedance(self) -> float:
        """Distance from neutral in units of the limit; 0 where there is none of either."""
        if self.value is None or self.limit is None:
            return 0.0
        away = self.value - self.neutral
        return (max(away, 0.0) if self.scale in ONE_SIDED else abs(away)) / self.limit

    @property
    def verdict(self) -> Verdict:
        """Clean if the whole interval is inside the limit, red if it is wholly outside.

        Red also asks that the battery's family-wise error stays at 5 %. A number without a
        limit is underpowered by definition: nothing was asked of it.
        """
        if self.value is None:
            return "not computable"
        if self.limit is None:
            return "underpowered"
        low, high = self._away()
        if max(abs(low), abs(high)) <= self.limit:
            return "clean"
        outside = low > self.limit or high < -self.limit
        significant = self.p_adjusted is None or self.p_adjusted <= 0.05
        return "red" if outside and significant else "underpowered"

    @property
    def blind(self) -> bool:
        """Whether even a gross difference, `BLIND` times the limit, cannot be ruled out."""
        if self.value is None or self.limit is None or self.verdict == "red":
            return False
        low, high = self._away()
        return max(abs(low), abs(high)) > BLIND * self.limit

    def _away(self) -> tuple[float, float]:
        # Finite wherever there is a value.
        low, high = (
            (self.neutral if x is None else x) - self.neutral for x in (self.low, self.high)
        )
        return (max(low, 0.0), max(high, 0.0)) if self.scale in ONE_SIDED else (low, high)

    @property
    def shown(self) -> tuple[float | None, float | None, float | None]:
        """Value and interval as they are printed: ratios as ratios."""
        if self.value is None or self.low is None or self.high is None:
            return None, None, None
        if self.scale == "ratio":
            return math.exp(self.value), math.exp(self.low), math.exp(self.high)
        return self.value, self.low, self.high

    @property
    def shown_limits(self) -> tuple[float | None, float | None]:
        """Lower and upper limit as they are printed; None where there is none."""
        if self.limit is None:
            return None, None
        if self.scale == "ratio":
            return math.exp(-self.limit), math.exp(self.limit)
        if self.scale in ONE_SIDED:
            return None, self.neutral + self.limit
        return self.neutral - self.limit, self.neutral + self.limit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditCheck:
    """One check as it was run.

    Parameters
    ----------
    name, code, title, question : str
        Name of its file, letter and number in the literature of this audit, what it is called
        and what it asks.
    cost : {"fast", "full"}
    names_cause : bool
        Whether a red check says what is wrong, or only that something is.
    mend : str
        The one step that would mend it.
    readings : tuple of Reading
    pictures : mapping
        Plain data of its figures by name.
    notes : tuple of str
    seconds : float
    """

    name: str
    code: str
    title: str
    question: str
    cost: Cost
    names_cause: bool
    mend: str
    readings: tuple[Reading, ...]
    pictures: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def vetoing(self) -> tuple[Reading, ...]:
        """The readings that can veto."""
        return tuple(r for r in self.readings if r.vetoes and r.limit is not None)

    @property
    def verdict(self) -> Verdict:
        """Red if any vetoing reading is red, clean if all are clean.

        A check of which some vetoing readings could not be computed is never clean.
        """
        judged = [reading.verdict for reading in self.readings if reading.vetoes]
        if "red" in judged:
            return "red"
        if not judged or all(one == "not computable" for one in judged):
            return "not computable"
        return "clean" if all(one == "clean" for one in judged) else "underpowered"

    @property
    def vetoes(self) -> bool:
        """Whether any reading can veto."""
        return any(reading.vetoes for reading in self.readings)

    @property
    def worst(self) -> Reading | None:
        """The reading that decides: red before others, then the largest exceedance."""
        judged = self.vetoing or self.readings
        known = [reading for reading in judged if reading.value is not None]
        if not known:
            return None
        return max(known, key=lambda r: (r.verdict == "red", r.exceedance))

    @property
    def exceedance(self) -> float:
        """Largest exceedance of the vetoing readings that are red; 0 where none is."""
        return max((r.exceedance for r in self.vetoing if r.verdict == "red"), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditResult:
    """The verdict over a battery of checks, and why.

    Parameters
    ----------
    verdict : {"clean", "warned", "confounded", "underpowered"}
    checks : tuple of AuditCheck
    not_run : tuple of str
        Titles of the checks that exist and were not run.
    reasons : tuple of str
        In the order of weight.
    first : str or None
        The red check that names the cause: the largest exceedance among those that name one,
        else among the others.
    controls : tuple of mapping
        Rows of distances that the comparison's own is read against.
    """

    verdict: Overall
    checks: tuple[AuditCheck, ...]
    not_run: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    first: str | None = None
    controls: tuple[Mapping[str, Any], ...] = ()

    def check(self, name: str) -> AuditCheck:
        """Return the check called `name`.

        Raises
        ------
        UsageError
            If it was not run.
        """
        for one in self.checks:
            if one.name == name:
                return one
        raise UsageError(f"audit: no check {name!r} was run: {[one.name for one in self.checks]}")
