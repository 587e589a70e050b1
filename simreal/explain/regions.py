"""Where in the embedding the simulation has too few, too many, or other objects than the sky.

Regions are clusters in principal components, k-means or HDBSCAN with its noise as one more region,
never in UMAP space. They are fitted to the pool of both sides without a label: one view of every
group, as many views of each group on either side. Whichever groups are called simulated, the
regions are the same, so under the null hypothesis the count of a region is hypergeometric and
Fisher's test of it is exact, though the same objects are counted that the regions were found in.
Clusters fitted to one side hug that side, and the same test then rejects nearly every true null.
A third set, of neither side's groups, may be given instead.

Fractions of a side add up to one: where a class is missing, all others are a larger share.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.results import Direction
from simreal.explain.clustering import DENSITY_NEIGHBOURS, NOISE, hdbscan
from simreal.explain.region_properties import (
    CALIPER,
    SIDES,
    Column,
    Controls,
    Members,
    PropertyOffset,
    Side,
    adjusted,
    columns_of,
    controls_of,
    region_offsets,
)
from simreal.stats.clusters import assign, fit_centres
from simreal.stats.fdr import benjamini_hochberg
from simreal.stats.groups import group_rows, smallest_group, thin_views
from simreal.stats.neighbours import nearest
from simreal.stats.pca import Pca, fit_pca

Method = Literal["k-means", "hdbscan"]
METHODS: tuple[Method, ...] = ("k-means", "hdbscan")

COMPONENTS = 8
#: Regions by default: one for this many groups of the smaller side, but not more than `MOST_K`.
GROUPS_PER_REGION = 40
MOST_K = 8
#: Fewest groups of both sides together for a region to be judged. With equal n no split of five
#: objects has p <= 0.05 (5 : 0 has 2 / 2^5), and a test that cannot reject says nothing.
FEWEST_JUDGED = 6
#: Fewest groups of a side.
FEWEST_GROUPS = 10
#: Views of a group beyond this many add time and next to no information.
MOST_VIEWS = 4
#: Images named for each side: nearest to the centre of the region, and as many furthest from it.
EXAMPLES = 6
PERMUTATIONS = 9999
CONTROLS = ("stellar_mass", "redshift")
#: Elements of one block of permuted labels.
BLOCK = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """How regions are found and what is asked of them.

    Parameters
    ----------
    method : {"k-means", "hdbscan"}
    k : int or None
        Regions of k-means; by default one for 40 groups of the smaller side, 2 to 8.
    min_cluster_size : int or None
        Smallest HDBSCAN cluster; by default a fiftieth of the pool, at least 10.
    density_neighbours : int
        Objects that make a point dense for HDBSCAN.
    n_components : int
        Principal components at most.
    controls : tuple of str
        Properties held fixed in offsets, where both sides have them.
    properties : tuple of str or None
        Properties that are described; by default every numeric one of either side.
    caliper : float
        Pooled standard deviations by which a pair may differ in a control.
    n_permutations : int
        Behind p-values where groups have several views.
    level : float
        Coverage of intervals, and 1 - false-discovery rate.

    Raises
    ------
    UsageError
        If a value is outside what is allowed.
    """

    method: Method = "k-means"
    k: int | None = None
    min_cluster_size: int | None = None
    density_neighbours: int = DENSITY_NEIGHBOURS
    n_components: int = COMPONENTS
    controls: tuple[str, ...] = CONTROLS
    properties: tuple[str, ...] | None = None
    caliper: float = CALIPER
    n_permutations: int = PERMUTATIONS
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"regions: got method {self.method!r}, allowed: {', '.join(METHODS)}")
        fewest = {
            "k": (self.k, 2),
            "min_cluster_size": (self.min_cluster_size, 2),
            "density_neighbours": (self.density_neighbours, 1),
            "n_components": (self.n_components, 1),
            "n_permutations": (self.n_permutations, 99),
        }
        for name, (got, least) in fewest.items():
            if got is not None and got < least:
                raise UsageError(f"regions: got {name} {got}, allowed is {least} or more")
        if not self.caliper > 0:
            raise UsageError(f"regions: got caliper {self.caliper}, allowed is above 0")
        if not 0.5 <= self.level < 1:
            raise UsageError(f"regions: got level {self.level}, allowed is 0.5 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionFound:
    """One region, how both sides populate it, and what its objects are.

    Parameters
    ----------
    name : str
    n_sim, n_obs : float
        Groups; a group with views in several regions counts in parts.
    log2_ratio, low, high : float
        log2 of the simulated over the observed fraction, half a group added to every count.
    p_value, p_adjusted : float
        Against all other regions; Benjamini-Hochberg over the regions that are judged.
    direction : Direction
        ``empty``: too few groups to judge. ``not claimed``: see `Regions.reason`.
    reason : str
        Why a region is empty or nothing is claimed.
    sim_ids, obs_ids, sim_edge_ids, obs_edge_ids : tuple of str
        Images nearest to the centre, nearest first, and furthest from it, furthest first; one per
        group.
    properties : tuple of PropertyOffset
    """

    name: str
    n_sim: float
    n_obs: float
    log2_ratio: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    direction: Direction
    reason: str
    sim_ids: tuple[str, ...]
    obs_ids: tuple[str, ...]
    sim_edge_ids: tuple[str, ...]
    obs_edge_ids: tuple[str, ...]
    properties: tuple[PropertyOffset, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "n_sim": self.n_sim,
            "n_obs": self.n_obs,
            "log2_ratio": self.log2_ratio,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "direction": self.direction,
            "reason": self.reason or None,
            "sim_ids": list(self.sim_ids),
            "obs_ids": list(self.obs_ids),
            "sim_edge_ids": list(self.sim_edge_ids),
            "obs_edge_ids": list(self.obs_edge_ids),
            "properties": [each.to_dict() for each in self.properties],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """The regions of two embeddings, the most populous first and noise last.

    Parameters
    ----------
    sim, obs : str
        Names of the sets.
    method, fitted_on, test, interval : str
        How regions were found and in what, and how p-values and intervals were made.
    n_sim, n_obs : int
        Groups.
    views_per_group : int
    n_components : int
    explained : float
        Share of the variance along the components.
    level : float
    claims : bool
        Whether over- and under-production may be claimed.
    reason : str
        Why not; empty where it may.
    controls : tuple of str
        What offsets hold fixed.
    controls_reason : str
        Why controls that were asked for are missing; empty where none is.
    regions : tuple of RegionFound
    overall : tuple of PropertyOffset
        The same for all objects together.
    region_sim, region_obs : array of int (n,)
        Number of the region of every image, in the order of `regions`.
    """

    sim: str
    obs: str
    method: str
    fitted_on: str
    test: str
    interval: str
    n_sim: int
    n_obs: int
    views_per_group: int
    n_components: int
    explained: float
    level: float
    claims: bool
    reason: str
    controls: tuple[str, ...]
    controls_reason: str
    regions: tuple[RegionFound, ...]
    overall: tuple[PropertyOffset, ...]
    region_sim: IntArray
    region_obs: IntArray

    def __post_init__(self) -> None:
        for name in ("region_sim", "region_obs"):
            object.__setattr__(self, name, owned(getattr(self, name), np.int64))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the region of every image stays here."""
        return {
            "sim": self.sim,
            "obs": self.obs,
            "method": self.method,
            "fitted_on": self.fitted_on,
            "test": self.test,
            "interval_method": self.interval,
            "n_sim": self.n_sim,
            "n_obs": self.n_obs,
            "views_per_group": self.views_per_group,
            "n_components": self.n_components,
            "explained": self.explained,
            "level": self.level,
            "claims": self.claims,
            "claims_reason": self.reason or None,
            "controls": list(self.controls),
            "controls_reason": self.controls_reason or None,
            "meaning": ASSOCIATION,
            "regions": [each.to_dict() for each in self.regions],
            "overall": [each.to_dict() for each in self.overall],
        }

    def __str__(self) -> str:
        """Return a table."""
        return as_table(self)


