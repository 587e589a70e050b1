"""Where in the stamp the evidence lies that tells the sides apart.

A linear probe on pixels and on their power spectrum, trained and tested again on the full
stamp and on versions from which something was taken: the middle, the outskirts, all but the
radial profile, all but the power spectrum. Evidence in the middle may be galaxies; evidence
that is left without them is the instrument. Between equal populations no version may tell; of
other pairs only what lies beyond every galaxy vetoes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.linalg

from simreal.audit.contract import CheckMeta, Found, Given
from simreal.audit.inference import AUC_LIMIT, FEWEST, Asked, not_computable, reading
from simreal.audit.pictures import bar, bars, tile, tiles
from simreal.audit.probe import Probed, cross_validated_auc, standardised
from simreal.audit.shapes import free_pixels, light_radius
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.audit import Reading
from simreal.measure.registration import distance_from_centre
from simreal.measure.sky import border_mask
from simreal.measure.stamps import luminance_of
from simreal.stats.logistic import fit_logistic

META = CheckMeta(
    code="A5",
    title="parts of the stamp",
    question="Do the sides still differ where there is no galaxy, or only in how light is spread?",
    cost="fast",
    names_cause=False,
    mend="see which part of the stamp tells, and which check that names a cause is red there",
)
#: Principal components and annuli of log power that a probe is given.
COMPONENTS, ANNULI = 40, 10
#: Half-light radii that hold the middle, and Petrosian radii beyond which there is no galaxy;
#: a Petrosian radius is about two half-light radii.
MIDDLE_RADII = 2.0
PETROSIAN, HALF_LIGHT_RADII = 3.0, 2.0
#: Share of a stamp's pixels needed beyond the galaxy.
FEWEST_BEYOND = 0.05
SHARE_LIMIT = 0.5
#: Light is shown on an asinh scale that turns over at this many sky rms.
SOFTENING = 3.0
#: Extra directions, and rounds, of the search for principal components.
_SPARE, _ROUNDS = 10, 2

FULL, BEYOND = "the full stamp", "the stamp beyond 3 Petrosian radii"
NO_MIDDLE, NO_OUTSKIRTS = "the stamp without its middle", "the stamp without its outskirts"
SHUFFLED, PHASES = "the radial profile", "the power spectrum"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What a probe is given, and the way back to pixels.

    Parameters
    ----------
    table : array (n, k)
    components : array (c, pixel)
        The first c columns are projections on these, orthonormal.
    """

    table: Float64Array
    components: Float32Array


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Train and test the probe on every version of the stamps."""
    lights = [free_pixels(side.stamps) for side in (given.sim, given.obs)]
    counts = tuple(int(usable.sum()) for _, usable in lights)
    shapes = {pixels.shape[2:] for pixels, _ in lights}
    if min(counts) < FEWEST or len(shapes) > 1:
        asked = Asked(name=f"told apart by {FULL}", scale="auc", vetoes=given.same_population)
        reason = (
            f"got {counts[0]} and {counts[1]} usable stamps of {len(shapes)} sizes, needed are "
            f"{FEWEST} of each and one size"
        )
        return Found(readings=[not_computable(asked, reason)])
    light = np.concatenate([luminance_of(pixels[usable]) for pixels, usable in lights])
    is_sim = np.arange(len(light)) < counts[0]
    flat = stabilised(light)
    radius = light_radius(given.obs.stamps, light)
    regions = _regions(flat.shape[1:], radius)
    versions: dict[str, Callable[[], Float32Array]] = {
        FULL: lambda: flat,
        NO_MIDDLE: lambda: only(flat, ~regions.middle),
        NO_OUTSKIRTS: lambda: only(flat, regions.middle),
        SHUFFLED: lambda: radially_shuffled(flat, rng),
        PHASES: lambda: phase_randomised(flat, rng),
    }
    if regions.beyond is not None:
        outside = regions.beyond
        versions[BEYOND] = lambda: only(flat, outside)
    found, full = {}, None
    for name, version in versions.items():
        made = features(version(), rng)
        full = made if name == FULL else full
        found[name] = cross_validated_auc(made.table, is_sim, rng=rng)
    readings = _readings(given, found, counts, regions)
    pictures = {"evidence": _bars(found)}
    if full is not None:
        pictures |= _maps(flat, is_sim, full)
    return Found(readings=readings, pictures=pictures, notes=(regions.note,))


def stabilised(luminance: Float32Array) -> Float32Array:
    """Return stamps on a scale on which noise is about the same at all brightnesses.

    One scale for both sides: an asinh in units of the median noise of the borders.
    """
    rim = luminance[:, border_mask((luminance.shape[1], luminance.shape[2]))]
    level = np.median(rim, axis=1)
    noise = float(np.median(1.4826 * np.median(np.abs(rim - level[:, None]), axis=1)))
    unit = np.float32(SOFTENING * noise) if noise > 0 else np.float32(max(luminance.std(), 1e-12))
    return np.asarray(np.arcsinh((luminance - np.float32(np.median(level))) / unit))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Regions:
    middle: BoolArray
    beyond: BoolArray | None
    note: str


def _regions(size: tuple[int, ...], radius: float | None) -> _Regions:
    height, width = size
    far = distance_from_centre(height, width)
    side = min(height, width)
    if radius is None:
        middle, beyond = far < side / 6, None
        note = "the middle is the inner third: the size of the galaxies is not known"
    else:
        # Something is left of either part, however the frame was chosen.
        inside = float(np.clip(MIDDLE_RADII * radius, side / 8, 0.45 * side))
        middle = far < inside
        outside = far > PETROSIAN * HALF_LIGHT_RADII * radius
        beyond = outside if outside.mean() >= FEWEST_BEYOND else None
        note = (
            f"the middle is what lies within {inside:.1f} pixels, {inside / radius:.1f} half-light "
            "radii"
        )
    return _Regions(middle=middle, beyond=beyond, note=note)


def only(stamps: Float32Array, where: BoolArray) -> Float32Array:
    """Return stamps in which all but `where` is set to the mean of what is left."""
    left = stamps[:, where].mean(axis=1)
    return np.where(where, stamps, left[:, None, None])


def radially_shuffled(stamps: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return stamps whose pixels are shuffled within rings of a pixel's width.

    Examples
    --------
    >>> stamp = np.random.default_rng(0).normal(size=(1, 8, 8)).astype("f4")
    >>> shuffled = radially_shuffled(stamp, np.random.default_rng(1))
    >>> bool(np.isclose(np.sort(shuffled.ravel()), np.sort(stamp.ravel())).all())
    True
    """
    n, height, width = stamps.shape
    ring = np.rint(distance_from_centre(height, width)).ravel()
    place = np.argsort(ring, kind="stable")
    order = np.argsort(
        ring.astype(np.float32) + 0.999 * rng.random((n, len(ring)), dtype=np.float32), axis=1
    )
    out = np.empty((n, height * width), dtype=np.float32)
    out[:, place] = np.take_along_axis(stamps.reshape(n, -1), order, axis=1)
    return out.reshape(stamps.shape)


