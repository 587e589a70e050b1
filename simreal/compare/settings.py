"""`InferenceSettings`: how much inference a comparison does."""

import dataclasses
from dataclasses import dataclass

from simreal.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """How much inference is done.

    Parameters
    ----------
    n_permutations : int
        The smallest possible p-value is 1 / (n_permutations + 1).
    n_floor_splits : int
        Random splits of the observed set; at least 50.
    n_subsamples : int
        Halves, and as many quarters, of the sample behind the interval; at least 50.
    level : float
        Coverage of intervals and 1 - false-discovery rate of regions.
    n : int or None
        Groups per side; by default the smaller of the simulated groups and half of the observed
        ones, so that the floor can be measured at the same n.
    strata : tuple of str
        Properties that both sides share: drawn alike and shuffled inside strata of these.
    strata_bins : int or None
        Quantile bins of each property; by default about 15 cells in all.
    power : bool
        Whether to state the shift that would have been seen.
    heavy_n, heavy_permutations, heavy_subsamples, heavy_floor_splits : int
        The same for heavy metrics, which use a subsample.
    """

    n_permutations: int = 999
    n_floor_splits: int = 100
    n_subsamples: int = 500
    level: float = 0.95
    n: int | None = None
    strata: tuple[str, ...] = ()
    strata_bins: int | None = None
    power: bool = True
    heavy_n: int = 1000
    heavy_permutations: int = 199
    heavy_subsamples: int = 200
    heavy_floor_splits: int = 50

    def __post_init__(self) -> None:
        lowest = {
            "n_permutations": 19,
            "n_floor_splits": 50,
            "n_subsamples": 50,
            "heavy_permutations": 19,
            "heavy_floor_splits": 50,
            "heavy_subsamples": 50,
            "heavy_n": 20,
        }
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}: got {getattr(self, name)}, allowed is {least} or more")
        if not 0.5 <= self.level < 1:
            raise UsageError(f"level: got {self.level}, allowed is 0.5 to below 1")
        if self.n is not None and self.n < 1:
            raise UsageError(f"n: got {self.n}, allowed is 1 or more groups per side")

    def for_cost(self, cost: str) -> "InferenceSettings":
        """Return the settings that a metric of this cost is run with.

        Examples
        --------
        >>> InferenceSettings().for_cost("heavy").n_permutations
        199
        """
        if cost == "fast":
            return self
        return dataclasses.replace(
            self,
            n_permutations=min(self.n_permutations, self.heavy_permutations),
            n_subsamples=min(self.n_subsamples, self.heavy_subsamples),
            n_floor_splits=min(self.n_floor_splits, self.heavy_floor_splits),
        )
