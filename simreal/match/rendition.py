"""Measure idealised images as the survey would have seen them, then throw the view away."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.match.noise import CLEARANCE, sky_patch
from simreal.match.pixels import remove_background, resample
from simreal.match.psf import convolve, missing_width
from simreal.match.sides import Donors, Party
from simreal.measure.sky import border_sky
from simreal.measure.sources import Source, central_source, detect, settled_source
from simreal.measure.stamps import (
    QUANTISATION,
    Measured,
    Progress,
    assemble,
    binned,
    binning_for,
)

#: Rounds of measuring and rescaling; the radius moves by about a percent in the last one.
ROUNDS = 2
SMALLEST_RENDITION = 24


def measure_renditions(
    sim: Party,
    donors: Donors,
    *,
    scale: Float64Array | None,
    rng: np.random.Generator,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> Measured:
    """Measure each idealised image on its donor's sky, at its donor's sampling and PSF.

    Without sky, EAGLE's diffuse light makes half-light radii about twice too large. The
    radius sets the sampling and the sampling the sky that the radius is measured on, so
    that frames in units of the radius are iterated to a fixed point.

    Parameters
    ----------
    sim : Party
        Its `measured` is the measurement of the bare images and gives the first radii.
    donors : Donors
    scale : array (n_sim,) or None
        Frame units per simulated pixel; None where the frame is in measured radii.
    rounds : int
        Of measuring and rescaling, where the scale is not known.
    """
    rounds = rounds if scale is None else 1
    own_psf = sim.own_psf
    numbers: list[dict[str, float]] = []
    for rows, block in sim.images.chunks(32):
        bare = remove_background(block, noisy=sim.noisy).mean(1)
        picked = donors.pick[rows]
        frames = donors.party.images.images.read(picked)
        for k, donor in enumerate(picked):
            row = rows.start + k
            sky = _binned_sky(frames[k], donors, int(donor), rng)
            fixed = None if scale is None else float(scale[row])
            start = float(sim.measured.radius[row])
            own = float(own_psf[row])
            numbers.append(_iterate(bare[k], sky, donors, int(donor), (fixed, start, own), rounds))
        if progress is not None:
            progress("measure on sky", rows.stop, len(sim))
    bare_measured = sim.measured
    return assemble(numbers, bare_measured.sky, bare_measured.sky_rms)


def _binned_sky(
    frame: Float32Array, donors: Donors, donor: int, rng: np.random.Generator
) -> Float32Array:
    measured = donors.party.measured
    half = max(int(donors.half_limit[donor]), 4)
    patch = sky_patch(
        frame,
        x=float(measured.x[donor]),
        y=float(measured.y[donor]),
        clearance=CLEARANCE * float(measured.radius[donor]),
        half=half,
        rng=rng,
    )
    return binned(patch.mean(0), binning_for(min(frame.shape[-2:])))


def _iterate(
    bare: Float32Array, sky: Float32Array, donors: Donors, donor: int,
    scale: tuple[float | None, float, float],
    rounds: int,
) -> dict[str, float]:  # fmt: skip
    fixed, radius, own = scale
    if not np.isfinite(radius):
        return {"found": 0.0}
    numbers: dict[str, float] = {"found": 0.0}
    for _ in range(rounds):
        unit = fixed if fixed is not None else 1.0 / radius
        numbers = _measure_once(bare, sky, donors, donor, (unit, own))
        if numbers["found"] == 0.0:
            return numbers
        radius = numbers["radius"]
    unit = fixed if fixed is not None else 1.0 / radius
    numbers["psf_fwhm"] = float(donors.party.measured.psf_fwhm[donor] * donors.scale[donor] / unit)
    return numbers


def _measure_once(
    bare: Float32Array, sky: Float32Array, donors: Donors, donor: int, scale: tuple[float, float]
) -> dict[str, float]:
    binning = binning_for(min(donors.party.field))
    unit, own = scale
    # Simulated pixels per pixel of the rendition, which are the donor's binned pixels.
    step = float(donors.scale[donor]) * binning / unit
    most = min(donors.party.field) // binning
    side = int(np.clip(np.floor(min(bare.shape) / step), SMALLEST_RENDITION, most))
    width = min(side * step, float(min(bare.shape)))
    step = width / side
    middle = np.array([(min(bare.shape) - 1) / 2])
    light = resample(bare[None, None], x=middle, y=middle, width=np.array([width]), n_out=side)
    target = np.nan_to_num(donors.party.measured.psf_fwhm[donor : donor + 1]) / binning
    fwhm = np.nan_to_num(missing_width(np.array([own / step]), target))
    image = convolve(light, fwhm)[0, 0] + _tiled(sky, side)
    level, rms = (float(value) for value in border_sky(image))
    rms = max(rms, QUANTISATION / binning)
    flat = image - np.float32(level)
    source = central_source(flat, detect(flat, rms))
    if source is not None:
        source = settled_source(image, source, floor=QUANTISATION / binning)
    return _in_native_pixels(source, step, float(middle[0]) - width / 2, rms)


def _tiled(sky: Float32Array, side: int) -> Float32Array:
    """Return `sky` cut or mirrored to `side` pixels; this view is thrown away."""
    own = sky.shape[-1]
    if own >= side:
        return sky[:side, :side]
    index = np.arange(side) % (2 * own)
    index = np.where(index < own, index, 2 * own - 1 - index)
    return np.asarray(sky[np.ix_(index, index)])


def _in_native_pixels(
    source: Source | None, step: float, start: float, rms: float
) -> dict[str, float]:
    if source is None:
        return {"found": 0.0, "luminance_rms": rms}
    return {
        "found": 1.0,
        "x": (source.x + 0.5) * step + start,
        "y": (source.y + 0.5) * step + start,
        "radius": source.radius * step,
        "radius90": source.radius90 * step,
        "axis_ratio": source.axis_ratio,
        "concentration": source.radius90 / source.radius,
        "flux": source.flux * step**2,
        "neighbours": float(source.neighbours),
        "luminance_rms": rms,
    }
