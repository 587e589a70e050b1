"""The ceiling: what a metric reads for a declared bad mock, and the excess over the floor.

A distance says little until one knows what a bad simulation would read. With floor f (real against
real) and ceiling c (the bad mock against the same real objects, at the same n) the excess
(value - f) / (c - f) is 0 for a simulation that cannot be told from the sky and 1 for one as bad
as the mock.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import Fitted
from simreal.compare.inference import (
    Subsampled,
    SubsampleMasks,
    floor_values,
    subsampling_interval,
    values,
)
from simreal.compare.sample import Sample
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.results import Estimate
from simreal.stats.groups import random_masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """The two ends a value is read between.

    Parameters
    ----------
    floor, ceiling : float
    """

    floor: float
    ceiling: float


def ceiling_value(metric: Fitted, sample: Sample) -> float:
    """Return the metric between the bad mock and the tested observed groups."""
    rounds, bad = _against_mock(sample)
    return float(values(metric, rounds, bad[None], ~bad[None])[0])


def excess(
    metric: Fitted,
    sample: Sample,
    *,
    estimate: Estimate,
    scale: Scale,
    subsampled: Subsampled,
    masks: SubsampleMasks,
    n_floor_splits: int,
    rng: np.random.Generator,
) -> Estimate:
    """Return the excess with its interval, or null where the ceiling is not beyond the floor.

    Value and ceiling are read on the same subsamples of observed groups, so that what they
    share cancels; the floor at the size of a subsample is its own.

    Parameters
    ----------
    metric : Fitted
    sample : Sample
        With a ceiling.
    estimate : Estimate
        The value at this n.
    scale : Scale
        Floor and ceiling at this n.
    subsampled, masks
        The value on parts of the sample, and which groups those are.
    n_floor_splits : int
    rng : Generator
    """
    if estimate.value is None or not abs(scale.ceiling - scale.floor) > 0:
        return _null(estimate, "the ceiling reads the same as the floor")
    draws = []
    for part, of_value in ((2, subsampled.half), (4, subsampled.quarter)):
        top = _ceiling_draws(metric, sample, masks.obs[part], rng=rng)
        size = int(masks.obs[part][0].sum())
        bottom = float(np.median(floor_values(metric, sample, size, n_floor_splits, rng=rng)))
        if not ((top - bottom) * np.sign(scale.ceiling - scale.floor) > 0).all():
            return _null(estimate, "the ceiling is not beyond the floor in every subsample")
        draws.append((of_value - bottom) / (top - bottom))
    value = (estimate.value - scale.floor) / (scale.ceiling - scale.floor)
    low, high = subsampling_interval(
        value, Subsampled(half=draws[0], quarter=draws[1], n=sample.n), level=estimate.level
    )
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=estimate.level,
        method=estimate.method,
        estimand="share of the way from floor to ceiling at this n",
        n_sim=estimate.n_sim,
        n_obs=estimate.n_obs,
    )


def _ceiling_draws(
    metric: Fitted, sample: Sample, obs_masks: BoolArray, *, rng: np.random.Generator
) -> Float64Array:
    """Return the metric between parts of the mock and the given parts of the observed side."""
    rounds, bad = _against_mock(sample)
    size = int(obs_masks[0].sum())
    sim = random_masks(bad, size, len(obs_masks), rng=rng)
    obs = np.zeros_like(sim)
    obs[:, ~bad] = obs_masks[:, ~sample.is_sim]
    return values(metric, rounds, sim, obs)


def _against_mock(sample: Sample) -> tuple[Float32Array, BoolArray]:
    if sample.ceiling_rounds is None:
        raise AssertionError("a sample without a ceiling")
    real = sample.rounds[:, ~sample.is_sim]
    rounds = np.concatenate([sample.ceiling_rounds, real], axis=1)
    return rounds, np.arange(rounds.shape[1]) < sample.ceiling_rounds.shape[1]


def _null(estimate: Estimate, reason: str) -> Estimate:
    return Estimate(
        value=None, low=None, high=None, n_sim=estimate.n_sim, n_obs=estimate.n_obs, reason=reason
    )
