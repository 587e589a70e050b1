"""Whether both sides were seen through the same PSF.

Four ways to look: the widths that the setups declare; the width that the galaxies' own light
shows, in ratios of PSF widths (`simreal.audit.seeing`); the direction along which it is longer;
and the stars on empty sky. Galaxies may differ in how sharp they are, so the width from their
light vetoes between equal populations only; they have no preferred direction on the sky, so an
elongation is the instrument's, always. Stars are few: they veto where they differ, and never
show that a pair is clean.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Side
from simreal.audit.inference import FEWEST, Asked, not_computable, offset, reading
from simreal.audit.pictures import histograms, ratio_curves, tile, tiles
from simreal.audit.probe import cross_validated_r2
from simreal.audit.seeing import Seeing, Spectra, seeing
from simreal.audit.shapes import (
    PSF_SIGMA,
    declared_widths,
    free_pixels,
    psf_sigma,
    stars,
)
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.audit import Reading
from simreal.measure.psf import FWHM_PER_SIGMA
from simreal.measure.registration import distance_from_centre
from simreal.measure.stamps import luminance_of

META = CheckMeta(
    code="A4",
    title="PSF",
    question="Were both sides seen through the same PSF?",
    cost="fast",
    names_cause=True,
    mend="convolve the sharper side to the other's PSF, object by object, before noise is added",
)
WIDTH_LIMIT = math.log(1.03)
ELONGATION_LIMIT = 0.01
R2_LIMIT = 0.1
#: Patches of either side that give the spectrum of the noise.
ENOUGH_SKY = 200
#: Half side of the cores shown, in sides of the stamp.
CORE = 1 / 4


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Compare declared widths, widths and elongations of the light, and stars on the sky."""
    declared = declared_widths(given.sim.stamps), declared_widths(given.obs.stamps)
    readings = [_declared(*declared)]
    light = [_light(side) for side in (given.sim, given.obs)]
    seen = _seen(given, light, declared, rng)
    readings += _from_light(given, seen, len(light[0][0]))
    on_sky, note = _stars(given)
    readings += on_sky
    readings.append(_in_embedding(given.obs, declared[1], rng))
    return Found(
        readings=readings,
        pictures=_pictures(light, declared, seen),
        notes=tuple(text for text in (_assumed(declared), note) if text is not None),
    )


def _assumed(declared: tuple[Float64Array | None, Float64Array | None]) -> str | None:
    if any(widths is not None for widths in declared):
        return None
    width = PSF_SIGMA * FWHM_PER_SIGMA
    return f"no PSF is declared: ratios from the light hold for an FWHM of {width:.1f} pixel"


def _light(side: Side) -> tuple[Float32Array, BoolArray]:
    pixels, usable = free_pixels(side.stamps)
    return luminance_of(pixels), usable


def _declared(sim: Float64Array | None, obs: Float64Array | None) -> Reading:
    asked = Asked(name="declared PSF width", limit=WIDTH_LIMIT, scale="ratio")
    missing = [name for name, w in (("simulated", sim), ("observed", obs)) if w is None]
    if sim is None or obs is None:
        return not_computable(asked, f"the PSF width of the {' and the '.join(missing)} side is "
                              "not known")  # fmt: skip
    with np.errstate(divide="ignore"):
        return offset(asked, np.log(sim), np.log(obs))


def _seen(
    given: Given,
    light: list[tuple[Float32Array, BoolArray]],
    declared: tuple[Float64Array | None, Float64Array | None],
    rng: np.random.Generator,
) -> tuple[Seeing, Spectra] | str:
    """Return what both sides' light says, or why it says nothing."""
    counts = [int(one[1].sum()) for one in light]
    if min(counts) < FEWEST:
        return f"got {counts[0]} and {counts[1]} usable stamps, needed are {FEWEST} of each"
    sizes = [one[0].shape[1:] for one in light]
    if sizes[0] != sizes[1]:
        return f"got stamps of {sizes[0]} and of {sizes[1]} pixels, needed is one size"
    known = [np.nanmedian(widths) for widths in declared if widths is not None]
    # Equal PSFs read equal whatever width is assumed; only the size of a difference hangs on it.
    typical = float(np.mean(known)) if known else PSF_SIGMA * float(FWHM_PER_SIGMA)
    widths = [
        np.full(len(one[0]), typical) if found is None else found
        for one, found in zip(light, declared, strict=True)
    ]
    fwhm = np.concatenate(widths)
    fwhm = np.where(np.isfinite(fwhm) & (fwhm > 0), fwhm, typical)
    return seeing(
        np.concatenate([one[0] for one in light]),
        _sky(given),
        fwhm=fwhm,
        usable=np.concatenate([one[1] for one in light]),
        is_sim=np.arange(len(fwhm)) < len(light[0][0]),
        rng=rng,
    )


def _sky(given: Given) -> Float32Array | None:
    size = given.sim.stamps.images.shape[2:]
    skies = [side.sky_pixels() for side in (given.sim, given.obs)]
    found = [
        luminance_of(sky[:ENOUGH_SKY]) for sky in skies if sky is not None and sky.shape[2:] == size
    ]
    found = [np.nan_to_num(sky) for sky in found if len(sky)]
    return np.concatenate(found) if found else None


