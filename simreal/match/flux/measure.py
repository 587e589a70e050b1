"""Measure calibrated images: centre, size and sky on one image per object, all bands together."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.images import ImageSet
from simreal.match.psf import convolve
from simreal.measure.sky import border_sky, clipped_statistics
from simreal.measure.stamps import (
    Measured,
    Progress,
    assemble,
    binning_for,
    measure_image,
)

#: Sky rms of the images that are measured. Far above a grey level of 8-bit images, which the
#: measurement takes for the least noise there can be.
DETECTION_RMS = 0.02
CHUNK = 64


def detection_images(images: Float32Array, noise: Float64Array) -> Float32Array:
    """Return one image per object ``(n, 1, y, x)``: the bands in units of their noise, added up.

    Parameters
    ----------
    images : array (n, band, y, x)
    noise : array (n, band)
        Sky rms.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(0, 5, (1, 4, 99, 99)).astype("f4")
    >>> round(float(detection_images(sky, np.full((1, 4), 5.0)).std()), 3)
    0.02
    """
    weight = DETECTION_RMS / (noise * np.sqrt(images.shape[1]))
    return np.asarray(
        np.einsum("nbyx,nb->nyx", images, weight.astype(np.float32))[:, None], dtype=np.float32
    )


def sky_noise(images: ImageSet, box: IntArray) -> Float64Array:
    """Return the sky rms ``(n, band)``: that of the setup, or that of each field's border."""
    n, bands = images.images.shape[:2]
    if images.setup.noise is not None:
        return np.array(np.broadcast_to(images.setup.noise, (n, bands)))
    out = np.empty((n, bands))
    for rows, block in images.chunks(CHUNK):
        for k, image in enumerate(block):
            y0, y1, x0, x1 = box[rows.start + k]
            _, out[rows.start + k] = border_sky(image[:, y0:y1, x0:x1])
    return np.where(out > 0, out, np.nanmedian(np.where(out > 0, out, np.nan), axis=0))


def measure_flux(
    images: ImageSet,
    *,
    box: IntArray,
    noise: Float64Array,
    stars: bool,
    label: str,
    progress: Progress | None = None,
) -> Measured:
    """Measure the images of a survey as they are.

    Parameters
    ----------
    images : ImageSet
    box : array of int (n, 4)
        Each image's own field.
    noise : array (n, band)
        Sky rms.
    stars : bool
        Whether to look for stars, from which the width of the PSF is taken.
    """
    numbers, levels = [], []
    binning = binning_for(min(images.images.shape[-2:]))
    for rows, block in images.chunks(CHUNK):
        seen = detection_images(block, noise[rows])
        numbers += _numbers(seen, box[rows], binning=binning, stars=stars)
        levels += [
            clipped_statistics(image[:, y0:y1, x0:x1].reshape(len(image), -1))[0]
            for image, (y0, y1, x0, x1) in zip(block, box[rows], strict=True)
        ]
        if progress is not None:
            progress(label, rows.stop, len(images))
    return assemble(numbers, np.array(levels), noise)


def measure_as_seen(
    images: ImageSet,
    *,
    box: IntArray,
    noise: Float64Array,
    fwhm: Float64Array,
    rng: np.random.Generator,
    label: str,
    progress: Progress | None = None,
) -> Measured:
    """Measure idealised images on a throw-away view with a survey's PSF and depth.

    A radius measured without sky counts diffuse light that no survey would see.

    Parameters
    ----------
    noise : array (n, band)
        Sky rms that the survey would have on pixels of this size.
    fwhm : array (n,)
        [pixel] Of the survey's PSF.
    """
    numbers = []
    binning = binning_for(min(images.images.shape[-2:]))
    for rows, block in images.chunks(CHUNK):
        seen = detection_images(convolve(block, fwhm[rows]), noise[rows])
        seen += np.float32(DETECTION_RMS) * rng.standard_normal(seen.shape, dtype=np.float32)
        numbers += _numbers(seen, box[rows], binning=binning, stars=False)
        if progress is not None:
            progress(label, rows.stop, len(images))
    return assemble(numbers, np.zeros_like(noise), noise)


def _numbers(
    seen: Float32Array, box: IntArray, *, binning: int, stars: bool
) -> list[dict[str, float]]:
    out = []
    for image, (y0, y1, x0, x1) in zip(seen, box, strict=True):
        part = np.ascontiguousarray(image[:, y0:y1, x0:x1])
        row = measure_image(part, binning=binning, stars=stars)
        if row.get("found"):
            row["x"], row["y"] = row["x"] + float(x0), row["y"] + float(y0)
        out.append(row)
    return out
