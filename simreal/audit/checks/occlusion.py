"""A13: where on the stamp lies what tells the sides apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Side, Tools
from simreal.audit.inference import FEWEST, Asked, auc_with_error, not_computable, reading
from simreal.audit.probe import FOLDS, folds
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError
from simreal.core.images import ArraySource, ImageSet
from simreal.measure.morphology import SHAPES, morphology
from simreal.measure.sky import clipped_statistics
from simreal.stats.logistic import fit_logistic
from simreal.stats.pca import Pca, fit_pca

META = CheckMeta(
    code="A13",
    title="evidence by radius",
    question="Is what tells the sides apart on the galaxy, or around it?",
    cost="full",
    names_cause=False,
    mend="look at the ring with the most evidence outside the galaxy: it is a nuisance's",
)

NAME = "evidence outside the galaxy"
#: Largest share of the evidence outside `GALAXY_RADII` Petrosian radii.
OUTSIDE_LIMIT = 0.3
GALAXY_RADII = 2.0
#: Where the galaxy fills the frame, its inner part stands in: this part of the half side.
INNER = 2.0 / 3.0
RINGS = 8
RESAMPLES = 400
#: Noise beyond this many sigma is a source and is not put in a ring.
NOISE_SIGMA = 4.0


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    asked = Asked(name=NAME, limit=OUTSIDE_LIMIT, scale="share", vetoes=False)
    tools = given.tools
    if tools is None:
        return Found(readings=[not_computable(asked, "no way to embed was handed over")])
    sizes = len(given.sim.stamps), len(given.obs.stamps)
    if min(sizes) < FEWEST:
        reason = f"got {sizes[0]} and {sizes[1]} stamps, needed are {FEWEST} of each"
        return Found(readings=[not_computable(asked, reason)])
    try:
        return _located(given, tools, rng)
    except SimrealError as error:
        return Found(readings=[not_computable(asked, str(error))])


def _located(given: Given, tools: Tools, rng: np.random.Generator) -> Found:
    probe = _probe(given, tools, rng)
    auc, error = auc_with_error(probe.scores[probe.is_sim], probe.scores[~probe.is_sim])
    told = f"a straight line through the embedding reads a held-out AUC of {auc:.3f} ± {error:.3f}"
    if auc - 2 * error <= 0.5:
        raise NotComputableError(f"nothing to locate: {told}")
    edges, drops = _drops(given, tools, probe, rng)
    radius, filled = _boundary(given, edges)
    inside = edges[1:] <= radius + 1e-9
    value, spread = _share(drops[:, ~inside], drops, probe.is_sim, rng)
    if not np.isfinite(value):
        raise NotComputableError(f"no ring alone carries evidence; {told}")
    note = f"outside {radius:.2f} of the half side{filled}"
    asked = Asked(name=NAME, limit=OUTSIDE_LIMIT, scale="share", vetoes=False, note=note)
    mean, errors = _ring_drops(drops, probe.is_sim)
    sizes = len(given.sim.stamps), len(given.obs.stamps)
    return Found(
        readings=[reading(asked, value, spread, n=sizes)],
        pictures=_pictures(edges, mean, errors, given.sim.stamps.images.shape[2:]),
        notes=(told, note),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Probe:
    """Straight lines through the embedding, each with the rows it has not seen.

    Parameters
    ----------
    axes : Pca
    is_sim : array of bool (n,)
        The simulated side first.
    fold : array of int (n,)
    weights : array (folds, k)
    scores : array (n,)
        Held out.
    """

    axes: Pca
    is_sim: BoolArray
    fold: IntArray
    weights: Float64Array
    scores: Float64Array

    def read(self, vectors: Float32Array) -> Float64Array:
        """Return the held-out score of every row, with other vectors ``(n, d)``."""
        points = self.axes.apply(vectors).astype(np.float64)
        return np.asarray((points * self.weights[self.fold]).sum(axis=1))


def _probe(given: Given, tools: Tools, rng: np.random.Generator) -> _Probe:
    embedded = [_embedded(side, side.stamps, tools) for side in (given.sim, given.obs)]
    pooled = np.concatenate([one.vectors for one in embedded])
    is_sim = np.arange(len(pooled)) < len(embedded[0])
    axes = fit_pca(pooled, rng=rng)
    points = axes.apply(pooled).astype(np.float64)
    fold = folds(len(points), rng, labels=is_sim)
    weights = np.stack(
        [fit_logistic(points[fold != k], is_sim[fold != k])[0] for k in range(FOLDS)]
    )
    # Intercepts differ from fold to fold by little and cancel in every difference.
    scores = (points * weights[fold]).sum(axis=1)
    return _Probe(axes=axes, is_sim=is_sim, fold=fold, weights=weights, scores=scores)


def _embedded(side: Side, stamps: ImageSet, tools: Tools) -> Embedding:
    if side.embedding is not None and stamps is side.stamps:
        return side.embedding
    return next(iter(tools.embed.values()))(stamps)


def ring_of(shape: tuple[int, ...], edges: Float64Array) -> IntArray:
    """Return the ring of every pixel ``(y, x)``; radii in half sides, corners in the last ring.

    Examples
    --------
    >>> ring_of((4, 4), np.array([0.0, 0.8, 1.5]))[0].tolist()
    [1, 0, 0, 1]
    """
    height, width = shape
    y, x = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    radius = np.hypot(y[:, None] / (height / 2), x / (width / 2))
    ring = np.searchsorted(edges, radius, side="right") - 1
    return np.asarray(np.clip(ring, 0, len(edges) - 2), dtype=np.int64)


def ring_edges(rings: int = RINGS) -> Float64Array:
    """Return the edges of rings of equal width, out to the corners, in half sides."""
    return np.append(np.linspace(0.0, 1.0, rings), np.sqrt(2.0) + 1e-9)


def _drops(
    given: Given, tools: Tools, probe: _Probe, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return the rings' edges and how much each loses of every stamp's score ``(n, rings)``.

    A ring is filled alike on both sides: with the pooled median of the ring, one number a
    band, and noise of empty sky drawn from both sides.
    """
    edges = ring_edges()
    stamps = [side.pixels() for side in (given.sim, given.obs)]
    pooled = np.concatenate(stamps)
    where = ring_of(pooled.shape[2:], edges)
    noise = _noise(given)
    out = np.zeros((len(pooled), len(edges) - 1))
    for k in range(len(edges) - 1):
        mask = where == k
        level = np.median(pooled[..., mask], axis=(0, 2)).astype(np.float64)
        vectors = []
        for side, pixels in zip((given.sim, given.obs), stamps, strict=True):
            filled = _filled(pixels, mask, level, noise, rng)
            changed = side.stamps.replace(images=ArraySource(filled))
            vectors.append(_embedded(side, changed, tools).vectors)
        out[:, k] = probe.scores - probe.read(np.concatenate(vectors))
    return edges, out