ASSOCIATION = (
    "Counts and offsets are associations between position in the embedding, side and property; "
    "none of them says what causes what."
)


def find_regions(
    obs: Embedding,
    sim: Embedding,
    *,
    settings: RegionSettings | None = None,
    fit_on: Embedding | None = None,
    rng: np.random.Generator,
) -> Regions:
    """Return where the two sides part, region by region.

    Parameters
    ----------
    obs, sim : Embedding
        Of one encoder.
    settings : RegionSettings
    fit_on : Embedding, optional
        A third set to find the regions in, of groups that neither side has; by default the pool
        of both sides, without labels.
    rng : Generator

    Returns
    -------
    Regions

    Raises
    ------
    UsageError
        If the encoders differ, a property is unknown, or `fit_on` shares groups with a side.
    NotComputableError
        If a side has too few groups, or there are fewer objects than regions, or all vectors are
        the same.

    Examples
    --------
    >>> from simreal.core.images import Setup
    >>> rng = np.random.default_rng(0)
    >>> def made(name, centres):
    ...     ids = np.array([f"{name}{i}" for i in range(len(centres))])
    ...     return Embedding(
    ...         name=name, sampling="random", ids=ids, groups=ids, encoder_digest="e",
    ...         vectors=rng.normal(size=(len(ids), 2)) + 20 * np.array(centres)[:, None],
    ...         source_digest=name, setup=Setup(track="rgb", bands=("grey",), unit="display"),
    ...     )
    >>> sky, mock = made("sky", [0] * 50 + [1] * 50), made("mock", [0] * 90 + [1] * 10)
    >>> found = find_regions(sky, mock, settings=RegionSettings(k=2), rng=rng)
    >>> [(each.n_sim, each.n_obs, each.direction) for each in found.regions]
    [(90, 50, 'over-produced'), (10, 50, 'missing')]
    """
    settings = settings or RegionSettings()
    _check(obs, sim, fit_on)
    pool = _draw(obs, sim, rng=rng)
    placed, cut = _cut(pool, obs, sim, fit_on, settings, rng=rng)
    columns = columns_of(obs, sim, settings.properties)
    controls = controls_of(obs, sim, settings.controls, caliper=settings.caliper)
    offsets, overall = _properties(pool, placed, columns, controls, settings, rng=rng)
    counts = _counted(pool, placed, settings, rng=rng)
    claims, reason = _claims(obs, sim, placed)
    return Regions(
        sim=sim.name,
        obs=obs.name,
        method=cut.method,
        fitted_on=cut.fitted_on,
        test=counts.test,
        interval="log ratio of two shares, half a group added (Jeffreys)",
        n_sim=pool.n("sim"),
        n_obs=pool.n("obs"),
        views_per_group=len(pool.rounds["sim"]),
        n_components=cut.points["sim"].shape[1],
        explained=cut.explained,
        level=settings.level,
        claims=claims,
        reason=reason,
        controls=controls.names,
        controls_reason=controls.reason or controls.left_out,
        regions=tuple(
            _region(i, counts, cut, placed, (sim, obs), (claims, reason), offsets[i], settings)
            for i in range(placed.k)
        ),
        overall=overall,
        region_sim=placed.labels["sim"],
        region_obs=placed.labels["obs"],
    )


