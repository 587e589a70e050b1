"""The direction in which an embedding moves with a property: arrays in, arrays out.

Two vectors are called a gradient. The one that a regression of the property on the embedding
gives says how to *read* the property; it may lean on axes that have nothing to do with the
property and only help to cancel what disturbs the reading (Haufe et al. 2014, NeuroImage 87, 96).
The other is how the mean embedding *moves* as the property rises, dE[x | p]/dp, and is the one
used here: it needs no inverse and no ridge, points to where the images of higher values lie,
and extends to other properties held fixed. It is also the direction in which the best linear
reading rises most steeply if steps are measured in units of the embedding's own scatter. Angles
are Euclidean, the metric of all distances between embeddings.
"""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float64Array, owned
from simreal.core.errors import NotComputableError
from simreal.explain.scores import Score, from_error

#: Share of a property's variance that those held fixed must leave, for a slope to be told.
LEAST_OWN_VARIANCE = 0.01
#: Objects beyond the number of fitted columns.
FEWEST_BEYOND = 20
#: Objects per column of the properties held, for their squares to be held as well.
OBJECTS_PER_COLUMN = 20
#: Numbers drawn at a time: 32 MB.
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slope:
    """How the mean embedding moves with one property.

    Parameters
    ----------
    vector : array (d,)
        Displacement of the mean per standard deviation of the property, others held fixed.
    influence : array (n, d)
        What every object adds to the error of `vector`.
    share : Score
        Share of the variance of the embedding that moves with the property, beyond what moves
        with those held fixed. Unbiased, hence below 0 half of the time where there is none.
    own_variance : float
        Share of the property's variance that those held fixed do not predict.
    left, moved : arrays (n,), (n, d)
        Property and embedding, less what those held fixed predict: what permutations exchange.
    """

    vector: Float64Array
    influence: Float64Array
    share: Score
    own_variance: float
    left: Float64Array
    moved: Float64Array

    def __post_init__(self) -> None:
        for name in ("vector", "influence", "left", "moved"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    @property
    def length(self) -> float:
        """Length of the vector."""
        return float(np.linalg.norm(self.vector))

    @property
    def noise(self) -> float:
        """Expected square of the error of the vector."""
        return float((self.influence**2).sum())


def slope(points: Float64Array, values: Float64Array, held: Float64Array | None = None) -> Slope:
    """Return how the mean of `points` moves with `values`, at fixed `held`.

    Least squares of every axis on the values and on a quadratic in each of `held`; linear where
    there are fewer than 20 objects per column. Errors allow for scatter that depends on the
    values (White 1980, Econometrica 48, 817, with MacKinnon and White's leverage correction).

    Parameters
    ----------
    points : array (n, d)
        One row per independent object.
    values : array (n,)
    held : array (n, h), optional

    Raises
    ------
    NotComputableError
        If the values, or the points, do not vary; if there are too few objects; or if `held`
        predicts the values.

    Examples
    --------
    >>> values = np.arange(40.0)
    >>> noise = np.cos(np.arange(40.0))[:, None] * [1.0, 0.0]
    >>> found = slope(np.outer(values, [0.0, 2.0]) + noise, values)
    >>> np.round(found.vector / values.std(), 2).tolist()
    [0.0, 2.0]
    """
    n = len(values)
    fixed = _held_columns(held, n)
    k = fixed.shape[1] + 1
    if n - k < FEWEST_BEYOND:
        raise NotComputableError(
            f"got {n} objects for {k} fitted columns, needed are {k + FEWEST_BEYOND}"
        )
    away = values - values.mean()
    spread = float(away @ away)
    if not spread > 0:
        raise NotComputableError(f"all {n} values are the same")
    left = away - fixed @ (fixed.T @ away)
    own = float(left @ left)
    if own < LEAST_OWN_VARIANCE * spread:
        raise NotComputableError(
            f"those held fixed predict {100 * (1 - own / spread):.1f} % of its variance; "
            "hold fewer fixed"
        )
    total = points - points.mean(axis=0)
    moved = total - fixed @ (fixed.T @ total)
    per_unit = moved.T @ left / own
    rest = moved - np.outer(left, per_unit)
    deviation = np.sqrt(spread / n)
    leverage = np.minimum((fixed**2).sum(axis=1) + left**2 / own, 0.99)
    influence = (left / own / np.sqrt(1 - leverage))[:, None] * rest * deviation
    return Slope(
        vector=per_unit * deviation,
        influence=influence,
        share=_share(total, moved, rest, influence / deviation * np.sqrt(own), k=k),
        own_variance=own / spread,
        left=left,
        moved=moved,
    )


def _held_columns(held: Float64Array | None, n: int) -> Float64Array:
    """Return orthonormal columns of what is held fixed, the constant among them."""
    columns = np.ones((n, 1))
    if held is not None and held.shape[1]:
        away = held - held.mean(axis=0)
        away = away / np.maximum(np.sqrt((away**2).mean(axis=0)), 1e-300)
        squares = 2 * held.shape[1] * OBJECTS_PER_COLUMN <= n
        columns = np.column_stack([columns, away, away**2] if squares else [columns, away])
    left, strength, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, strength > 1e-9 * strength[0]])


