"""Laws that a whole match of calibrated images obeys: flux, PSF and encircled energy arrive."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from simreal.match.flux.run import match_flux
from simreal.match.psf_kernels import profile_from_fwhm
from simreal.match.recipe import Recipe
from simreal.match.stretch import flux_of, softening_of
from tests.match.flux.scenes import (
    flux_set,
    galaxies,
    psf,
    shown,
    sky,
    stars,
    view,
    width_on_pixels,
)

#: [nJy] Of a star: below white at its peak, and far above the noise of rms 1.
FLUX = 2e4
N = 40


def matched(sim, obs, **recipe):
    """Return both sides' flux on the frame and the FWHM [stamp pixel] that the match states."""
    views = tuple(view(("r",), rendition=images.setup.rendition) for images in (sim, obs))
    found = match_flux(sim, obs, views=views, recipe=Recipe(**recipe), seed=1)
    out = []
    for images in (found.sim, found.obs):
        softening = softening_of(images.setup.display)
        flux = flux_of(images.images.read(slice(None)), softening)[:, 0]
        out.append((flux, float(np.median(images.setup.psf_fwhm))))
    return out


def seen_width(flux):
    """Return the FWHM [pixel] of the mean star, from a fit."""
    mean = flux.mean(axis=0)
    grid = np.arange(len(mean)) - (len(mean) - 1) / 2
    y, x = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))

    def moffat(_, peak, width, beta, x0, y0):
        scale = width / 2 / np.sqrt(2 ** (1 / beta) - 1)
        return peak * (1 + ((x - x0) ** 2 + (y - y0) ** 2) / scale**2) ** -beta

    start = (mean.max(), 3.5, 3.0, 0.0, 0.0)
    limits = ([0, 1, 1.2, -2, -2], [np.inf, 20, 20, 2, 2])
    return curve_fit(moffat, None, mean.ravel(), p0=start, bounds=limits)[0][1]


def encircled(flux, radii):
    """Return the share of a star's light inside circles [pixel], rims counted in 49 parts."""
    mean, fine = flux.mean(axis=0), 7
    side = len(mean)
    axis = (np.arange(side * fine) - (side * fine - 1) / 2) / fine
    distance = np.hypot(axis[:, None], axis).reshape(side, fine, side, fine)
    parts = distance.swapaxes(1, 2).reshape(side, side, -1)
    return np.array([(mean * (parts <= radius).mean(-1)).sum() for radius in radii]) / FLUX


