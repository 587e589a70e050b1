"""How far a result hangs on the encoder: its seed, and its kind.

Training the same encoder with another seed gives another distance. The spread over seeds says how
many digits to trust; ranks that change with the seed, or with the kind of encoder, are no ranking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from simreal.core.errors import UsageError

#: Mean rank correlation between seeds below which a ranking is called unstable.
STABLE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSpread:
    """One metric over encoder seeds.

    Parameters
    ----------
    metric : str
    values : tuple of float
        One per seed.
    mean, sd : float
        Standard deviation between seeds (n - 1).
    in_floor_units : float or None
        ``sd`` over a quarter of the width of the 95 % range of the floor: above 1 the choice of
        a seed moves the value more than the choice of the objects does.
    """

    metric: str
    values: tuple[float, ...]
    mean: float
    sd: float
    in_floor_units: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStability:
    """Ranks of several simulations over encoder seeds or kinds.

    Parameters
    ----------
    kendall_tau : float
        Mean over pairs of seeds; 1 where all seeds rank alike.
    stable : bool
        At least 0.8.
    probability_rank_1 : Mapping
        Share of the draws in which each simulation is the closest; ties are shared.
    """

    kendall_tau: float
    stable: bool
    probability_rank_1: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether encoders of different kinds say the same of one metric.

    Parameters
    ----------
    metric : str
    rejects : Mapping of str to bool
        Whether each encoder tells the sets apart.
    encoder_dependent : bool
        They do not all say the same.
    """

    metric: str
    rejects: Mapping[str, bool]
    encoder_dependent: bool


def spread_over_seeds(
    metric: str, values: Sequence[float], *, floor: tuple[float, float] | None = None
) -> SeedSpread:
    """Return mean and spread of a value over encoder seeds.

    Parameters
    ----------
    metric : str
    values : sequence of float
        Two or more.
    floor : tuple of float, optional
        2.5 and 97.5 percentiles of the floor.

    Examples
    --------
    >>> spread_over_seeds("mmd", [1.0, 3.0], floor=(0.0, 4.0)).in_floor_units
    1.4142135623730951
    """
    if len(values) < 2:
        raise UsageError(f"{metric}: got {len(values)} encoder seeds, allowed are 2 or more")
    sd = float(np.std(values, ddof=1))
    unit = None if floor is None else (floor[1] - floor[0]) / 4
    return SeedSpread(
        metric=metric,
        values=tuple(float(v) for v in values),
        mean=float(np.mean(values)),
        sd=sd,
        in_floor_units=sd / unit if unit else None,
    )


def rank_stability(values: npt.ArrayLike, names: Sequence[str]) -> RankStability:
    """Return how stably simulations are ranked over draws (seeds, encoders, subsamples).

    Parameters
    ----------
    values : array (n_draws, n_simulations)
        Distances, smaller is better.
    names : sequence of str

    Examples
    --------
    >>> found = rank_stability([[1, 2, 3], [1, 3, 2]], ["a", "b", "c"])
    >>> round(found.kendall_tau, 3), found.probability_rank_1["a"]
    (0.333, 1.0)
    """
    from scipy.stats import kendalltau

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or min(table.shape) < 2:
        raise UsageError(
            f"ranks: got an array of shape {table.shape} for {len(names)} simulations, allowed "
            "are two or more draws of two or more simulations"
        )
    taus = [float(kendalltau(a, b).statistic) for a, b in combinations(table, 2)]
    tau = float(np.nanmean(taus)) if np.isfinite(taus).any() else 0.0
    best = table == table.min(axis=1, keepdims=True)
    share = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
    return RankStability(
        kendall_tau=tau,
        stable=tau >= STABLE,
        probability_rank_1=dict(zip(names, share.tolist(), strict=True)),
    )


def agreement(metric: str, p_values: Mapping[str, float], *, level: float = 0.05) -> Agreement:
    """Return whether encoders agree that the sets are told apart.

    Parameters
    ----------
    metric : str
    p_values : Mapping
        Adjusted p-value under each encoder.
    level : float

    Examples
    --------
    >>> agreement("mmd", {"simclr": 0.01, "morphology": 0.4}).encoder_dependent
    True
    """
    rejects = {name: p <= level for name, p in p_values.items()}
    return Agreement(
        metric=metric, rejects=rejects, encoder_dependent=len(set(rejects.values())) > 1
    )