def _from_light(given: Given, seen: tuple[Seeing, Spectra] | str, n_sim: int) -> list[Reading]:
    width = Asked(
        name="PSF width from the light",
        limit=WIDTH_LIMIT,
        scale="ratio",
        vetoes=given.same_population,
        note="how sharp galaxies are may be physics",
    )
    along = [
        Asked(name=f"elongation of the light along {axis}", limit=ELONGATION_LIMIT,
              unit="ellipticity of the PSF")
        for axis in ("x", "the diagonal")
    ]  # fmt: skip
    if isinstance(seen, str):
        return [not_computable(asked, seen) for asked in (width, *along)]
    found, dark = seen[0], "no light stands above the noise at the scales of the PSF"
    return [
        not_computable(asked, dark)
        if numbers is None
        else offset(asked, numbers[:n_sim], numbers[n_sim:])
        for asked, numbers in (
            (width, found.log_width),
            (along[0], found.along_x),
            (along[1], found.along_diagonal),
        )
    ]


def _stars(given: Given) -> tuple[list[Reading], str | None]:
    """Return the reading of stars on empty sky, or a note why there is none.

    Sky without stars is no fault, so that a missing reading is not held against the pair.
    """
    sigma = psf_sigma(given.sim.stamps, given.obs.stamps)
    found, declared = [], []
    for side in (given.sim, given.obs):
        sky = side.sky_pixels()
        if sky is None or side.sky is None:
            return [], "no stars: there is no empty sky of both sides"
        found.append(stars(np.nan_to_num(luminance_of(sky)), sigma=sigma))
        declared.append(declared_widths(side.sky))
    counts = [int(np.isfinite(one.fwhm).sum()) for one in found]
    if min(counts) < FEWEST:
        return [], (
            f"no stars: {counts[0]} simulated and {counts[1]} observed patches of empty sky show "
            f"one, needed are {FEWEST} of each"
        )
    known = [own for own in declared if own is not None]
    relative = len(known) == len(found)
    widths = [
        np.log(one.fwhm / own)
        for one, own in zip(found, known if relative else (np.ones(1),) * 2, strict=True)
    ]
    width = Asked(
        name="width of stars on empty sky",
        limit=WIDTH_LIMIT,
        scale="ratio",
        note="relative to the declared widths" if relative else "",
    )
    readings = [offset(width, *widths)]
    for axis, pick in (("x", "along_x"), ("the diagonal", "along_diagonal")):
        asked = Asked(
            name=f"elongation of stars on empty sky along {axis}",
            limit=ELONGATION_LIMIT,
            unit="ellipticity",
        )
        readings.append(offset(asked, *(getattr(one, pick) for one in found)))
    # Few patches show a star: these convict, and could not acquit.
    return [replace(one, vetoes=one.verdict == "red") for one in readings], None


def _in_embedding(side: Side, widths: Float64Array | None, rng: np.random.Generator) -> Reading:
    asked = Asked(
        name="PSF width in the observed embedding (R²)",
        limit=R2_LIMIT,
        scale="share",
        vetoes=False,
        note="an encoder that sees seeing does no harm while both sides share its distribution",
    )
    if side.embedding is None or widths is None:
        return not_computable(asked, "there is no embedding or no PSF width per image")
    known = np.isfinite(widths) & (widths > 0)
    if known.sum() < FEWEST:
        return not_computable(asked, f"{int(known.sum())} images with a PSF width are too few")
    target = np.log(widths[known])
    if np.ptp(target) < 1e-6:
        return not_computable(asked, "the PSF has one width")
    features = np.asarray(side.embedding.vectors, dtype=np.float64)[known]
    found = cross_validated_r2(features, target, rng=rng)
    return reading(asked, found.value, found.error, n=(0, int(known.sum())))


def _pictures(
    light: list[tuple[Float32Array, BoolArray]],
    declared: tuple[Float64Array | None, Float64Array | None],
    seen: tuple[Seeing, Spectra] | str,
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    sim, obs = declared
    if sim is not None and obs is not None:
        made["widths"] = histograms(
            sim, obs, x_label="declared PSF FWHM [pixel]", caption="Declared PSF of each image."
        )
    seen_at_all = all(usable.any() for _, usable in light)
    if seen_at_all and light[0][0].shape[1:] == light[1][0].shape[1:]:
        cores = [_mean_core(*one) for one in light]
        made["cores"] = tiles(
            [tile("simulated", cores[0]), tile("observed", cores[1])],
            caption="Mean core, each stamp over its own brightest place.",
        )
        made["residual"] = tiles(
            [tile("simulated minus observed", cores[0] - cores[1])],
            diverging=True,
            caption="A ring is a PSF of another width, a four-leaved flower one with another "
            "elongation, a pair of lobes another centre.",
        )
    if not isinstance(seen, str):
        n_sim = int(light[0][1].sum())
        spectra = seen[1]
        made["spectra"] = ratio_curves(
            spectra.frequency,
            spectra.log_power[:n_sim],
            spectra.log_power[n_sim:],
            x_label="spatial frequency [cycle / pixel]",
            y_label="power of the stamps",
            caption="Median power spectra of the stamps, light and noise. A wider PSF takes from "
            "the middle scales, where light still stands above the noise.",
        )
    return made


def _mean_core(luminance: Float32Array, usable: BoolArray) -> Float64Array:
    """Return the mean of the stamps' middles, each over its own brightness there."""
    height, width = luminance.shape[1:]
    half = max(4, round(CORE * min(height, width)))
    near = distance_from_centre(height, width) <= 0.05 * min(height, width) + 1
    used = luminance[usable] - np.median(luminance[usable], axis=(1, 2), keepdims=True)
    bright = used[:, near].mean(axis=1)
    used, bright = used[bright > 0], bright[bright > 0]
    cut = used[
        :,
        height // 2 - half : height // 2 + half,
        width // 2 - half : width // 2 + half,
    ]
    if not len(cut):
        return np.zeros(cut.shape[1:])
    return np.asarray((cut / bright[:, None, None]).mean(axis=0), dtype=np.float64)
