"""What the finished stamps show where nothing is: its level, and a check that is honest."""

import numpy as np
import pytest

from simreal.match.flux.optics import blur, width_on_frame
from simreal.match.flux.skies import Rendered, noise_checks, rendered, sky_level
from simreal.match.frame import CommonFrame
from tests.match.flux.scenes import flux_set, galaxies, job, party, sky

SIDE = 64


def made(flux, rms, *, hidden=None):
    n, bands = flux.shape[:2]
    return Rendered(
        flux=flux, sky=None, sky_rows=np.empty(0, np.int64), hidden=hidden,
        noise=np.array(np.broadcast_to(rms, (n, bands)), np.float64),
    )  # fmt: skip


def verdicts(sim, obs):
    return {check.name.split(",")[0]: check for check in noise_checks(sim, obs)}


class TestNoiseChecks:
    def test_equal_noise_passes_whatever_the_depths(self):
        depth = np.random.default_rng(0).lognormal(0, 0.6, (300, 1))
        sides = [sky((300, 2, SIDE, SIDE), 1.0, seed=k) * depth[..., None, None] for k in (0, 1)]
        found = verdicts(*(made(flux.astype("f4"), depth) for flux in sides))
        assert all(check.passed for check in found.values())

    def test_ten_per_cent_too_much_fails(self):
        sim, obs = (
            made(sky((200, 1, SIDE, SIDE), rms, seed=k), 1.0) for k, rms in ((0, 1.1), (1, 1))
        )
        found = verdicts(sim, obs)
        assert found["sky rms"].passed is False
        assert found["sky rms"].value == pytest.approx(1.1, abs=0.01)
        assert found["noise power"].passed is False
        # Power is the square of the rms.
        assert found["noise power"].value == pytest.approx(1.21, abs=0.05)

    def test_another_shape_at_the_same_rms_fails_by_its_power(self):
        sim = made(sky((200, 1, SIDE, SIDE), 1.0, correlated=0.2), 1.0)
        found = verdicts(sim, made(sky((200, 1, SIDE, SIDE), 1.0, seed=1), 1.0))
        assert found["sky rms"].passed
        assert found["noise power"].passed is False

    def test_what_the_match_believes_of_both_sides_counts(self):
        sim = made(sky((100, 1, SIDE, SIDE), 1.2), 1.2)
        found = verdicts(sim, made(sky((100, 1, SIDE, SIDE), 1.0, seed=1), 1.0))
        assert found["sky rms"].value == pytest.approx(1.2, abs=0.02)
        assert found["sky rms"].passed is False

    def test_outskirts_of_galaxies_are_not_noise(self):
        # Discs that reach far into the stamps of one side alone: with all that is not detected
        # counted as blank, this read 1.3 and more.
        disc, _ = galaxies(
            150, side=SIDE, scale=0.3, fwhm=1.0, flux=(2e3, 4e3), radius=(1.2, 1.8), seed=2
        )
        sim = made(disc + sky(disc.shape, 1.0), 1.0)
        found = verdicts(sim, made(sky(disc.shape, 1.0, seed=1), 1.0))
        assert found["sky rms"].value == pytest.approx(1.0, abs=0.02)

    def test_few_stamps_cannot_tell_and_fewer_say_nothing(self):
        sim, obs = (made(sky((24, 1, 40, 40), rms, seed=k), 1.0) for k, rms in ((0, 1.03), (1, 1)))
        assert verdicts(sim, obs)["noise power"].passed is None
        few = made(sky((10, 1, SIDE, SIDE), 1.0), 1.0)
        assert noise_checks(few, few) == ()

    def test_noise_in_place_of_neighbours_has_no_say(self):
        flux = sky((200, 1, SIDE, SIDE), 1.2)
        hidden = np.zeros((200, SIDE, SIDE), bool)
        hidden[:, :, :32] = True
        flux[:, :, :, :32] = sky((200, 1, SIDE, 32), 1.0, seed=3)
        found = verdicts(
            made(flux, 1.0, hidden=hidden), made(sky((200, 1, SIDE, SIDE), 1.0, seed=1), 1.0)
        )
        assert found["sky rms"].value == pytest.approx(1.2, abs=0.02)


class TestSkyLevel:
    def test_a_pedestal_is_found_beside_galaxies(self):
        disc, _ = galaxies(60, side=96, scale=0.3, fwhm=1.0, flux=(2e3, 4e3))
        bare = sky(disc.shape, 1.0)
        levels = [
            sky_level((disc + bare + np.float32(level)).astype("f4"), np.ones((60, 1)))[0]
            for level in (0.0, 0.5)
        ]
        assert levels[1] - levels[0] == pytest.approx(0.5, abs=0.01)
        assert abs(levels[0]) < 0.03

    def test_galaxies_that_fill_the_stamps_leave_none(self):
        disc, _ = galaxies(30, side=32, scale=0.3, fwhm=1.0, flux=(1e4, 2e4), radius=(2.0, 3.0))
        assert sky_level(disc + sky(disc.shape, 1.0), np.ones((30, 1))) is None


def test_both_sides_end_on_the_sky_of_the_observed_one():
    disc, _ = galaxies(40, side=80, scale=0.3, fwhm=1.0, flux=(4e3, 6e3), seed=1)
    setup = {"pixel_scale": 0.3, "psf_fwhm": [3.4], "noise": [1.0]}
    sim = party("sim", flux_set("sim", disc + sky(disc.shape, 1.0) + np.float32(0.7), **setup))
    obs = party("obs", flux_set("obs", disc + sky(disc.shape, 1.0, seed=9), **setup))
    blurs = tuple(blur(side.images, width_on_frame(side.images)) for side in (sim, obs))
    frame = CommonFrame(kind="angular", width=19.2)
    ours, theirs = rendered((sim, obs), blurs, None, frame, job())
    assert ours.level[0] == pytest.approx(0.7, abs=0.02)
    assert theirs.level is None
    assert ours.flux.mean() == pytest.approx(theirs.flux.mean(), abs=0.02)
    # The galaxies are the same, their noise is not.
    assert not np.array_equal(ours.flux, theirs.flux)


def test_an_ideal_side_ends_with_the_survey_noise_and_the_survey_gets_none():
    disc, _ = galaxies(60, side=80, scale=0.3, fwhm=1.0, flux=(4e3, 6e3), seed=1)
    ideal = flux_set("sim", disc, pixel_scale=0.3, rendition="idealised")
    seen = flux_set(
        "obs", disc + sky(disc.shape, 2.0, correlated=0.3), pixel_scale=0.3, psf_fwhm=[3.4],
        noise=[2.0], gain=[4.0],
    )  # fmt: skip
    # Frames fall at any phase of the pixels, as those around galaxies do.
    x, y = np.random.default_rng(3).uniform(39, 40, (2, 60))
    sides = party("sim", ideal, x=x, y=y), party("obs", seen, x=y, y=x)
    blurs = (
        blur(ideal, np.tile(width_on_frame(seen)[:1], (60, 1))),
        blur(seen, width_on_frame(seen)),
    )
    ours, theirs = rendered(sides, blurs, None, CommonFrame(kind="angular", width=19.2), job())
    found = {check.name: check for check in ours.checks}
    assert found["sky rms, sim over obs"].value == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(np.median(ours.noise), np.median(theirs.noise), rtol=0.02)
    # In the middle the ideal side shows the photons of its own light too.
    middle = (slice(None), 0, slice(30, 34), slice(30, 34))
    assert ours.flux[middle].std() > 1.5 * np.median(ours.noise)
