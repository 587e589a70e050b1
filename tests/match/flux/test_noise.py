"""Noise: both sides end with the same, by adding alone."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError
from simreal.match.correlated_noise import measured, white
from simreal.match.flux.noise import (
    Filling,
    SkyNoise,
    common_spectrum,
    far_from_sources,
    made_equal,
    no_noise,
    noise_of,
    noise_on_frame,
    scaled_noise,
    shot_noise_on,
)
from simreal.match.flux.optics import blur, width_on_frame
from simreal.match.flux.render import light
from simreal.match.frame import CommonFrame
from tests.match.flux.scenes import flux_set, galaxies, job, party, sky

SIDE = 48


def rng(seed=0):
    return np.random.default_rng(seed)


def equalised(ours, theirs):
    """Return both sides' noise after what is missing was added, and what was added."""
    sides = [noise_of(stamps, blank=np.ones(stamps.shape, bool)) for stamps in (ours, theirs)]
    fillings = made_equal(*sides, rng(7))
    out = []
    for k, (stamps, filling) in enumerate(zip((ours, theirs), fillings, strict=True)):
        out.append(stamps + filling.field(slice(0, len(stamps)), (SIDE, SIDE), rng(8 + k)))
    return out, fillings, sides


def agrees(ours, theirs, *, rms=0.01, power=0.05):
    """Check that the noise of two sides agrees in rms and in every annulus of its spectrum."""
    found = [
        measured(stamps, np.ones(stamps.shape, bool), level="zero") for stamps in (ours, theirs)
    ]
    np.testing.assert_allclose(ours.std() / theirs.std(), 1.0, atol=rms)
    (frequency, first), (_, second) = (spectrum.annuli() for spectrum in found)
    ratio = (first / second)[:, frequency > 0.05]
    assert (1 - power < ratio).all(), ratio
    assert (ratio < 1 + power).all(), ratio


class TestMadeEqual:
    def test_one_shape_and_two_depths(self):
        shape = (400, 1, SIDE, SIDE)
        ours, theirs = sky(shape, 2.0, correlated=0.3), sky(shape, 3.0, seed=1, correlated=0.3)
        out, fillings, _ = equalised(ours, theirs)
        agrees(*out)
        # Variances add: sqrt(9 - 4), and nothing on the side that is loud already. The stamps'
        # own rms scatter, and at equal rank the louder one is the target.
        added = np.hypot(fillings[0].rest, fillings[0].missing)
        assert np.median(added) == pytest.approx(np.sqrt(5), rel=0.02)
        assert np.median(np.hypot(fillings[1].rest, fillings[1].missing)) == 0.0

    @pytest.mark.parametrize("depths", [(2.0, 3.0), (3.0, 2.0), (3.0, 3.0)])
    def test_two_shapes(self, depths):
        shape = (400, 1, SIDE, SIDE)
        out, _, _ = equalised(sky(shape, depths[0]), sky(shape, depths[1], seed=1, correlated=0.35))
        agrees(*out)

    def test_an_ideal_side_gets_all_of_the_others(self):
        theirs = sky((400, 2, SIDE, SIDE), np.array([3.0, 5.0])[:, None, None], correlated=0.3)
        found = noise_of(theirs, blank=np.ones(theirs.shape, bool))
        ours, none = made_equal(no_noise(400, 2), found, rng())
        made = ours.field(slice(0, 400), (SIDE, SIDE), rng(1))
        agrees(made[:, :1], theirs[:, :1])
        agrees(made[:, 1:], theirs[:, 1:])
        assert not none.rest.any()
        assert not none.missing.any()

    @pytest.mark.parametrize("seed", range(4))
    def test_noise_is_never_taken_away(self, seed):
        random = rng(seed)
        sides = [
            SkyNoise(rms=random.lognormal(0, 0.4, (n, 2)), spectrum=white([1.0, 2.0]))
            for n in (30, 50)
        ]
        for own, filling in zip(sides, made_equal(*sides, random), strict=True):
            assert (filling.total >= own.rms - 1e-12).all()
            added = filling.missing**2 + filling.rest**2
            np.testing.assert_allclose(own.rms**2 + added, filling.total**2, rtol=1e-9)
            assert (filling.missing >= 0).all()
            assert (filling.rest >= 0).all()

    def test_deep_images_stay_deep_and_both_sides_get_one_distribution(self):
        # Twice as deep on one side: the ranks of the other decide.
        ours = SkyNoise(rms=rng().lognormal(0, 0.3, (300, 1)), spectrum=white([1.0]))
        theirs = SkyNoise(rms=rng(1).lognormal(np.log(2), 0.3, (600, 1)), spectrum=white([2.0]))
        one, two = made_equal(ours, theirs, rng())
        for q in (5, 50, 95):
            assert np.percentile(one.total, q) == pytest.approx(
                np.percentile(two.total, q), rel=0.05
            )
        assert np.corrcoef(ours.rms[:, 0], one.total[:, 0])[0, 1] > 0.95

    def test_two_ideal_sides_are_refused(self):
        with pytest.raises(NotComputableError, match="neither side has any"):
            made_equal(no_noise(3, 1), no_noise(3, 1), rng())

    def test_equal_noise_is_left_alone(self):
        sides = [SkyNoise(rms=np.full((20, 1), 2.0), spectrum=white([2.0])) for _ in range(2)]
        for filling in made_equal(*sides, rng()):
            assert not filling.field(slice(0, 20), (8, 8), rng()).any()


