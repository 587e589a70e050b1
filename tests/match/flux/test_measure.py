"""Measuring calibrated images: depth, as a survey would see them, inside their own fields."""

import numpy as np
import pytest

from simreal.match.flux.measure import (
    DETECTION_RMS,
    detection_images,
    measure_as_seen,
    measure_flux,
    sky_noise,
)
from tests.match.flux.scenes import flux_set, galaxies, sky

SIDE, SCALE = 96, 0.3


def whole(n, side=SIDE):
    return np.tile([0, side, 0, side], (n, 1))


def test_bands_are_added_in_units_of_their_noise():
    noise = np.array([[2.0, 50.0]])
    images = np.stack([sky((200, 200), 2.0), sky((200, 200), 50.0, seed=1)])[None]
    # Noise of unit variance in either band, averaged over the root of their number.
    assert detection_images(images, noise).std() == pytest.approx(DETECTION_RMS, rel=0.01)
    signal = np.zeros((1, 2, 3, 3), np.float32)
    signal[0, :, 1, 1] = 2.0, 50.0
    seen = detection_images(signal, noise)[0, 0]
    assert seen[1, 1] == pytest.approx(DETECTION_RMS * np.sqrt(2))


class TestSkyNoise:
    def test_what_the_setup_states_is_believed(self):
        images = flux_set("obs", sky((3, 1, 32, 32), 5.0), noise=[2.0])
        assert sky_noise(images, whole(3, 32)).tolist() == [[2.0]] * 3

    def test_else_it_is_read_off_each_images_own_border(self):
        pixels = np.zeros((3, 1, 128, 128), np.float32)
        pixels[:, :, 16:112, 16:112] = sky(
            (3, 1, 96, 96), np.array([1.0, 2, 4])[:, None, None, None]
        )
        found = sky_noise(flux_set("obs", pixels), np.tile([16, 112, 16, 112], (3, 1)))
        np.testing.assert_allclose(found[:, 0], [1, 2, 4], rtol=0.05)

    def test_a_border_of_zeros_takes_the_others(self):
        pixels = sky((4, 1, 64, 64), 3.0)
        pixels[0] = 0
        found = sky_noise(flux_set("obs", pixels), whole(4, 64))
        assert found[0, 0] == pytest.approx(3.0, rel=0.1)


def test_centre_and_flux_are_those_of_the_scene_wherever_the_field_is_padded():
    light, _ = galaxies(12, side=64, scale=SCALE, fwhm=0.9, flux=(2e4, 4e4))
    pixels = np.zeros((12, 1, SIDE, SIDE), np.float32)
    pixels[:, :, 20:84, 8:72] = light + sky(light.shape, 2.0)
    box = np.tile([20, 84, 8, 72], (12, 1))
    seen = measure_flux(
        flux_set("obs", pixels), box=box, noise=np.full((12, 1), 2.0), stars=False, label=""
    )
    assert seen.found.all()
    # Fields are centred on (51.5, 39.5) and galaxies lie within half a pixel of there.
    assert np.abs(seen.y - 51.5).max() < 0.7
    assert np.abs(seen.x - 39.5).max() < 0.7
    np.testing.assert_allclose(seen.sky_rms, 2.0)


class TestAsSeen:
    def seen(self, noise, *, halo=0.0, seed=0):
        light, _ = galaxies(10, side=SIDE, scale=SCALE, flux=(3e4, 3e4), radius=(1.0, 1.0))
        light += np.float32(halo)
        return measure_as_seen(
            flux_set("sim", light), box=whole(10), noise=np.full((10, 1), noise),
            fwhm=np.full(10, 3.0), rng=np.random.default_rng(seed), label="",
        )  # fmt: skip

    def test_a_survey_without_depth_sees_nothing(self):
        assert self.seen(1.0).found.all()
        assert not self.seen(3e4).found.any()

    def test_its_radius_is_that_of_the_galaxy_through_the_psf(self):
        # 1 arcsec of half-light radius is 3.3 pixels along the major axis, and the PSF has a
        # half-light radius of about 2 of them: between the one and the sum of both.
        radius = np.median(self.seen(2.0).radius)
        assert 3.0 < radius < 5.5

    def test_the_noise_is_the_throw_away_views_alone(self):
        first, second = self.seen(5.0), self.seen(5.0, seed=1)
        assert not np.array_equal(first.radius, second.radius)
        np.testing.assert_array_equal(first.radius, self.seen(5.0).radius)
        np.testing.assert_array_equal(first.sky_rms, 5.0)

    def test_light_below_the_depth_does_not_count(self):
        faint = self.seen(10.0, halo=0.5)
        np.testing.assert_allclose(faint.radius, self.seen(10.0).radius, rtol=0.15)