def _noise(given: Given) -> Float32Array | None:
    """Return fluctuations of empty sky of both sides, in equal parts."""
    skies = [side.sky_pixels() for side in (given.sim, given.obs)]
    known = [sky for sky in skies if sky is not None]
    if len(known) < 2:
        return None
    n = min(len(sky) for sky in known)
    both = np.concatenate([sky[:n] for sky in known])
    level, rms = clipped_statistics(both.reshape(*both.shape[:2], -1))
    noise = both - level[..., None, None]
    limit = (NOISE_SIGMA * rms)[..., None, None]
    return np.clip(noise, -limit, limit).astype(np.float32)


def _filled(
    pixels: Float32Array,
    mask: BoolArray,
    level: Float64Array,
    noise: Float32Array | None,
    rng: np.random.Generator,
) -> Float32Array:
    out = pixels.copy()
    out[..., mask] = level[:, None].astype(np.float32)
    if noise is not None:
        drawn = rng.integers(len(noise), size=len(out))
        out[..., mask] += noise[drawn][..., mask]
    return np.clip(out, 0.0, 1.0)


def _boundary(given: Given, edges: Float64Array) -> tuple[float, str]:
    """Return the radius of what counts as galaxy, in half sides, and what is to be said of it."""
    stamps = np.concatenate([side.pixels() for side in (given.sim, given.obs)])
    if min(stamps.shape[2:]) < 2 * RINGS:
        raise NotComputableError(f"stamps of {stamps.shape[2:]} pixels are too small for rings")
    column = morphology(stamps)[:, SHAPES.index("petrosian_radius")]
    radius = GALAXY_RADII * float(10 ** np.median(column))
    if radius < edges[-2]:
        nearest = edges[1:-1][np.argmin(np.abs(edges[1:-1] - radius))]
        return float(nearest), f", {GALAXY_RADII:g} median Petrosian radii"
    nearest = edges[1:-1][np.argmin(np.abs(edges[1:-1] - INNER))]
    return float(nearest), (
        f": {GALAXY_RADII:g} Petrosian radii reach to {radius:.2f}, beyond the frame, so that what "
        "is outside may be the galaxy's outskirts"
    )


