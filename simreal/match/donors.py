"""Which observed frames lend their sky, and which simulated image gets which."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from simreal.core.errors import NotComputableError
from simreal.match.checks import sky_numbers
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.noise import half_limit, serpentine_order, systematic
from simreal.match.pixels import requantise
from simreal.match.render import CHUNK, draw_sky
from simreal.match.sides import Party
from simreal.measure.power import azimuthal_power
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import QUANTISATION

FEWEST_DONORS = 4
#: However few observed groups there are, this share of them may become donors.
LEAST_FRACTION = 0.2
#: Draws among which the best balanced one is taken.
DRAWS = 300
#: Single exchanges tried to balance what is left, and the imbalance (in units of the limits)
#: at which to stop.
EXCHANGES = 600
BALANCED = 0.4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkyLibrary:
    """The sky of every observed frame that has a galaxy-free patch, on the common frame.

    Parameters
    ----------
    rows : array of int (k,)
        Rows of the party with a patch.
    stamps : array (k, band, stamp, stamp)
        Their sky, encoded like a matched stamp.
    features : array (k, f)
        What donors are balanced in; see `sky_features`.
    """

    rows: IntArray
    stamps: Float32Array
    features: Float64Array

    def among(self, rows: BoolArray) -> "SkyLibrary":
        """Return the part of the library that belongs to the party's rows `rows`.

        The party's other rows are gone afterwards, so that the remaining ones are numbered
        anew.
        """
        keep = rows[self.rows]
        renumbered = np.cumsum(rows) - 1
        return replace(
            self,
            rows=renumbered[self.rows[keep]],
            stamps=self.stamps[keep],
            features=self.features[keep],
        )


def stamp_noise(party: Party, library: SkyLibrary) -> Float64Array:
    """Return the sky rms of each image's matched stamp, ``(n, band)``.

    From the image's own empty sky, because galaxies reach to the border of a matched stamp.
    Where a frame has no free sky, its native rms times the party's usual ratio stands in.
    """
    k, bands = library.stamps.shape[:2]
    _, rms = clipped_statistics(library.stamps.reshape(k, bands, -1))
    native = np.maximum(party.measured.sky_rms, QUANTISATION)
    noise = native * np.median(rms / native[library.rows], axis=0)
    noise[library.rows] = rms
    return np.asarray(noise)


def widest_sky(party: Party, scale: Float64Array) -> Float64Array:
    """Return the widest frame, in frame units, that each image's free sky can fill."""
    limit = half_limit(party.measured, party.edge)
    return np.asarray(2 * (limit - 1.5) * scale)


def sky_library(party: Party, frame: CommonFrame, job: Job) -> SkyLibrary:
    """Return the sky of each observed frame as it would look on a matched stamp.

    Raises
    ------
    NotComputableError
        If fewer than four frames have enough free sky.
    """
    scale = job.scale(party)
    rows = np.flatnonzero(widest_sky(party, scale) >= frame.width)
    if len(rows) < FEWEST_DONORS:
        raise NotComputableError(
            f"matching: {len(rows)} of {len(party)} frames of {party.images.name} have "
            f"galaxy-free sky for a frame {frame.width:g} wide [{frame.unit}], needed are "
            f"{FEWEST_DONORS}; ask for a narrower --frame-width or for more observed images"
        )
    stamps = []
    for start in range(0, len(rows), CHUNK):
        sky = draw_sky(party, rows[start : start + CHUNK], frame, job)
        stamps.append(requantise(sky, quality=job.recipe.jpeg_quality))
        job.report("cut sky", min(start + CHUNK, len(rows)), len(rows))
    encoded = np.concatenate(stamps)
    width = party.measured.psf_fwhm[rows] * scale[rows]
    return SkyLibrary(rows=rows, stamps=encoded, features=sky_features(encoded, width))


def n_donor_groups(n_obs: int, n_sim: int, fraction: float) -> int:
    """Return how many observed groups lend their sky.

    At most `fraction`, and few enough that twice `n_sim` groups stay to be scored (the
    floor splits the observed side in two), but never below `LEAST_FRACTION`.

    Examples
    --------
    >>> n_donor_groups(1374, 302, 0.4), n_donor_groups(500, 302, 0.4)
    (549, 100)
    """
    wanted = min(int(fraction * n_obs), n_obs - 2 * n_sim)
    return max(wanted, int(LEAST_FRACTION * n_obs), min(FEWEST_DONORS, n_obs - 1))


def sky_features(stamps: Float32Array, psf: Float64Array) -> Float64Array:
    """Return rms, level, PSF width and noise power of sky stamps ``(n, 3 + bins)``.

    Parameters
    ----------
    stamps : array (n, band, y, x)
    psf : array (n,)
        PSF width in frame units.
    """
    level, rms = sky_numbers(stamps)
    _, power = azimuthal_power(stamps.mean(1))
    return np.column_stack([rms, level, np.nan_to_num(psf), power])