def _share(
    total: Float64Array, moved: Float64Array, rest: Float64Array, error: Float64Array, *, k: int
) -> Score:
    """Return the share of all variance that goes with the property, linearised."""
    per_total, per_moved, per_rest = ((part**2).sum(axis=1) for part in (total, moved, rest))
    n, everything = len(total), float(per_total.sum())
    if not everything > (1e-6 * float(np.abs(total).max(initial=0.0))) ** 2:
        raise NotComputableError(f"all {n} vectors are the same")
    by_chance = float(per_rest.sum()) / (n - k)
    value = (float(per_moved.sum() - per_rest.sum()) - by_chance) / everything
    influence = (per_moved - per_rest - value * per_total) * n / everything
    # Where nothing moves the first order vanishes: the scatter of a squared length is left.
    covariance = error.T @ error if len(error) >= error.shape[1] else error @ error.T
    second = 2.0 * float((covariance**2).sum()) / everything**2
    variance = float(influence.var(ddof=1)) / n + second
    return from_error(
        value, float(np.sqrt(variance)), n=n, method="linearised", bounds=(-np.inf, 1.0)
    )


def drawn_errors(
    influences: list[Float64Array], n_draws: int, *, rng: np.random.Generator
) -> list[Float64Array]:
    """Return errors ``(n_draws, d)`` of every vector, drawn together by object.

    A bootstrap with normal multipliers (Mammen 1993, Ann. Statist. 21, 255): an object keeps its
    multiplier for all properties, so that errors of two gradients are as dependent as they are.

    Parameters
    ----------
    influences : list of array (n, d)
        All with the same objects; zero where an object does not take part.
    n_draws : int
    rng : Generator
    """
    stacked = np.concatenate(influences, axis=1)
    if len(stacked) > stacked.shape[1]:
        # Normal multipliers of all objects draw from one covariance: so do fewer of its root.
        stacked = np.asarray(np.linalg.qr(stacked, mode="r"))
    drawn = rng.standard_normal((n_draws, len(stacked))) @ stacked
    ends = np.cumsum([each.shape[1] for each in influences])[:-1]
    return [np.asarray(each) for each in np.split(drawn, ends, axis=1)]


def cone(vector: Float64Array, errors: Float64Array, *, level: float = 0.95) -> float | None:
    """Return the half-angle, in degrees, of the cone that holds the true direction.

    The sine of the angle between true and measured direction is the error across the true
    direction over the measured length: no true length is needed, which a weak gradient would
    overstate. None where errors are as long as the vector, so that no direction is excluded.

    Parameters
    ----------
    vector : array (d,)
    errors : array (n_draws, d)
    level : float

    Examples
    --------
    >>> round(cone(np.array([2.0, 0.0]), np.array([[0.5, 1.0], [0.0, -1.0]])), 6)
    30.0
    """
    length = float(np.linalg.norm(vector))
    if not length > 0:
        return None
    along = errors @ (vector / length)
    across = np.sqrt(np.maximum((errors**2).sum(axis=1) - along**2, 0.0))
    sine = float(np.quantile(across, level)) / length
    return None if sine >= 1 else float(np.degrees(np.arcsin(sine)))


