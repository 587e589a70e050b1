"""The nouns a match returns."""

from collections.abc import Mapping
from dataclasses import dataclass

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSet
from simreal.core.results import Exclusion
from simreal.match.matched_selection import MatchedSelection


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchCheck:
    """One requirement a match was held to.

    ``passed`` is None for a number that is reported without a limit.
    """

    name: str
    value: float
    low_limit: float | None = None
    high_limit: float | None = None
    passed: bool | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BalanceRow:
    """How far one property's means lie apart, in units of the pooled standard deviation."""

    property: str
    sim_mean: float
    obs_mean: float
    smd: float
    n_sim: int
    n_obs: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """Two sets on the same footing, and everything that was done and lost on the way.

    Parameters
    ----------
    sim, obs : ImageSet
        Matched stamps in memory, float32 ``(n, band, stamp, stamp)`` in [0, 1].
    sky_sim, sky_obs : ImageSet or None
        Galaxy-free sky of either side on the same frame, through the same last encoding; what
        was injected, or what the frames show beside their galaxy. None where there is none.
    donors : array of int
        Rows of the observed set given in that lent their sky and are not scored.
    exclusions : tuple of Exclusion
    checks : tuple of MatchCheck
    balance : tuple of BalanceRow
    warnings : tuple of str
    matched_fraction : mapping
        ``"sim"`` and ``"obs"``: share of the images that are scored; donors and images not
        drawn for `Recipe.n` do not count as lost.
    residual_differences : tuple of str
        Fields of `Setup` in which the matched sets truly differ still; `compare` must be
        allowed them by name, and the report says so.
    selection : MatchedSelection or None
        How both sides were brought to the same selection, where that was asked for.
    """

    sim: ImageSet
    obs: ImageSet
    sky_sim: ImageSet | None
    sky_obs: ImageSet | None
    donors: IntArray
    exclusions: tuple[Exclusion, ...]
    checks: tuple[MatchCheck, ...]
    balance: tuple[BalanceRow, ...]
    warnings: tuple[str, ...]
    matched_fraction: Mapping[str, float]
    residual_differences: tuple[str, ...]
    selection: MatchedSelection | None = None