def summary(features: Float64Array) -> Float64Array:
    """Return what balance is judged by: level, rms at 5, 50, 95 %, PSF width, powers.

    The level is a mean, the rest are medians or percentiles.
    """
    rms = np.percentile(features[:, 0], [5, 50, 95])
    middle = np.median(features[:, 2:], axis=0)
    return np.concatenate([[features[:, 1].mean()], rms, middle])


def imbalance(features: Float64Array, reference: Float64Array) -> float:
    """Return the worst difference of some sky from a reference, in units of its limit.

    The mean level in units of the median rms (limit .02), rms at its median (.02), 5th and
    95th percentile (.05), the median PSF width (.03) and the median power per bin (.05).

    Parameters
    ----------
    features : array (n, f)
    reference : array
        The `summary` of the sky to be like.
    """
    mine = summary(features)
    level = abs(mine[0] - reference[0]) / max(reference[2], 1e-9) / 0.02
    limits = np.full(len(mine) - 1, 0.05)
    limits[[1, 3]] = 0.02, 0.03
    known = reference[1:] > 0
    relative = np.abs(mine[1:][known] / reference[1:][known] - 1) / limits[known]
    return float(max(level, relative.max(initial=0.0)))


def best_of(draw: Callable[[], IntArray], score: Callable[[IntArray], float]) -> IntArray:
    """Return the best balanced of many random draws (rerandomisation, Morgan & Rubin 2012)."""
    draws = [draw() for _ in range(DRAWS)]
    return draws[int(np.argmin([score(rows) for rows in draws]))]


def choose_donors(
    groups: StrArray, features: Float64Array, n: int, rng: np.random.Generator
) -> BoolArray:
    """Return which rows belong to `n` donor groups whose sky is that of the other rows.

    Label-free: only the sky and the PSF of a frame decide, never its galaxy. Each draw is
    systematic along an order in which neighbours are alike; the best balanced of
    `DRAWS` is taken.

    Parameters
    ----------
    groups : array of str (k,)
        Of the usable frames.
    features : array (k, f)
    """
    names, inverse = np.unique(groups, return_inverse=True)
    count = np.bincount(inverse)
    means = np.column_stack([np.bincount(inverse, f) / count for f in features[:, :3].T])
    order = serpentine_order(means)
    n = min(n, len(names) - 1)

    def draw() -> IntArray:
        return _jittered(order, n, rng)

    def score(chosen: IntArray) -> float:
        lent = np.isin(inverse, chosen)
        return imbalance(features[lent], summary(features[~lent]))

    return np.isin(inverse, best_of(draw, score))


def assign_donors(
    features: Float64Array, reference: Float64Array, n_sim: int, rng: np.random.Generator
) -> IntArray:
    """Return a donor for each of `n_sim` images: balanced against `reference`, shuffled.

    Every donor is drawn equally often, give or take one.
    """
    order = serpentine_order(features[:, :3])

    def draw() -> IntArray:
        return _jittered(order, n_sim, rng)

    wanted = summary(reference)
    drawn = best_of(draw, lambda rows: imbalance(features[rows], wanted))
    return rng.permutation(drawn)


def rebalanced(
    pick: IntArray, features: Float64Array, reference: Float64Array, rng: np.random.Generator
) -> IntArray:
    """Return `pick` with a few donors exchanged for idle ones, as long as balance gains.

    Parameters
    ----------
    pick : array of int (n,)
        Donor of each image.
    features : array (n_donors, f)
    reference : array (m, f)
        Sky to be like.
    """
    pick = pick.copy()
    idle = np.setdiff1d(np.arange(len(features)), pick)
    wanted = summary(reference)
    worst = imbalance(features[pick], wanted)
    for _ in range(EXCHANGES):
        if worst <= BALANCED or len(idle) == 0:
            break
        image, donor = int(rng.integers(len(pick))), int(rng.integers(len(idle)))
        pick[image], idle[donor] = idle[donor], pick[image]
        now = imbalance(features[pick], wanted)
        if now < worst:
            worst = now
        else:
            pick[image], idle[donor] = idle[donor], pick[image]
    return pick


def _jittered(order: IntArray, k: int, rng: np.random.Generator) -> IntArray:
    """Return one of each of `k` consecutive blocks of `order`, at random inside the block."""
    n = len(order)
    if k >= n:
        return order[systematic(n, k, rng)]
    edges = np.floor(np.arange(k + 1) * n / k).astype(np.int64)
    return order[edges[:-1] + np.floor(rng.random(k) * np.diff(edges)).astype(np.int64)]
