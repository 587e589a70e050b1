"""Images that bring sky of their own and are given the survey's: noise must not count twice."""

from dataclasses import replace

import numpy as np
import pytest

from simreal.core.cards import View
from simreal.core.images import ImageSet, Setup
from simreal.match.frame import CommonFrame
from simreal.match.injection import wide_enough
from simreal.match.job import Job
from simreal.match.own_sky import OwnSky, left_of_own_sky, without_neighbours
from simreal.match.psf import moffat_kernels
from simreal.match.recipe import Recipe
from simreal.match.render import _made_up
from simreal.match.run import match_pair
from simreal.match.sides import Party
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import measure_stamps

SIDE = 160
SKY = View(geometry="sky", bands=("r", "g", "b"))


def frames(n, *, seed, star, rms, name):
    """Discs on white noise, with a star whose Gaussian width is `star` [pixel]."""
    rng = np.random.default_rng(seed)
    grid = np.arange(SIDE) - (SIDE - 1) / 2
    images = np.empty((n, 3, SIDE, SIDE), np.float32)
    for k in range(n):
        disc = 0.5 * np.exp(-np.hypot(grid[:, None], grid) / rng.uniform(4.0, 5.0))
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(58, 62)
        x, y = grid - r * np.cos(a), grid[:, None] - r * np.sin(a)
        disc = disc + 0.2 * np.exp(-0.5 * (x**2 + y**2) / star**2)
        images[k] = disc + rng.normal(0.1, rms, (3, SIDE, SIDE))
    ids = np.array([f"{name}{k}" for k in range(n)])
    return ImageSet(
        name=name, role="observed" if name == "sky" else "simulated", sampling="random",
        images=np.clip(images, 0, 1), ids=ids, groups=ids,
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def matched():
    sharp = frames(24, seed=1, star=1.2, rms=0.008, name="sharp")
    sky = frames(80, seed=2, star=2.4, rms=0.012, name="sky")
    return match_pair(sharp, sky, views=(SKY, SKY), recipe=Recipe(stamp=48), seed=3)


def test_a_sharper_simulation_ends_with_the_observed_psf(matched):
    widths = [s.setup.psf_fwhm.mean() for s in (matched.sim, matched.obs)]
    assert widths[0] == pytest.approx(widths[1], rel=0.05)
    psf = next(step for step in matched.sim.history if step.name == "psf")
    assert psf.before["fwhm [native pixel]"] < 0.6 * psf.after["fwhm [native pixel]"]


def test_its_noise_does_not_count_twice(matched):
    pure = [np.asarray(s.images.read(slice(None))) for s in (matched.sky_sim, matched.sky_obs)]
    rms = [np.median(clipped_statistics(p.mean(1).reshape(len(p), -1))[1]) for p in pure]
    # Frames of one rms each: 24 and 30 patches of 48² correlated pixels scatter by 1 to 2 %.
    assert rms[0] == pytest.approx(rms[1], rel=0.05)
    sky = next(step for step in matched.sim.history if step.name == "sky")
    assert 0 < sky.before["share of the variance brought along"] < 0.2


def test_no_image_is_lost_to_its_psf(matched):
    assert not [e for e in matched.exclusions if e.step == "psf"]


def test_two_halves_of_one_survey_keep_their_own_sky():
    both = [frames(40, seed=seed, star=2.0, rms=0.01, name=n) for seed, n in ((4, "a"), (5, "sky"))]
    kept = match_pair(*both, views=(SKY, SKY), recipe=Recipe(stamp=48), seed=0)
    assert len(kept.donors) == 0
    assert "sky" not in [step.name for step in kept.sim.history]


@pytest.mark.parametrize("fwhm", [3.0, 5.0])
def test_white_noise_through_a_psf_keeps_the_sum_of_its_squares(fwhm):
    noise = np.random.default_rng(6).normal(0.1, 0.01, (12, 3, SIDE, SIDE)).astype("f4")
    images = frames(12, seed=6, star=1.2, rms=0.01, name="sharp").replace(images=noise)
    measured = measure_stamps(images, stars=True)
    party = Party(
        side="sim", images=images, view=SKY, measured=measured, original=np.arange(len(images))
    )
    job = Job(recipe=Recipe(stamp=64, frame="radius"), seed=0, kind="radius", progress=None)
    # One stamp pixel is one native pixel: the frame is 64 native pixels wide in every image.
    frame = CommonFrame(kind="radius", width=64.0)
    middle, one = np.full(len(images), (SIDE - 1) / 2), np.ones(len(images))
    party = replace(party, measured=measured.replace(x=middle, y=middle, radius=one))
    own = left_of_own_sky(party, frame, np.full(len(images), fwhm), job)
    assert len(own.rows) > 6
    kernel = moffat_kernels(np.array([fwhm]), 41)[0]
    # Six modes of the quadratic surface are gone, each with the power of white noise.
    expected = 0.01**2 * ((kernel**2).sum() - 6 / 64**2)
    # Resampling at a random phase smooths a little on its own; 36 patches of 4096 / 20
    # independent pixels scatter by 10 % each.
    # Of three bands of equal independent noise, the mean has a third, each deviation two thirds.
    assert np.median(own.variance[:, 0]) == pytest.approx(expected / 3, rel=0.15)
    assert np.median(own.variance[:, 1:]) == pytest.approx(expected * 2 / 3, rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_donor_makes_up_the_difference(share):
    rng = np.random.default_rng(7)
    sky = rng.normal(0.1, 0.02, (6, 3, 64, 64)).astype("f4")
    parts = share * 0.02**2 * np.array([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    own = OwnSky(rows=np.arange(6), stamps=np.zeros_like(sky), variance=np.tile(parts, (6, 1)))
    lowered, found = _made_up(sky, own, slice(0, 6))
    # Clipping at three sigma takes 3 % off the variance of a normal distribution.
    assert found.mean() == pytest.approx(share, rel=0.04, abs=1e-9)
    assert lowered.std() == pytest.approx(0.02 * np.sqrt(1 - share), rel=0.08)
    assert lowered.mean() == pytest.approx(0.1, abs=1e-3)


def test_donors_are_exchanged_and_never_lost():
    rng = np.random.default_rng(8)
    own, given = rng.uniform(1, 3, 50), rng.uniform(1.5, 5, 30)
    pick = rng.integers(30, size=50)
    better = wide_enough(pick, own=own, given=given, rng=rng)
    assert sorted(better) == sorted(pick)
    assert (own > given[better]).sum() < (own > given[pick]).sum()
    assert (own > given[better]).sum() == 0


def test_neighbours_are_painted_over_and_the_galaxy_is_not():
    rng = np.random.default_rng(9)
    grid = np.arange(SIDE) - (SIDE - 1) / 2
    galaxy = 0.5 * np.exp(-np.hypot(grid[:, None], grid) / 5)
    star = 0.3 * np.exp(-0.5 * ((grid - 55) ** 2 + (grid[:, None] + 40) ** 2) / 2**2)
    # A bridge of light ties this companion to the galaxy.
    companion = 0.2 * np.exp(-0.5 * ((grid + 30) ** 2 + grid[:, None] ** 2) / 4**2)
    companion += 0.05 * ((grid < 0) & (grid > -30) & (np.abs(grid[:, None]) < 3))
    noise = rng.normal(0, 0.005, (1, 3, SIDE, SIDE))
    images = (galaxy + star + companion + noise).astype("f4")
    sky = frames(1, seed=10, star=1.2, rms=0.005, name="sharp").replace(images=images)
    measured = measure_stamps(sky)
    cleared = without_neighbours(images, measured, slice(0, 1))
    assert abs(cleared[0, :, 38:42, 133:137].mean()) < 0.001
    inner = np.s_[0, :, 40:120, 40:120]
    assert np.array_equal(cleared[inner], images[inner])
    # Nothing but the star and what lies within its growth is gone.
    assert (cleared != images).any(axis=1).mean() < 0.03