def test_the_common_spectrum_is_the_least_both_can_reach():
    flat = white([2.0], side=32)
    tilted = noise_of(sky((100, 1, 32, 32), 2.0, correlated=0.4), blank=None).spectrum
    both = common_spectrum([flat, tilted])
    assert (both.power >= np.maximum(flat.power, tilted.power) - 1e-9).all()
    assert common_spectrum([flat, white([3.0], side=32)]).rms[0] == pytest.approx(3.0)
    assert common_spectrum([tilted]) is tilted


def test_noise_that_stands_in_has_the_rms_of_its_image():
    filling = Filling(
        missing=np.zeros((2, 1)), rest=np.zeros((2, 1)), lack=None,
        total=np.array([[1.0], [4.0]]), target=white([2.0]),
    )  # fmt: skip
    cover = filling.cover(slice(0, 2), (200, 200), rng())
    np.testing.assert_allclose(cover.std(axis=(1, 2, 3)), [1, 4], rtol=0.02)
    assert not scaled_noise(white([1.0]), np.zeros((2, 1)), (8, 8), rng()).any()


class TestOnFrame:
    @pytest.mark.parametrize(("stamp", "fwhm"), [(32, 1.2), (32, None), (64, 1.2)])
    def test_blur_and_resampling_are_foreseen(self, stamp, fwhm):
        # Nothing but noise, so that what the frame shows is what was foreseen.
        images = flux_set(
            "obs", sky((300, 1, 80, 80), 2.0, correlated=0.3), pixel_scale=0.3, psf_fwhm=[3.0]
        )
        x, y = rng().uniform(39, 40, (2, 300))
        given, frame = party("obs", images, x=x, y=y), CommonFrame(kind="angular", width=19.2)
        target = width_on_frame(images)
        own = blur(images, target if fwhm is None else np.full((300, 1), fwhm))
        found = noise_on_frame(given, own, frame=frame, job=job(stamp=stamp))
        shown = np.concatenate(
            [block for _, block in light(given, own, frame=frame, job=job(stamp=stamp))]
        )
        assert np.median(found.rms) == pytest.approx(shown.std(), rel=0.01)
        seen = measured(shown, np.ones(shown.shape, bool), side=found.spectrum.side, level="zero")
        frequency, power = seen.annuli()
        share = power[0] / seen.rms**2, found.spectrum.annuli()[1][0] / found.spectrum.rms**2
        # Where there is power: what a blur leaves near the pixel's frequency is rounding.
        inside = (frequency > 0.05) & (share[1] > 0.02)
        np.testing.assert_allclose(share[0][inside], share[1][inside], rtol=0.06)

    def test_galaxies_in_the_middle_do_not_count(self):
        disc, _ = galaxies(100, side=96, scale=0.3, fwhm=0.9, flux=(3e4, 3e4), radius=(1.5, 1.5))
        images = flux_set(
            "obs", disc + sky(disc.shape, 2.0), pixel_scale=0.3, psf_fwhm=[3.0], noise=[9.0]
        )
        given, frame = party("obs", images), CommonFrame(kind="angular", width=19.2)
        own = blur(images, width_on_frame(images))
        found = noise_on_frame(given, own, frame=frame, job=job(stamp=64))
        # Pixels of the same size at any phase: (2 / 3)^2 of the variance along each axis is left
        # of white noise, 2 / 3 of the rms in all. The setup's 9 is not used.
        assert np.median(found.rms) == pytest.approx(2.0 * 2 / 3, rel=0.01)

    def test_images_without_blank_sky_are_refused(self):
        images = flux_set("obs", np.ones((3, 1, 8, 8)), pixel_scale=0.3, psf_fwhm=[3.0])
        own = blur(images, width_on_frame(images))
        with pytest.raises(NotComputableError, match="give larger stamps"):
            noise_on_frame(
                party("obs", images), own, frame=CommonFrame(kind="angular", width=2.0), job=job()
            )


def test_far_from_sources_keeps_clear_of_them_in_each_band():
    blank = np.ones((1, 2, 64, 64), bool)
    blank[0, 0, 30:34, 30:34] = False
    far = far_from_sources(blank)
    assert far[0, 1].all()
    assert not far[0, 0, 32, 18:46].any()
    assert far[0, 0, 32, :18].all()


class TestShotNoise:
    def test_poisson(self):
        # 400 nJy at 2 electrons each: variance 400 / 2 [nJy^2] on independent pixels.
        flux = np.full((40, 1, 64, 64), 400, np.float32)
        noise = shot_noise_on(
            flux, electrons=np.array([2.0]), noise=np.array([1.0]), spectrum=white([7.0]), rng=rng()
        )
        assert noise.var() == pytest.approx(200.0, rel=0.02)
        assert abs(noise.mean()) < 0.2

    def test_it_follows_the_light_and_the_frame(self):
        flux = np.zeros((200, 2, 32, 32), np.float32)
        flux[:, :, 16:] = 100
        flux[:, :, 24:] = -100
        noise = shot_noise_on(
            flux, electrons=np.array([1.0, 4.0]), noise=np.array([0.5, 0.5]),
            spectrum=white([1.0, 1.0]), rng=rng(),
        )  # fmt: skip
        assert not noise[:, :, :16].any()
        assert not noise[:, :, 24:].any()
        lit = noise[:, :, 16:24].var(axis=(0, 2, 3))
        np.testing.assert_allclose(lit, [50.0, 12.5], rtol=0.03)
