"""Coverage: how often a 95 % interval holds what it says it covers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simreal.compare.calibration.effort import (
    FEWEST,
    Effort,
    fit_to,
    load_metric,
    repetitions_for,
    unknown,
)
from simreal.compare.calibration.populations import GaussianPair
from simreal.compare.calibration.repeat import Progress, repeated
from simreal.compare.calibration.verdicts import highest_rate, lowest_rate
from simreal.compare.contract import MetricMeta
from simreal.compare.inference import interval_of, values
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream

#: Nominal coverage, and where the measured one must lie.
NOMINAL = 0.95
LOWEST, HIGHEST = 0.92, 0.97

#: Shifts along one axis [standard deviations]; the first is near the null: at n = 100 it is seen
#: once in eight times.
EFFECTS = (0.25, 0.5, 1.0)

#: The mean over samples at this n is known from this many times the repetitions: to a fiftieth of
#: the spread of one value, at 500.
TARGET_FACTOR = 4

#: A population value is the mean over samples of this many times n: fast metrics, heavy ones.
LARGE_FACTOR = {"fast": 20, "heavy": 5}
LARGE_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """The coverage of one metric's interval at one effect size.

    Parameters
    ----------
    metric : str
    n : int
    effect : float
        Shift along one axis [standard deviations].
    estimand : str
        What the interval says it covers.
    target : float or None
        The value of that; None with a `reason`.
    repetitions : int
    coverage : float or None
    missed_below, missed_above : float or None
        Share of intervals that lie below the target, and above it.
    relative_width : float or None
        Mean half width of the interval over what it would be if the spread of the value over
        samples were known and normal: 1 is right, larger is cautious.
    band : tuple or None
    passed : bool or None
    reason : str
    """

    metric: str
    n: int
    effect: float
    estimand: str
    target: float | None
    repetitions: int
    coverage: float | None
    missed_below: float | None
    missed_above: float | None
    relative_width: float | None
    band: tuple[float, float] | None
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalTrials:
    """One repetition: one sample, and the interval of every metric on it.

    The transform and all that a metric fits (bandwidth, directions, regions) are found anew for
    every sample, as in a comparison.
    """

    pair: GaussianPair
    repetitions: Mapping[str, int]
    seed: int
    n_subsamples: int

    def __call__(self, repetition: int) -> dict[str, tuple[float, float, float] | str]:
        """Return value, low and high of every metric, or why there is none."""
        where = ("calibrate", "coverage", self.pair.name)
        sample = self.pair.draw(stream(self.seed, *where, "draw", str(repetition)))
        found: dict[str, tuple[float, float, float] | str] = {}
        for name, wanted in self.repetitions.items():
            if repetition >= wanted:
                continue
            module, meta = load_metric(name)
            rng = stream(self.seed, *where, "metric", name, str(repetition))
            try:
                metric = fit_to(module, meta, sample, rng=rng)
                found[name] = interval_of(
                    metric,
                    meta,
                    sample,
                    n_subsamples=self.n_subsamples,
                    level=NOMINAL,
                    rng=rng,
                )
            except NotComputableError as error:
                found[name] = str(error)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTrials:
    """The value of one metric on a fresh sample."""

    pair: GaussianPair
    metric: str
    seed: int

    def __call__(self, repetition: int) -> float:
        """Return the value of repetition `repetition`, NaN where there is none."""
        where = ("calibrate", "target", self.pair.name, str(self.pair.n))
        sample = self.pair.draw(stream(self.seed, *where, "draw", str(repetition)))
        module, meta = load_metric(self.metric)
        rng = stream(self.seed, *where, "metric", self.metric, str(repetition))
        labels = sample.is_sim[None]
        try:
            metric = fit_to(module, meta, sample, rng=rng)
            return float(values(metric, sample.rounds, labels, ~labels)[0])
        except NotComputableError:
            return float("nan")


def measure_coverage(
    metrics: Sequence[str],
    *,
    effects: Sequence[float] = EFFECTS,
    effort: Effort,
    progress: Progress | None = None,
) -> tuple[CoverageRow, ...]:
    """Return the coverage of every metric's interval at every effect size.

    Parameters
    ----------
    metrics : sequence of str
    effects : sequence of float
        Shifts along one axis [standard deviations].
    effort : Effort
    progress : callable(label, done, total), optional
    """
    rows: list[CoverageRow] = []
    for effect in effects:
        pair = GaussianPair(n=effort.n, shift=effect, name=f"shift {effect:g}")
        task = IntervalTrials(
            pair=pair,
            repetitions={
                name: repetitions_for(load_metric(name)[1], effort.repetitions) for name in metrics
            },
            seed=effort.seed,
            n_subsamples=effort.n_subsamples,
        )
        found = repeated(
            task,
            range(max(task.repetitions.values())),
            workers=effort.workers,
            label=f"coverage, shift {effect:g} σ",
            progress=progress,
        )
        for name in metrics:
            trials = [one[name] for one in found if name in one]
            rows.append(_row(name, pair, trials, effort, progress))
    return tuple(rows)


def target_value(
    name: str,
    pair: GaussianPair,
    repetitions: int,
    *,
    effort: Effort,
    progress: Progress | None = None,
) -> float:
    """Return what the interval of a metric says it covers.

    For an expectation at this n, the mean over fresh samples of this n, everything fitted anew
    in each; for a population value the same over samples so large that their n does not matter.
    """
    _, meta = load_metric(name)
    drawn = pair
    n_draws = TARGET_FACTOR * repetitions
    if meta.estimand == "population value":
        drawn = replace(pair, n=LARGE_FACTOR[meta.cost] * pair.n)
        n_draws = max(FEWEST, round(LARGE_SHARE * repetitions))
    found = repeated(
        ValueTrials(pair=drawn, metric=name, seed=effort.seed),
        range(n_draws),
        workers=effort.workers,
        label=f"coverage, {meta.estimand} of {name}, {pair.name}",
        progress=progress,
    )
    return float(np.nanmean(found))


def _row(
    name: str,
    pair: GaussianPair,
    trials: Sequence[tuple[float, float, float] | str],
    effort: Effort,
    progress: Progress | None,
) -> CoverageRow:
    meta: MetricMeta = load_metric(name)[1]
    failures = [one for one in trials if isinstance(one, str)]
    known = [one for one in trials if not isinstance(one, str)]
    reason = unknown(failures, len(trials))
    if len(known) < FEWEST:
        return CoverageRow(
            metric=name, n=pair.n, effect=pair.shift, estimand=meta.estimand, target=None,
            repetitions=len(trials), coverage=None, missed_below=None, missed_above=None,
            relative_width=None, band=None, passed=None, reason=reason,
        )  # fmt: skip
    target = target_value(name, pair, len(known), effort=effort, progress=progress)
    value, low, high = np.array(known).T
    below, above = float(np.mean(high < target)), float(np.mean(low > target))
    coverage = float(np.mean((low <= target) & (target <= high)))
    band = lowest_rate(LOWEST, len(known)), highest_rate(HIGHEST, len(known))
    return CoverageRow(
        metric=name,
        n=pair.n,
        effect=pair.shift,
        estimand=meta.estimand,
        target=target,
        repetitions=len(known),
        coverage=coverage,
        missed_below=below,
        missed_above=above,
        relative_width=float(np.mean(high - low) / 2 / (_NORMAL * value.std(ddof=1))),
        band=band,
        passed=band[0] <= coverage <= band[1],
        reason=reason,
    )


#: 97.5 % quantile of the normal distribution.
_NORMAL = 1.959964
