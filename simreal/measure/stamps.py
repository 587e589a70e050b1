"""Measure every image of a set: one number of each kind per image."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.images import ImageSet
from simreal.measure.psf import correlation_length, fill_widths, star_widths
from simreal.measure.sky import border_sky
from simreal.measure.sources import Source, central_source, detect, settled_source

Progress = Callable[[str, int, int], None]

#: Images are detected on a grid of at most this side. On Galaxy Zoo 2 frames a finer one
#: leaves the scatter of the measured radii as it is and takes twice the time.
DETECTION_SIDE = 144
#: 8-bit images have at least the quantisation noise of one grey level, 1 / sqrt(12) of it.
QUANTISATION = 1.0 / 255.0 / np.sqrt(12.0)
#: The compact end of a frame's star candidates is unresolved; the rest are faint galaxies.
STAR_PERCENTILE = 25.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Per-image measurements; lengths in pixels of the native image, NaN where missing.

    Parameters
    ----------
    found : array of bool (n,)
        Whether a source lies in the centre.
    x, y : arrays (n,)
        Centre, 0 at the centre of the first pixel.
    radius, radius90 : arrays (n,)
        Circular radii of half and of 90 % of the light in the segment.
    axis_ratio, concentration : arrays (n,)
        Second moments; radius90 / radius.
    flux : array (n,)
        Luminance summed over the segment.
    neighbours : array (n,)
        Other sources with 1 % of the central flux or more.
    sky, sky_rms : arrays (n, band)
    luminance_rms : array (n,)
    psf_fwhm : array (n,)
        From stars, or filled from the survey where a frame has none.
    stars : array of int (n,)
        Star candidates in the frame.
    correlation : array (n,)
        Lag at which the noise's autocorrelation is one half.
    """

    found: BoolArray
    x: Float64Array
    y: Float64Array
    radius: Float64Array
    radius90: Float64Array
    axis_ratio: Float64Array
    concentration: Float64Array
    flux: Float64Array
    neighbours: Float64Array
    sky: Float64Array
    sky_rms: Float64Array
    luminance_rms: Float64Array
    psf_fwhm: Float64Array
    stars: IntArray
    correlation: Float64Array

    def __len__(self) -> int:
        return len(self.found)

    def rows(self, rows: IntArray | BoolArray) -> "Measured":
        """Return the measurements of `rows`."""
        return Measured(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def updated(self, rows: IntArray, other: "Measured") -> "Measured":
        """Return a copy whose `rows` are those of `other`."""
        changed = {}
        for f in fields(self):
            values = np.array(getattr(self, f.name))
            values[rows] = getattr(other, f.name)
            changed[f.name] = values
        return Measured(**changed)

    def replace(self, **changes: AnyArray) -> "Measured":
        """Return a copy with `changes`."""
        return dataclasses.replace(self, **changes)


def binned(image: Float32Array, binning: int) -> Float32Array:
    """Return `image` averaged over blocks of `binning` pixels, the remainder cut off.

    Examples
    --------
    >>> binned(np.arange(16.0).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    if binning == 1:
        return image
    height, width = (side // binning for side in image.shape[-2:])
    cut = image[..., : height * binning, : width * binning]
    blocks = cut.reshape(*cut.shape[:-2], height, binning, width, binning)
    return np.asarray(blocks.mean((-3, -1)))


def luminance_of(images: Float32Array) -> Float32Array:
    """Return the plain mean over the band axis of images ``(..., band, y, x)``."""
    # A sum of planes in place: numpy's mean over a leading axis takes three times as long.
    total = images[..., 0, :, :].copy()
    for band in range(1, images.shape[-3]):
        total += images[..., band, :, :]
    total /= images.shape[-3]
    return np.asarray(total)


def binning_for(side: int) -> int:
    """Return the binning that brings `side` pixels to the detection grid."""
    return max(1, -(-side // DETECTION_SIDE))


def measure_image(image: Float32Array, *, binning: int, stars: bool = True) -> dict[str, float]:
    """Measure one image ``(band, y, x)``; see `Measured` for the meaning of each number."""
    fine = luminance_of(image)
    luminance = binned(fine, binning)
    level, rms = (float(value) for value in border_sky(luminance))
    rms = max(rms, QUANTISATION / binning)
    flat = luminance - np.float32(level)
    detection = detect(flat, rms)
    source = central_source(flat, detection)
    if source is not None:
        source = settled_source(luminance, source, floor=QUANTISATION / binning)
    numbers = _source_numbers(source, binning)
    numbers["luminance_rms"] = rms
    if stars:
        widths = star_widths(image, detection, rms=rms, binning=binning)
        numbers["stars"] = len(widths)
        if len(widths):
            numbers["psf_fwhm"] = float(np.percentile(widths, STAR_PERCENTILE))
        numbers["correlation"] = correlation_length(fine)
    return numbers


def _source_numbers(source: Source | None, binning: int) -> dict[str, float]:
    if source is None:
        return {"found": 0.0}
    return {
        "found": 1.0,
        "x": (source.x + 0.5) * binning - 0.5,
        "y": (source.y + 0.5) * binning - 0.5,
        "radius": source.radius * binning,
        "radius90": source.radius90 * binning,
        "axis_ratio": source.axis_ratio,
        "concentration": source.radius90 / source.radius,
        "flux": source.flux * binning**2,
        "neighbours": float(source.neighbours),
    }


def assemble(numbers: list[dict[str, float]], sky: Float64Array, sky_rms: Float64Array) -> Measured:
    """Return the noun of per-image `numbers`, with PSF widths filled where frames lack stars."""
    columns = {
        f.name: np.array([row.get(f.name, np.nan) for row in numbers], dtype=np.float64)
        for f in fields(Measured)
        if f.name not in ("sky", "sky_rms")
    }
    widths, _ = fill_widths(columns["psf_fwhm"], columns["correlation"])
    typed: dict[str, AnyArray] = {
        **columns,
        "psf_fwhm": widths,
        "found": columns["found"] == 1.0,
        "stars": np.nan_to_num(columns["stars"]).astype(np.int64),
        "sky": sky,
        "sky_rms": sky_rms,
    }
    return Measured(**typed)


def measure_stamps(
    images: ImageSet,
    *,
    stars: bool = True,
    label: str = "measure",
    progress: Progress | None = None,
) -> Measured:
    """Measure every image of a set as it is.

    Parameters
    ----------
    images : ImageSet
    stars : bool
        Whether to look for stars; idealised images have none.
    label : str
        What `progress` calls this stage.

    Returns
    -------
    Measured
        PSF widths are those of the setup where it knows them.
    """
    n = len(images)
    binning = binning_for(min(images.images.shape[-2:]))
    numbers: list[dict[str, float]] = []
    levels, noises = [], []
    for rows, block in images.chunks(32):
        level, rms = border_sky(block)
        levels.append(level)
        noises.append(rms)
        numbers.extend(measure_image(image, binning=binning, stars=stars) for image in block)
        if progress is not None:
            progress(label, rows.stop, n)
    measured = assemble(numbers, np.concatenate(levels), np.concatenate(noises))
    known = images.setup.psf_fwhm
    if known is None:
        return measured
    return measured.replace(psf_fwhm=np.broadcast_to(known, (n, known.shape[-1])).mean(1))
