"""Small made scenes of calibrated images: what is in them is known to the last photon."""

import galsim
import numpy as np

from simreal.core.cards import View
from simreal.core.images import ImageSet, Setup
from simreal.match.flux.given import own_fields
from simreal.match.flux.optics import own_width
from simreal.match.job import Job
from simreal.match.recipe import Recipe
from simreal.match.sides import Party
from simreal.measure.stamps import assemble

UNIT = "nJy / pix"
#: Moffat index of every PSF that is drawn.
BETA = 3.5


def view(bands, *, rendition="survey", geometry="sky"):
    return View(geometry=geometry, bands=bands, unit=UNIT, display="linear", rendition=rendition)


def flux_set(name, pixels, *, mask=None, bands=("r",), groups=None, properties=None, **setup):
    """Return a set in nJy per pixel with the conditions of `setup`."""
    n = len(pixels)
    ids = np.array([f"{name}{k:04d}" for k in range(n)])
    return ImageSet(
        name=name,
        role="observed" if name.startswith("obs") else "simulated",
        sampling="random",
        images=np.asarray(pixels, np.float32),
        mask=mask,
        ids=ids,
        groups=ids if groups is None else np.asarray(groups),
        setup=Setup(track="flux", bands=bands, unit=UNIT, display="linear", **setup),
        properties=properties,
    )


def psf(fwhm):
    """Return the light of a star [arcsec], before any pixel."""
    return galsim.Moffat(beta=BETA, fwhm=fwhm)


def shown(profile, *, side, scale, offset=(0.0, 0.0)):
    """Return the profile on pixels ``(y, x)``, off the centre by `offset` [pixel]."""
    image = profile.drawImage(nx=side, ny=side, scale=scale, offset=offset, dtype=np.float64)
    return np.array(image.array)


def width_on_pixels(fwhm, scale):
    """Return the FWHM [arcsec] that a star has on square pixels, read off a fine drawing."""
    return (galsim.Convolve(psf(fwhm), galsim.Pixel(scale))).calculateFWHM()


def stars(n, *, side, scale, fwhm, flux=2e4, seed=0, spread=0.5):
    """Return n stars ``(n, 1, side, side)`` anywhere on the central pixel."""
    rng = np.random.default_rng(seed)
    widths = np.broadcast_to(fwhm, (n,))
    offsets = rng.uniform(-spread, spread, (n, 2))
    return np.stack(
        [
            flux * shown(psf(width), side=side, scale=scale, offset=tuple(offset))[None]
            for width, offset in zip(widths, offsets, strict=True)
        ]
    ).astype(np.float32)


def galaxies(n, *, side, scale, fwhm=0.0, flux=(2e4, 2e5), radius=(0.6, 1.2), seed=0, bands=1):
    """Return n inclined discs ``(n, bands, side, side)`` and the flux of each ``(n,)``."""
    rng = np.random.default_rng(seed)
    out, total = [], np.exp(rng.uniform(*np.log(flux), n))
    for light in total:
        disc = galsim.Exponential(half_light_radius=rng.uniform(*radius), flux=light)
        disc = disc.shear(q=rng.uniform(0.5, 1.0), beta=rng.uniform(0, np.pi) * galsim.radians)
        seen = galsim.Convolve(disc, psf(fwhm)) if fwhm else disc
        plane = shown(seen, side=side, scale=scale, offset=tuple(rng.uniform(-0.5, 0.5, 2)))
        out.append(np.repeat(plane[None], bands, axis=0))
    return np.array(out, np.float32), total


def sky(shape, rms, *, seed=0, correlated=0.0):
    """Return noise of the given rms; neighbours correlate by `correlated` along either axis."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    if correlated:
        waves = np.fft.fft2(noise)
        for axis, size in ((-2, shape[-2]), (-1, shape[-1])):
            power = 1 + 2 * correlated * np.cos(2 * np.pi * np.fft.fftfreq(size))
            waves *= np.sqrt(power).reshape((size, 1) if axis == -2 else (1, size))
        noise = np.fft.ifft2(waves).real
    return (noise * np.asarray(rms)).astype(np.float32)


def party(side, images, *, x=None, y=None, radius=4.0):
    """Return a set as a party whose measurements are given instead of made."""
    n, bands, height, width = images.images.shape
    ones = np.ones(n)
    psf_fwhm = own_width(images).mean(axis=1) / np.asarray(images.setup.pixel_scale)
    row = {"found": 1.0, "radius": radius, "radius90": 2 * radius, "stars": 0, "flux": 1.0}
    noise = ones[:, None] if images.setup.noise is None else images.setup.noise
    noise = np.array(np.broadcast_to(noise, (n, bands)))
    measured = assemble([dict(row) for _ in range(n)], np.zeros((n, bands)), noise).replace(
        x=ones * (width - 1) / 2 if x is None else x,
        y=ones * (height - 1) / 2 if y is None else y,
        psf_fwhm=psf_fwhm,
    )
    return Party(
        side=side, images=images, view=view(images.setup.bands, rendition=images.setup.rendition),
        measured=measured, original=np.arange(n), box=own_fields(images),
    )  # fmt: skip


def job(*, stamp=64, seed=0, **recipe):
    return Job(recipe=Recipe(stamp=stamp, **recipe), seed=seed, kind="angular", progress=None)