def _check(obs: Embedding, sim: Embedding, fit_on: Embedding | None) -> None:
    for other in (sim, *(() if fit_on is None else (fit_on,))):
        if other.encoder_digest != obs.encoder_digest:
            raise UsageError(f"{other.name} and {obs.name} come from different encoders; use one")
    for side in (sim, obs):
        if side.n_groups < FEWEST_GROUPS:
            raise NotComputableError(
                f"regions: got {side.n_groups} groups of {side.name}, needed are {FEWEST_GROUPS}"
            )
    if fit_on is not None:
        taken = set(sim.groups.tolist()) | set(obs.groups.tolist())
        shared = sorted(taken & set(fit_on.groups.tolist()))
        if shared:
            raise UsageError(
                f"regions: {fit_on.name}, which regions are fitted to, shares {len(shared)} groups "
                f"with what is counted, {shared[0]!r} first; leave fit_on out, or take others"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pool:
    """The views that are counted: rows ``(m, G)`` of either side, as many of every group."""

    rounds: Mapping[Side, IntArray]

    def n(self, side: Side) -> int:
        """Return the groups of a side."""
        return int(self.rounds[side].shape[1])

    def members(self, labels: Mapping[Side, IntArray], region: int | None) -> Members:
        """Return the counted views in a region, or all of them."""
        rows, codes = {}, {}
        for side in SIDES:
            inside = np.ones(self.rounds[side].shape, dtype=np.bool_)
            if region is not None:
                inside = labels[side][self.rounds[side]] == region
            rows[side] = self.rounds[side][inside]
            codes[side] = np.nonzero(inside)[1].astype(np.int64)
        return Members(rows=rows, codes=codes)


def _draw(obs: Embedding, sim: Embedding, *, rng: np.random.Generator) -> _Pool:
    rows = {s: group_rows(e.groups, e.ids) for s, e in zip(SIDES, (sim, obs), strict=True)}
    n_views = min(MOST_VIEWS, smallest_group(*rows.values()))
    return _Pool(rounds={side: thin_views(rows[side], n_views, rng=rng) for side in SIDES})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cut:
    """Points of all images, centres of the regions, and how they were found."""

    points: Mapping[Side, Float32Array]
    centres: Float32Array
    method: str
    fitted_on: str
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Placed:
    """The region of every image, 0 to k - 1; `names` of the regions."""

    labels: Mapping[Side, IntArray]
    names: tuple[str, ...]

    @property
    def k(self) -> int:
        return len(self.names)


def _cut(
    pool: _Pool,
    obs: Embedding,
    sim: Embedding,
    fit_on: Embedding | None,
    settings: RegionSettings,
    *,
    rng: np.random.Generator,
) -> tuple[_Placed, _Cut]:
    """Find the regions and the region of every image."""
    sides = dict(zip(SIDES, (sim, obs), strict=True))
    if fit_on is None:
        first = {side: pool.rounds[side][0] for side in SIDES}
        vectors = np.concatenate([sides[side].vectors[first[side]] for side in SIDES])
        # Anonymous: nothing that depends on the order of rows can tell one side from the other.
        vectors = vectors[np.lexsort(vectors.T[::-1])]
        n = f"{len(first['sim'])} + {len(first['obs'])} groups"
        fitted_on = f"pooled, unlabelled: one view of each of {n}"
    else:
        rows = thin_views(group_rows(fit_on.groups, fit_on.ids), 1, rng=rng)[0]
        vectors = fit_on.vectors[rows]
        fitted_on = f"{fit_on.name}: {len(rows)} groups that neither side has"
    transform = fit_pca(vectors, max_components=settings.n_components, rng=rng)
    fitted = transform.apply(vectors)
    points = {side: transform.apply(sides[side].vectors) for side in SIDES}
    cut = _kmeans if settings.method == "k-means" else _dense
    labels, centres, names, method = cut(fitted, points, pool, settings, rng)
    return _Placed(labels=labels, names=names), _Cut(
        points=points,
        centres=centres,
        method=method,
        fitted_on=fitted_on,
        explained=_share(transform),
    )


def _share(transform: Pca) -> float:
    return float(transform.explained.sum())


_CutFound = tuple[dict[Side, IntArray], Float32Array, tuple[str, ...], str]


def _kmeans(
    fitted: Float32Array,
    points: Mapping[Side, Float32Array],
    pool: _Pool,
    settings: RegionSettings,
    rng: np.random.Generator,
) -> _CutFound:
    smaller = min(pool.n(side) for side in SIDES)
    k = settings.k or int(np.clip(smaller // GROUPS_PER_REGION, 2, MOST_K))
    if len(fitted) < k:
        raise NotComputableError(
            f"regions: got {len(fitted)} groups for {k} regions; ask for fewer regions, or embed "
            "more images"
        )
    centres = fit_centres(fitted, k, seed=int(rng.integers(2**31)))
    labels = {side: assign(points[side], centres) for side in SIDES}
    names = tuple(f"region {i + 1}" for i in range(len(centres)))
    return labels, centres, names, f"k-means, k = {len(centres)}"


def _dense(
    fitted: Float32Array,
    points: Mapping[Side, Float32Array],
    pool: _Pool,  # noqa: ARG001
    settings: RegionSettings,
    rng: np.random.Generator,  # noqa: ARG001
) -> _CutFound:
    size = settings.min_cluster_size or max(10, len(fitted) // 50)
    if len(fitted) < size:
        raise NotComputableError(
            f"regions: got {len(fitted)} groups for clusters of {size} or more; ask for smaller "
            "ones, or embed more images"
        )
    found = hdbscan(fitted, size, density_neighbours=settings.density_neighbours)
    k = int(found.max(initial=NOISE)) + 1
    noisy = bool((found == NOISE).any())
    found = np.where(found == NOISE, k, found)
    # An image that was not clustered itself belongs where the nearest one that was does.
    labels = {side: found[nearest(points[side], fitted, 1)[1][:, 0]] for side in SIDES}
    total = k + int(noisy)
    centres = np.stack([fitted[found == i].mean(axis=0) for i in range(total)])
    names = (*(f"region {i + 1}" for i in range(k)), *(("noise",) if noisy else ()))
    return labels, centres.astype(np.float32), names, f"hdbscan, clusters of {size} or more"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counts:
    n: Mapping[Side, Float64Array]
    ratio: Float64Array
    low: Float64Array
    high: Float64Array
    p: Float64Array
    adjusted: Float64Array
    judged: BoolArray
    test: str


def _counted(
    pool: _Pool, placed: _Placed, settings: RegionSettings, *, rng: np.random.Generator
) -> _Counts:
    weights = {
        side: group_weights(placed.labels[side][pool.rounds[side]], placed.k) for side in SIDES
    }
    n = {side: weights[side].sum(axis=0) for side in SIDES}
    if len(pool.rounds["sim"]) == 1:
        p, test = fisher_p_values(n["sim"], n["obs"]), "Fisher's exact test"
    else:
        p = permuted_p_values(
            weights["sim"], weights["obs"], n_permutations=settings.n_permutations, rng=rng
        )
        test = f"{settings.n_permutations} permutations of groups"
    ratio, low, high = log2_ratio(weights["sim"], weights["obs"], level=settings.level)
    judged = n["sim"] + n["obs"] >= FEWEST_JUDGED
    adjusted_p = np.ones(placed.k)
    adjusted_p[judged] = benjamini_hochberg(p[judged])
    return _Counts(
        n=n, ratio=ratio, low=low, high=high, p=p, adjusted=adjusted_p, judged=judged, test=test
    )


def group_weights(labels: IntArray, k: int) -> Float64Array:
    """Return the share of every group's views in every region ``(G, k)``, from ``(m, G)`` labels.

    Examples
    --------
    >>> group_weights(np.array([[0, 1], [1, 1]]), 2).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    return np.asarray((labels[:, :, None] == np.arange(k)).mean(axis=0))


def fisher_p_values(n_sim: Float64Array, n_obs: Float64Array) -> Float64Array:
    """Return two-sided Fisher p-values of every region against all others.

    Examples
    --------
    >>> fisher_p_values(np.array([0.0, 3.0]), np.array([3.0, 0.0])).round(3).tolist()
    [0.1, 0.1]
    """
    from scipy.stats import fisher_exact

    total_sim, total_obs = round(n_sim.sum()), round(n_obs.sum())
    tables = [
        [[a, total_sim - a], [b, total_obs - b]]
        for a, b in zip(np.rint(n_sim).astype(int), np.rint(n_obs).astype(int), strict=True)
    ]
    return np.array([min(1.0, float(fisher_exact(t).pvalue)) for t in tables], dtype=np.float64)


def permuted_p_values(
    sim: Float64Array, obs: Float64Array, *, n_permutations: int, rng: np.random.Generator
) -> Float64Array:
    """Return two-sided p-values of every region from shuffles of the sides of groups.

    (1 + shuffles at least as far from the mean over shuffles) / (B + 1), never 0.

    Parameters
    ----------
    sim, obs : array (G, k)
        Share of every group's views in every region.
    n_permutations : int
    rng : Generator
    """
    pool = np.concatenate([sim, obs])
    expected = len(sim) * pool.mean(axis=0)
    away = np.abs(sim.sum(axis=0) - expected) - 1e-9 * len(pool)
    beyond = np.ones(pool.shape[1])
    block = max(1, BLOCK // len(pool))
    for start in range(0, n_permutations, block):
        size = min(block, n_permutations - start)
        drawn = rng.permuted(np.broadcast_to(np.arange(len(pool)), (size, len(pool))), axis=1)
        picked = (drawn < len(sim)).astype(np.float64)
        beyond += (np.abs(picked @ pool - expected) >= away).sum(axis=0)
    return beyond / (n_permutations + 1)


def log2_ratio(
    sim: Float64Array, obs: Float64Array, *, level: float = 0.95
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return log2 of the simulated over the observed share of every region, with its interval.

    Half a group is added to every count and total (Jeffreys; Walter 1975, Biometrika 62, 371),
    which keeps an empty region finite: the interval of a missing class says how rare it is at
    most. Views of one group that fall into several regions make its share less noisy than a yes or
    no: counts are then taken in effective groups, at most as many as there are views.

    A bootstrap was not used: where no simulated object is seen, every draw of it sees none.

    Parameters
    ----------
    sim, obs : array (G, k)
        Share of every group's views in every region.
    level : float

    Examples
    --------
    >>> sim, obs = (np.eye(2)[np.repeat([0, 1], n)] for n in ([0, 100], [20, 80]))
    >>> ratio, low, high = log2_ratio(sim, obs)
    >>> ratio.round(2).tolist(), bool(high[0] < 0)
    ([-5.36, 0.32], True)
    """
    from scipy.special import ndtri

    factor = _design_effect(sim, obs)
    a, b = sim.sum(axis=0) / factor + 0.5, obs.sum(axis=0) / factor + 0.5
    n, m = len(sim) / factor + 0.5, len(obs) / factor + 0.5
    ratio = np.log2((a / n) / (b / m))
    z = float(ndtri((1 + level) / 2))
    width = z * np.sqrt(1 / a - 1 / n + 1 / b - 1 / m) / math.log(2)
    return ratio, ratio - width, ratio + width


def _design_effect(sim: Float64Array, obs: Float64Array) -> Float64Array:
    """Return the variance of a share within a side over that of a yes or no, from 1 / m to 1."""
    shares = np.concatenate([sim, obs])
    m = 1.0 / np.min(shares, where=shares > 0, initial=1.0)
    binary, seen = np.zeros(shares.shape[1]), np.zeros(shares.shape[1])
    for side in (sim, obs):
        mean = side.mean(axis=0)
        binary += len(side) * mean * (1 - mean)
        seen += ((side - mean) ** 2).sum(axis=0)
    enough = (shares > 0).sum(axis=0) >= FEWEST_GROUPS
    known = enough & (binary > 0)
    return np.where(known, np.clip(seen / np.where(known, binary, 1.0), 1.0 / m, 1.0), 1.0)


def _claims(obs: Embedding, sim: Embedding, placed: _Placed) -> tuple[bool, str]:
    curated = [e.name for e in (sim, obs) if e.sampling == "curated"]
    if curated:
        text = "a curated sample does not say how common its objects are"
        return False, f"{' and '.join(curated)}: {text}"
    if placed.k < 2:
        n = sum(len(labels) for labels in placed.labels.values())
        return False, (
            f"all {n} images are in one region ({placed.names[0]}), which cannot differ in "
            "numbers; ask for k-means, or for smaller clusters"
        )
    return True, ""


def _region(
    i: int,
    counts: _Counts,
    cut: _Cut,
    placed: _Placed,
    sides: tuple[Embedding, Embedding],
    claimed: tuple[bool, str],
    properties: tuple[PropertyOffset, ...],
    settings: RegionSettings,
) -> RegionFound:
    direction, reason = _direction(counts, i, claimed, settings.level)
    named = {
        side: central_and_edge(
            cut.points[side], placed.labels[side] == i, cut.centres[i], e.ids, e.groups
        )
        for side, e in zip(SIDES, sides, strict=True)
    }
    return RegionFound(
        name=placed.names[i],
        n_sim=_whole(counts.n["sim"][i]),
        n_obs=_whole(counts.n["obs"][i]),
        log2_ratio=float(counts.ratio[i]),
        low=float(counts.low[i]),
        high=float(counts.high[i]),
        p_value=float(counts.p[i]),
        p_adjusted=float(counts.adjusted[i]),
        direction=direction,
        reason=reason,
        sim_ids=named["sim"][0],
        obs_ids=named["obs"][0],
        sim_edge_ids=named["sim"][1],
        obs_edge_ids=named["obs"][1],
        properties=properties,
    )


def _direction(
    counts: _Counts, i: int, claimed: tuple[bool, str], level: float
) -> tuple[Direction, str]:
    claims, reason = claimed
    if not claims:
        return "not claimed", reason
    if not counts.judged[i]:
        total = counts.n["sim"][i] + counts.n["obs"][i]
        return "empty", f"got {total:g} groups of both sides, needed to judge are {FEWEST_JUDGED}"
    if counts.adjusted[i] > 1 - level:
        return "consistent", ""
    return ("missing" if counts.ratio[i] < 0 else "over-produced"), ""


def _whole(count: float) -> float:
    return round(float(count)) if float(count).is_integer() else round(float(count), 6)


def central_and_edge(
    points: Float32Array,
    inside: BoolArray,
    centre: Float32Array,
    ids: StrArray,
    groups: StrArray,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ids nearest to the centre and, of the others, furthest from it, one per group."""
    rows = np.flatnonzero(inside)
    away = np.linalg.norm(points[rows] - centre, axis=1)
    rows = rows[np.lexsort((ids[rows], away))]
    _, first = np.unique(groups[rows], return_index=True)
    rows = rows[np.sort(first)]
    central, rest = rows[:EXAMPLES], rows[EXAMPLES:]
    edge = rest[::-1][:EXAMPLES]
    return tuple(ids[central].tolist()), tuple(ids[edge].tolist())


def _properties(
    pool: _Pool,
    placed: _Placed,
    columns: Sequence[Column],
    controls: Controls,
    settings: RegionSettings,
    *,
    rng: np.random.Generator,
) -> tuple[tuple[tuple[PropertyOffset, ...], ...], tuple[PropertyOffset, ...]]:
    """Return the properties of every region, and of all objects together."""
    of_regions = [
        region_offsets(pool.members(placed.labels, i), columns, controls, rng=rng)
        for i in range(placed.k)
    ]
    everything = region_offsets(pool.members(placed.labels, None), columns, controls, rng=rng)
    return (
        adjusted(of_regions, level=settings.level),
        adjusted([everything], level=settings.level)[0],
    )


def as_table(found: Regions) -> str:
    """Return the regions as a readable table."""
    lines = [
        f"{found.sim} ({found.n_sim} groups) against {found.obs} ({found.n_obs} groups)",
        f"{found.method}; fitted on {found.fitted_on}",
        f"{'region':<11}{'n_sim':>7}{'n_obs':>7}  {'log2 ratio':<22}{'p (FDR)':>9}  direction",
    ]
    lines += [
        f"{r.name:<11}{r.n_sim:>7g}{r.n_obs:>7g}  "
        f"{f'{r.log2_ratio:+.2f} ({r.low:+.2f} to {r.high:+.2f})':<22}{r.p_adjusted:>9.2g}  "
        f"{r.direction}"
        for r in found.regions
    ]
    if found.reason:
        lines.append(found.reason)
    lines += _offset_lines(found)
    return "\n".join([*lines, ASSOCIATION])


def _offset_lines(found: Regions) -> list[str]:
    held = " and ".join(found.controls)
    rows = [("all objects", found.overall), *((r.name, r.properties) for r in found.regions)]
    told = [
        f"  {where}: {o.name} {o.direction} by {abs(o.offset.value or 0.0):.3g}"
        f"{' dex' if o.scale == 'log10' else f' {o.unit}'.rstrip()}"
        f" ({o.offset.low:+.3g} to {o.offset.high:+.3g}, {o.offset.n} pairs,"
        f" p = {o.p_adjusted:.2g})"
        for where, offsets in rows
        for o in offsets
        if o.direction in ("larger", "smaller")
    ]
    if not found.overall:
        return ["properties: neither side has a numeric one"]
    if not held:
        return [f"offsets at matched properties: not available ({found.controls_reason})"]
    lines = [f"simulated minus observed at matched {held}:"]
    lines += told or ["  no offset at the false-discovery rate"]
    if found.controls_reason:
        lines.append(f"  not held fixed: {found.controls_reason}")
    return lines
