"""How much calibration is done, and on which metrics: costly ones are repeated less often."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from simreal.compare.contract import Fitted, MetricMeta, fit_metric, metric_meta
from simreal.compare.sample import Sample
from simreal.core import plugins
from simreal.core.errors import NotComputableError, UsageError

#: Share of the repetitions that a metric gets: by its cost, and again if it is on request only.
HEAVY_SHARE = 0.2
ON_REQUEST_SHARE = 0.5

#: An outlier is repeated once, with this many times the repetitions and fresh seeds.
RERUN_FACTOR = 4


#: Fewest repetitions that say anything.
FEWEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much calibration is done.

    Parameters
    ----------
    seed : int
    repetitions : int
        Of a fast metric; costly ones get a share (`repetitions_for`).
    n : int
        Groups per side.
    n_permutations : int
        Behind every p-value.
    n_subsamples : int
        Behind every interval.
    planted_repetitions : int
        Of the planted errors.
    workers : int
        Processes; they change no number.
    """

    seed: int = 0
    repetitions: int = 500
    n: int = 100
    n_permutations: int = 199
    n_subsamples: int = 500
    planted_repetitions: int = 500
    workers: int = 1

    def __post_init__(self) -> None:
        lowest = {"seed": 0, "repetitions": FEWEST, "n": 8, "n_permutations": 19}
        lowest |= {"n_subsamples": 50, "planted_repetitions": FEWEST, "workers": 1}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}: got {getattr(self, name)}, allowed is {least} or more")


@functools.cache  # looking through what is installed takes longer than most metrics
def load_metric(name: str) -> tuple[ModuleType, MetricMeta]:
    """Return the module of a metric, built in or of an installed package, and its `META`."""
    module = plugins.load("simreal.compare.metrics", "simreal.metrics", name)
    return module, metric_meta(module, name)


def repetitions_for(meta: MetricMeta, repetitions: int) -> int:
    """Return how often a metric is repeated where a fast one is repeated `repetitions` times.

    Examples
    --------
    >>> given = dict(summary="s", zero_point="0", minimum_groups=10, estimand="population value")
    >>> repetitions_for(MetricMeta(**given), 500)
    500
    >>> repetitions_for(MetricMeta(**given, cost="heavy"), 500)
    100
    >>> repetitions_for(MetricMeta(**given, cost="heavy", on_request=True), 500)
    50
    """
    share = HEAVY_SHARE if meta.cost == "heavy" else 1.0
    share *= ON_REQUEST_SHARE if meta.on_request else 1.0
    return min(repetitions, max(FEWEST, math.ceil(share * repetitions)))


def fit_to(
    module: ModuleType, meta: MetricMeta, sample: Sample, *, rng: np.random.Generator
) -> Fitted:
    """Return the metric fitted to a sample's pool.

    Raises
    ------
    NotComputableError
        If there are too few groups for it, or it says so itself.
    """
    dimension = sample.pooled.shape[1]
    least = meta.smallest_n(dimension)
    if sample.n < least:
        raise NotComputableError(
            f"needs {least} groups per side or more in {dimension} dimensions, got {sample.n}"
        )
    return fit_metric(module, sample.pooled, rng=rng)


def unknown(reasons: Sequence[str], tried: int) -> str:
    """Return in a sentence why some or all repetitions have no number; empty if all have one.

    Examples
    --------
    >>> unknown(["too few groups", "too few groups"], 20)
    'too few groups (2 of 20 repetitions)'
    """
    return f"{reasons[0]} ({len(reasons)} of {tried} repetitions)" if reasons else ""