def angle(
    first: Slope,
    second: Slope,
    errors: tuple[Float64Array, Float64Array],
    *,
    shared_noise: float,
    n: int,
) -> Score:
    """Return the angle between two gradients in degrees.

    Noise turns every pair of measured vectors towards a right angle; the expected squares and
    product of their errors are therefore taken off before the cosine is formed.

    Parameters
    ----------
    first, second : Slope
    errors : pair of array (n_draws, d)
        From `drawn_errors`, drawn together.
    shared_noise : float
        Expected product of the two errors.
    n : int
        Objects behind both.
    """
    noise = (first.noise, second.noise, shared_noise)
    value = _cosine(first.vector[None], second.vector[None], noise)[0]
    if np.isnan(value):
        return Score(value=None, n=n, reason="a gradient is no longer than its error")
    # Draws start from vectors of the length that is left once their noise is taken off.
    starts = [each.vector * np.sqrt(1 - each.noise / each.length**2) for each in (first, second)]
    again = _cosine(starts[0] + errors[0], starts[1] + errors[1], noise)
    seen = float(first.vector @ second.vector) / (first.length * second.length)
    off = again[np.isfinite(again)] - seen
    if len(off) < 0.9 * len(again):
        return Score(value=None, n=n, reason="a gradient is hardly longer than its error")
    low, high = value - np.quantile(off, 0.975), value - np.quantile(off, 0.025)
    ends = np.degrees(np.arccos(np.clip([high, value, low], -1.0, 1.0)))
    return Score(
        value=float(ends[1]),
        low=float(min(ends[0], ends[1])),
        high=float(max(ends[1], ends[2])),
        n=n,
        method="multiplier bootstrap by object, noise taken off",
    )


def _cosine(
    first: Float64Array, second: Float64Array, noise: tuple[float, float, float]
) -> Float64Array:
    squares = ((first**2).sum(axis=1) - noise[0]) * ((second**2).sum(axis=1) - noise[1])
    positive = ((first**2).sum(axis=1) > noise[0]) & ((second**2).sum(axis=1) > noise[1])
    product = (first * second).sum(axis=1) - noise[2]
    return np.asarray(np.where(positive, product / np.sqrt(np.where(positive, squares, 1)), np.nan))


def permutation_p(found: Slope, n_permutations: int, *, rng: np.random.Generator) -> float:
    """Return how often shuffled values move the embedding as far, (1 + times) / (1 + shuffles).

    What is shuffled is what those held fixed leave (Freedman and Lane 1983, J. Bus. Econ. Statist.
    1, 292): exact where nothing is held fixed.
    """
    seen = float(((found.left @ found.moved) ** 2).sum())
    n, times = len(found.left), 0
    size = max(1, BLOCK_ELEMENTS // n)
    for start in range(0, n_permutations, size):
        m = min(size, n_permutations - start)
        shuffled = rng.permuted(np.broadcast_to(found.left, (m, n)), axis=1)
        lengths = ((shuffled @ found.moved) ** 2).sum(axis=1)
        times += int((lengths >= seen * (1 - 1e-12)).sum())
    return (1 + times) / (1 + n_permutations)


def own_positions(points: Float64Array, values: Float64Array) -> Float64Array:
    """Return where every object lies along the gradient that all *other* objects give ``(n,)``.

    Parameters
    ----------
    points : array (n, d)
    values : array (n,)

    Examples
    --------
    >>> values = np.arange(5.0)
    >>> np.round(own_positions(np.outer(values, [3.0, 4.0]), values), 6).tolist()
    [-10.0, -5.0, 0.0, 5.0, 10.0]
    """
    n = len(values)
    away, steps = points - points.mean(axis=0), values - values.mean()
    product = away.T @ steps
    weights = steps * n / (n - 1)
    squared = (away**2).sum(axis=1)
    along = away @ product
    # The gradient without object i is the product less what i adds to it.
    lengths = product @ product - 2 * weights * along + weights**2 * squared
    return np.asarray((along - weights * squared) / np.sqrt(np.maximum(lengths, 1e-300)))