def phase_randomised(stamps: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return stamps with their own power spectra and the phases of white noise."""
    noise = scipy.fft.rfft2(rng.standard_normal(stamps.shape, dtype=np.float32))
    noise /= np.maximum(np.abs(noise), np.float32(1e-12))
    level = stamps.mean(axis=(1, 2), keepdims=True)
    size = np.abs(scipy.fft.rfft2(stamps - level))
    return np.asarray(scipy.fft.irfft2(size * noise, stamps.shape[1:]) + level)


def features(stamps: Float32Array, rng: np.random.Generator) -> Features:
    """Return principal components of stamps and their azimuthal log power, without labels."""
    n = len(stamps)
    flat = stamps.reshape(n, -1)
    centred = flat - flat.mean(axis=0)
    components = _principal(centred, min(COMPONENTS, max(2, n // 10)), rng)
    table = np.concatenate([centred @ components.T, _log_power(stamps)], axis=1)
    return Features(table=table.astype(np.float64), components=components)


def _principal(centred: Float32Array, number: int, rng: np.random.Generator) -> Float32Array:
    """Return the first principal components, by a randomised search (Halko et al. 2011)."""
    size = min(number + _SPARE, *centred.shape)
    basis = centred @ rng.standard_normal((centred.shape[1], size), dtype=np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(basis)
        basis = centred @ (centred.T @ basis)
    basis, _ = np.linalg.qr(basis)
    _, scale, axes = scipy.linalg.svd(basis.T @ centred, full_matrices=False)
    kept = scale > 1e-5 * max(float(scale[0]), 1e-30)
    return np.asarray(axes[kept][:number])


def _log_power(stamps: Float32Array) -> Float64Array:
    height, width = stamps.shape[1:]
    power = np.abs(scipy.fft.rfft2(stamps - stamps.mean(axis=(1, 2), keepdims=True))) ** 2
    frequency = np.hypot(scipy.fft.fftfreq(height)[:, None], scipy.fft.rfftfreq(width)).ravel()
    edges = np.linspace(0.0, 0.5, ANNULI + 1)
    which = np.digitize(frequency, edges) - 1
    table = power.reshape(len(stamps), -1)
    means = [table[:, which == k].mean(axis=1) for k in range(ANNULI) if (which == k).any()]
    found = np.stack(means, axis=1).astype(np.float64)
    return np.asarray(np.log(np.maximum(found, 1e-6 * max(float(found.max()), 1e-30))))


def _readings(
    given: Given, found: Mapping[str, Probed], counts: tuple[int, ...], regions: _Regions
) -> list[Reading]:
    n = (counts[0], counts[1])
    readings = []
    for name, probed in found.items():
        asked = Asked(
            name=f"told apart by {name}",
            limit=AUC_LIMIT,
            scale="auc",
            vetoes=given.same_population or name == BEYOND,
            note="" if name == BEYOND else "galaxies may differ",
        )
        readings.append(reading(asked, probed.value, probed.error, n=n))
    if regions.beyond is None:
        asked = Asked(name=f"told apart by {BEYOND}", scale="auc", vetoes=False)
        readings.append(not_computable(asked, "the frame ends inside of 3 Petrosian radii"))
    parts = (NO_MIDDLE, SHUFFLED, PHASES)
    return readings + [_share(name, found[name], found[FULL], n) for name in parts]


def _share(name: str, part: Probed, full: Probed, n: tuple[int, int]) -> Reading:
    """Return how much of the evidence is left in a version of the stamps."""
    asked = Asked(
        name=f"share of the evidence in {name}", limit=SHARE_LIMIT, scale="share", vetoes=False
    )
    evidence = full.value - 0.5
    if evidence < 2.0 * full.error or evidence < AUC_LIMIT:
        reason = f"the full stamps hardly tell the sides apart (AUC {full.value:.3f})"
        return not_computable(asked, reason)
    share = (part.value - 0.5) / evidence
    # As if both were independent: they are not, and the error is smaller.
    error = float(np.hypot(part.error, share * full.error) / evidence)
    return reading(asked, share, error, n=n)


def _bars(found: Mapping[str, Probed]) -> dict[str, Any]:
    return bars(
        [bar(name, probed.value, probed.error) for name, probed in found.items()],
        x_label="AUC of a linear probe on images not seen",
        limit=0.5 + AUC_LIMIT,
        caption="How well the sides are told apart by parts and properties of the stamps.",
    )


def _maps(flat: Float32Array, is_sim: BoolArray, full: Features) -> dict[str, Any]:
    """Return the mean stamps of both sides and where the probe's weight lies."""
    table, _ = standardised(full.table, full.table)
    weights, _ = fit_logistic(table, is_sim)
    scale = full.table.std(axis=0)
    number = len(full.components)
    per_unit = np.where(scale > 0, weights / np.where(scale > 0, scale, 1.0), 0.0)[:number]
    weight = (per_unit @ full.components).reshape(flat.shape[1:])
    sides = [flat[is_sim].mean(axis=0), flat[~is_sim].mean(axis=0)]
    return {
        "means": tiles(
            [tile("simulated", sides[0]), tile("observed", sides[1])],
            caption="Mean stamps, on the probe's asinh scale.",
        ),
        "weights": tiles(
            [
                tile("weight of the probe", weight * flat.std(axis=0)),
                tile("simulated minus observed", sides[0] - sides[1]),
            ],
            diverging=True,
            caption="Where one standard deviation of a pixel speaks for the simulated (positive) "
            "or the observed side, in the probe's logits; and how the mean stamps differ.",
        ),
    }