def survey(name, *, scale, fwhm, side, seed, stamps=False):
    """Return stars of a survey that says how wide its PSF is, or shows it."""
    pixels = stars(N, side=side, scale=scale, fwhm=fwhm, flux=FLUX, seed=seed)
    if stamps:
        own = shown(psf(fwhm), side=int(12 * fwhm / scale) // 2 * 2 + 1, scale=scale)[None]
        known = {"psf": own / own.sum()}
    else:
        known = {"psf_fwhm": [width_on_pixels(fwhm, scale) / scale]}
    return flux_set(
        name, pixels + sky(pixels.shape, 1.0, seed=seed + 50), pixel_scale=scale, **known
    )


def points(*, scale=0.15, side=161):
    pixels = np.zeros((N, 1, side, side), np.float32)
    pixels[:, 0, side // 2, side // 2] = FLUX
    return flux_set("sim", pixels, pixel_scale=scale, rendition="idealised")


SCENES = {
    "same pixels": lambda: (
        survey("sim", scale=0.3, fwhm=0.9, side=81, seed=0),
        survey("obs", scale=0.3, fwhm=1.4, side=81, seed=1),
    ),
    "finer pixels": lambda: (
        survey("sim", scale=0.2, fwhm=1.0, side=141, seed=0),
        survey("obs", scale=0.4, fwhm=1.2, side=71, seed=1),
    ),
    "coarser pixels": lambda: (
        survey("sim", scale=0.4, fwhm=1.2, side=71, seed=0),
        survey("obs", scale=0.2, fwhm=1.0, side=141, seed=1),
    ),
    "PSF stamps": lambda: (
        survey("sim", scale=0.2, fwhm=0.9, side=141, seed=0, stamps=True),
        survey("obs", scale=0.4, fwhm=1.2, side=71, seed=1, stamps=True),
    ),
    "lent stamps": lambda: (
        points(), survey("obs", scale=0.4, fwhm=1.2, side=71, seed=1, stamps=True),
    ),
    "ideal": lambda: (points(), survey("obs", scale=0.4, fwhm=1.4, side=71, seed=1)),
}  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_stars_arrive_with_one_psf(scene):
    (sim, stated), (obs, _) = matched(*SCENES[scene]())
    widths = seen_width(sim), seen_width(obs)
    assert widths[0] / widths[1] == pytest.approx(1.0, abs=0.02)
    # What the match says of the stamps is what a star on them shows.
    assert widths[1] / stated == pytest.approx(1.0, abs=0.02)
    radii = widths[1] * np.array([0.5, 1.0, 1.5, 2.0])
    assert np.abs(encircled(sim, radii) - encircled(obs, radii)).max() < 0.011


def test_without_the_match_the_same_stars_would_fail():
    # Their own PSFs, 0.9 and 1.4 arcsec: the bounds above are no formality.
    sim, obs = (images.images.read(slice(None))[:, 0] for images in SCENES["same pixels"]())
    assert seen_width(sim) / seen_width(obs) < 0.75
    assert np.abs(encircled(sim, [2, 4]) - encircled(obs, [2, 4])).max() > 0.1


@pytest.mark.parametrize("ideal", [True, False])
def test_the_flux_of_isolated_galaxies_arrives(ideal):
    """Summed over many galaxies: noise of 0.5 nJy on 91 x 91 pixels is 6 nJy in their mean."""
    n = 60
    shape = {"side": 91, "scale": 0.3, "flux": (1e4, 3e4), "radius": (0.8, 1.0)}
    sims, total = galaxies(n, fwhm=0.0 if ideal else 0.9, seed=3, **shape)
    others, total_obs = galaxies(n, fwhm=1.4, seed=4, **shape)
    setup = {"rendition": "idealised"} if ideal else {"psf_fwhm": [width_on_pixels(0.9, 0.3) / 0.3]}
    noise = 0.0 if ideal else 0.5
    sim = flux_set("sim", sims + sky(sims.shape, noise, seed=5), pixel_scale=0.3, **setup)
    obs = flux_set(
        "obs", others + sky(others.shape, 0.5, seed=6), pixel_scale=0.3,
        psf_fwhm=[width_on_pixels(1.4, 0.3) / 0.3],
    )  # fmt: skip
    (ours, _), (theirs, _) = matched(sim, obs, frame_width=25.0)
    for flux, wanted in ((ours, total), (theirs, total_obs)):
        assert len(flux) == n
        # Wings of the PSF beyond the frame are lost on either side alike.
        assert flux.sum() / wanted.sum() == pytest.approx(1.0, abs=2e-3)
    assert (ours.sum() / total.sum()) / (theirs.sum() / total_obs.sum()) == pytest.approx(
        1.0, abs=2e-3
    )


def test_blur_and_resampling_alone_conserve_flux():
    """No noise is added to a side that has all of it: only kernel, frame and stretch are left."""
    from simreal.match.flux.optics import blur
    from simreal.match.flux.render import light
    from simreal.match.frame import CommonFrame
    from simreal.match.stretch import fixed_asinh
    from tests.match.flux.scenes import job, party

    # A Gaussian disc: 1e-9 of its light is beyond the frame.
    grid = np.arange(161) - 80.0
    disc = np.exp(-0.5 * ((grid[:, None] - 0.3) ** 2 + (grid + 0.2) ** 2) / 4.0**2)
    pixels = (FLUX * disc / disc.sum()).astype("f4")[None, None]
    images = flux_set("sim", pixels, pixel_scale=0.3, psf_fwhm=[3.0])
    own = blur(images, np.full((1, 1), 2.0))
    assert own.make is not None
    frame = CommonFrame(kind="angular", width=36.0)
    (_, flux), = light(party("sim", images), own, frame=frame, job=job())  # fmt: skip
    shown_flux = flux_of(fixed_asinh(flux, [3.0]), [3.0])
    assert flux.sum() == pytest.approx(FLUX, rel=1e-4)
    assert shown_flux.sum() == pytest.approx(FLUX, rel=1e-4)
    # Zero from the first pixel on: the kernel itself sums to one.
    assert profile_from_fwhm([3.0], 41).sum() == pytest.approx(1.0)
