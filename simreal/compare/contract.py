"""What a metric is: one module with `META` and `statistic`, and optionally `fit`.

A metric written elsewhere needs no more than::

    META = MetricMeta(summary="...", zero_point="...", ...)

    def statistic(obs, sim, *, rng):   # arrays (n, d), (m, d) -> float, larger is further
        ...

and an entry point in the group ``simreal.metrics``. Everything else (permutation p-value,
floor, interval) is written once, in `simreal.compare.inference`. A module may also have

``fit(pooled, *, rng) -> Fitted``
    what is fixed once per comparison from the anonymous pool (projections, bandwidths,
    regions) and a fast evaluation of many assignments of the same points at once. It may
    raise `NotComputableError`: the metric is then null, with that reason.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.errors import UsageError

#: Points ``(n, d)`` in single or double precision.
Points: TypeAlias = npt.NDArray[np.floating[Any]]

Statistic: TypeAlias = Callable[..., float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMeta:
    """What a metric says of itself.

    Parameters
    ----------
    summary : str
    title : str
        A few words for axes and tables; by default the summary up to its first bracket.
    zero_point : str
        What it reads for identical populations.
    minimum_groups : int
        Fewest groups per side it is computed for.
    estimand : {"population value", "expectation at this n"}
        What its interval covers: the population value for unbiased statistics, the
        expectation at this n for plug-in ones.
    cost : {"fast", "heavy"}
        Fast metrics use all of n, heavy ones a stated subsample.
    on_request : bool
        Left out where all metrics are asked for: too slow for everyday use.
    tail : {"upper", "lower", "both"}
        Where populations that differ are found: at larger values, at smaller ones, or at both.
    groups_per_dimension : float
        Fewer groups per side than this many times the dimension are refused.
    wanted_groups_per_dimension : float
        Fewer than this many times the dimension are noted.
    near_null : {"linear", "quadratic", "root"}
        How the value grows with a small difference d of the populations: as d, as d² (unbiased
        or plug-in statistics of pairs, divergences), or as the root of something that
        grows as d² (Wasserstein-2). The interval follows from it.
    needs_equal_n : bool
        Whether values at different n are not comparable.
    bounds : tuple
        Smallest and largest possible value; intervals are cut there.
    unit : str
    citation : str
    """

    summary: str
    zero_point: str
    minimum_groups: int
    estimand: Literal["population value", "expectation at this n"]
    cost: Literal["fast", "heavy"] = "fast"
    on_request: bool = False
    tail: Literal["upper", "lower", "both"] = "upper"
    groups_per_dimension: float = 0.0
    wanted_groups_per_dimension: float = 0.0
    near_null: Literal["linear", "quadratic", "root"] = "linear"
    needs_equal_n: bool = True
    bounds: tuple[float, float] = (-np.inf, np.inf)
    unit: str = ""
    citation: str = ""
    title: str = ""

    @property
    def short_title(self) -> str:
        """The title, or the summary up to its first bracket."""
        return self.title or self.summary.partition(" (")[0]

    def smallest_n(self, dimension: int) -> int:
        """Return the fewest groups per side the metric is computed for.

        Examples
        --------
        >>> MetricMeta(summary="s", zero_point="0", minimum_groups=10,
        ...            estimand="population value", groups_per_dimension=2).smallest_n(32)
        64
        """
        return max(self.minimum_groups, math.ceil(self.groups_per_dimension * dimension))


class Fitted(Protocol):
    """A metric whose free choices were fixed from the anonymous pool.

    It may also have ``components(points, sim, obs) -> (B, L)``, one or several statistics that
    are tested in place of the value (see `simreal.compare.inference.aggregate`), ``held_out``
    (see `HeldOut`), and a ``note``.
    """

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the metric for every assignment: points (n, d), masks (B, n) -> (B,)."""
        ...


@runtime_checkable
class Laddered(Protocol):
    """A fitted metric whose test aggregates several statistics."""

    def components(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the statistics for every assignment ``(B, L)``."""
        ...


@runtime_checkable
class HeldOut(Protocol):
    """A fitted metric that learns from labels, and may be tested only where it did not."""

    def held_out(self, points: Float32Array, is_sim: BoolArray) -> tuple[Fitted, BoolArray]:
        """Learn from the labels of half the points of each side.

        Parameters
        ----------
        points : array (n, d)
        is_sim : array of bool (n,)

        Returns
        -------
        fixed : Fitted
            What was learned; it learns nothing more from the labels it is then given.
        mask : array of bool (n,)
            The points that were not used. It follows from `is_sim` and the fit alone, so that
            it is the same for every view of the same groups.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlainLoop:
    """A metric with nothing but `statistic`: one call for every assignment.

    Every call gets a generator in the same state: a statistic that draws projections draws
    the same ones for every relabelling, without which relabellings would not be exchangeable.
    """

    statistic: Statistic
    seed: int

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the metric for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return np.array(
            [
                self.statistic(points[o], points[s], rng=np.random.default_rng(self.seed))
                for s, o in zip(sim, obs, strict=True)
            ],
            dtype=np.float64,
        )


def metric_meta(module: ModuleType, name: str) -> MetricMeta:
    """Return the `META` of a metric's module.

    Raises
    ------
    UsageError
        If the module lacks `META` or `statistic`.
    """
    meta = getattr(module, "META", None)
    if not isinstance(meta, MetricMeta) or not callable(getattr(module, "statistic", None)):
        raise UsageError(
            f"metric {name!r} ({module.__name__}) needs META = MetricMeta(...) and a function "
            "statistic(obs, sim, *, rng)"
        )
    return meta


def fit_metric(module: ModuleType, pooled: Float32Array, *, rng: np.random.Generator) -> Fitted:
    """Return the metric fitted to the pool, or a plain loop over its `statistic`."""
    fit = getattr(module, "fit", None)
    if fit is None:
        return PlainLoop(module.statistic, int(rng.integers(2**31)))
    fitted: Fitted = fit(pooled, rng=rng)
    return fitted


def value_between(
    fit: Callable[..., Fitted], obs: Points, sim: Points, *, rng: np.random.Generator
) -> float:
    """Return a metric that is all in its `fit`, between two samples ``(n, d)``, ``(m, d)``.

    What `statistic` is for a metric whose fast evaluation is its definition.

    Parameters
    ----------
    fit : callable
        ``fit(pooled, *, rng) -> Fitted``.
    obs, sim : array
    rng : Generator
    """
    pooled = np.concatenate([obs, sim])
    is_sim = np.arange(len(pooled)) >= len(obs)
    return float(fit(pooled, rng=rng).values(pooled, is_sim[None], ~is_sim[None])[0])