def _ring_drops(drops: Float64Array, is_sim: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Return what each ring takes of the gap between the sides' mean scores, and its error."""
    sim, obs = drops[is_sim], drops[~is_sim]
    error = np.hypot(
        sim.std(axis=0, ddof=1) / np.sqrt(len(sim)), obs.std(axis=0, ddof=1) / np.sqrt(len(obs))
    )
    return sim.mean(axis=0) - obs.mean(axis=0), error


def _share(
    outside: Float64Array, drops: Float64Array, is_sim: BoolArray, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the share of the evidence in some rings, with a bootstrapped error.

    Rings whose fill moves the sides apart count as none.
    """

    def share(rows: IntArray) -> float:
        label = is_sim[rows]
        part, whole = (
            np.maximum(_ring_drops(table[rows], label)[0], 0.0).sum() for table in (outside, drops)
        )
        return float(part / whole) if whole > 0 else float("nan")

    n = len(drops)
    sim, obs = np.flatnonzero(is_sim), np.flatnonzero(~is_sim)
    draws = [
        share(np.concatenate([rng.choice(sim, len(sim)), rng.choice(obs, len(obs))]))
        for _ in range(RESAMPLES)
    ]
    return share(np.arange(n)), float(np.nanstd(draws, ddof=1))


def _pictures(
    edges: Float64Array, mean: Float64Array, error: Float64Array, shape: tuple[int, ...]
) -> dict[str, Any]:
    rows = [
        {
            "label": f"{edges[k]:.2f} to {min(edges[k + 1], np.sqrt(2)):.2f}",
            "value": round(float(mean[k]), 5),
            "low": round(float(mean[k] - 1.96 * error[k]), 5),
            "high": round(float(mean[k] + 1.96 * error[k]), 5),
        }
        for k in range(len(mean))
    ]
    step = max(1, max(shape) // 64)
    where = ring_of(shape, edges)[::step, ::step]
    area = np.bincount(ring_of(shape, edges).ravel(), minlength=len(mean))
    density = mean / np.maximum(area, 1)
    tile = (density / max(float(np.abs(density).max()), 1e-12))[where]
    return {
        "rings": {
            "kind": "bars",
            "rows": rows,
            "x_label": "part of the gap between the sides that filling the ring takes away [logit]",
            "limit": None,
            "caption": "rings by radius in half sides",
        },
        "map": {
            "kind": "images",
            "tiles": [{"label": "evidence per pixel", "pixels": np.round(tile, 4).tolist()}],
            "diverging": True,
            "caption": "of the largest value; centre of the stamp in the middle",
        },
    }
