"""Which PSF either side gets: quantiles, stamps, what is lent and what is left out."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError, UsageError
from simreal.match.flux.common_psf import common_psf
from simreal.match.flux.donors import Lent
from simreal.match.flux.optics import (
    PIXEL_FWHM,
    blur,
    blur_like,
    common_widths,
    own_width,
    ranks,
    width_on_frame,
)
from simreal.match.psf_kernels import convolved, encircled_energy, fwhm_of, profile_from_fwhm
from tests.match.flux.scenes import flux_set, job, party

SCALE = 0.2


def rng(seed=0):
    return np.random.default_rng(seed)


def bare(name, n, *, side=65, **setup):
    """Return blank images: only their setup counts here."""
    return flux_set(name, np.zeros((n, 1, side, side)), **{"pixel_scale": SCALE, **setup})


class TestWidths:
    def test_stamps_come_before_stated_widths_and_ideal_images_have_their_pixel(self):
        psf = profile_from_fwhm([4.0], 31)
        assert own_width(bare("obs", 2, psf=psf, psf_fwhm=[9.0])) == pytest.approx(0.8, rel=1e-3)
        assert own_width(bare("obs", 2, psf_fwhm=[3.0])) == pytest.approx(0.6)
        ideal = own_width(bare("sim", 2, rendition="idealised"))
        # A Gaussian of the variance of a box of 0.2: 0.2 / sqrt(12) * 2.3548.
        assert ideal == pytest.approx(0.1360, abs=1e-4)
        assert np.isnan(own_width(bare("obs", 2))).all()

    def test_resampling_adds_the_native_pixel(self):
        per_image = bare("obs", 2, psf_fwhm=[[3.0], [5.0]]).replace(
            setup=bare("obs", 2, psf_fwhm=[[3.0], [5.0]]).setup.replace(pixel_scale=[0.2, 0.4])
        )
        expected = np.hypot([0.6, 2.0], PIXEL_FWHM * np.array([0.2, 0.4]))
        np.testing.assert_allclose(width_on_frame(per_image)[:, 0], expected)

    def test_both_sides_get_one_distribution_and_nothing_is_sharpened(self):
        sim = rng().lognormal(np.log(0.9), 0.2, (400, 2))
        obs = rng(1).lognormal(np.log(1.0), 0.1, (700, 2))
        ours, theirs = common_widths(sim, obs, rng(2))
        assert (ours >= sim).all()
        assert (theirs >= obs).all()
        for q in (5, 25, 50, 75, 95):
            pair = np.percentile(ours, q, axis=0), np.percentile(theirs, q, axis=0)
            np.testing.assert_allclose(*pair, rtol=0.06)

    def test_one_sharp_side_moves_and_the_other_stays(self):
        obs = np.sort(rng(1).lognormal(0, 0.1, (50, 1)), axis=0)
        ours, theirs = common_widths(np.full((50, 1), 0.1), obs, rng())
        np.testing.assert_allclose(theirs, obs, rtol=0.02)
        np.testing.assert_allclose(np.sort(ours, axis=0), obs, rtol=0.02)

    def test_ranks_break_ties_at_random_and_fill_the_unit_interval(self):
        found = ranks(np.ones((10, 2)), rng())
        assert sorted(found) == pytest.approx((np.arange(10) + 0.5) / 10)
        assert not np.array_equal(found, np.sort(found))
        assert np.argsort(ranks(np.array([[3.0], [1], [2]]), rng())).tolist() == [1, 2, 0]


class TestBlur:
    def test_the_kernel_brings_the_psf_to_the_width_that_the_frame_will_show(self):
        images = bare("sim", 3, psf_fwhm=[[3.0], [3.5], [4.0]])
        target = np.full((3, 1), 1.2)
        own = blur(images, target)
        side = own.kernels(slice(0, 3)).shape[-1]
        made = convolved(
            profile_from_fwhm([3.0, 3.5, 4.0], side)[:, None], own.kernels(slice(0, 3))
        )
        wanted = np.sqrt(1.2**2 - (PIXEL_FWHM * SCALE) ** 2) / SCALE
        np.testing.assert_allclose(fwhm_of(made), wanted, rtol=0.01)
        np.testing.assert_allclose(own.kernels(slice(0, 3)).sum((2, 3)), 1.0, rtol=1e-9)
        assert not own.sharp.any()

    def test_nothing_is_done_where_nothing_is_missing(self):
        images = bare("sim", 3, psf_fwhm=[4.0])
        assert blur(images, width_on_frame(images)).make is None

    def test_images_that_share_everything_share_one_kernel(self):
        images = bare("sim", 5, psf_fwhm=[4.0])
        assert blur(images, np.full((5, 1), 1.2)).kernels(slice(0, 5)).shape[0] == 1

    def test_what_would_be_sharpened_is_marked_and_not_touched(self):
        images = bare("sim", 2, psf_fwhm=[[3.0], [8.0]])
        own = blur(images, np.full((2, 1), 1.2))
        assert own.sharp.tolist() == [False, True]
        assert own.target[1, 0] == pytest.approx(width_on_frame(images)[1, 0])

    def test_rows_keep_their_own_kernels(self):
        images = bare("sim", 3, psf_fwhm=[[3.0], [3.5], [4.0]])
        own = blur(images, np.full((3, 1), 1.2))
        part = own.of_rows(np.array([2, 0]))
        np.testing.assert_array_equal(
            part.kernels(slice(0, 2)), own.kernels(np.array([2, 0]))
        )  # fmt: skip
        assert len(part.target) == 2

    def test_psf_stamps_are_matched_and_judged(self):
        psf = profile_from_fwhm([3.0, 3.4], 41)[:, None]
        images = bare("sim", 2, psf=psf)
        own = blur(images, np.full((2, 1), 1.2))
        made = convolved(np.pad(psf, [(0, 0), (0, 0), (0, 0), (0, 0)]), own.kernels(slice(0, 2)))
        wanted = np.sqrt(1.2**2 - (PIXEL_FWHM * SCALE) ** 2) / SCALE
        np.testing.assert_allclose(fwhm_of(made), wanted, rtol=0.01)
        goal = profile_from_fwhm([wanted], 41)
        assert np.abs(encircled_energy(made) - encircled_energy(goal)).max() < 0.01
        assert own.worst["encircled_energy_error"] < 0.01


class TestCommonPsf:
    def test_unknown_on_one_side_means_nothing_is_done_to_either(self):
        sim, obs = bare("sim", 3, psf_fwhm=[3.0]), bare("obs", 3)
        blurs, ours, theirs, lent = common_psf(party("sim", sim), party("obs", obs), None, job())
        assert all(own.make is None for own in blurs)
        assert (len(ours), len(theirs), lent) == (3, 3, None)

    def test_without_lending_both_sides_end_with_one_width(self):
        sim, obs = bare("sim", 3, psf_fwhm=[3.0]), bare("obs", 4, psf_fwhm=[5.0])
        blurs, *_ = common_psf(party("sim", sim), party("obs", obs), None, job())
        np.testing.assert_allclose(blurs[0].target, blurs[1].target[:3])
        assert blurs[0].make is not None
        assert blurs[1].make is None

    def test_measured_stamps_leave_room_on_both_sides(self):
        psf = profile_from_fwhm([4.0], 41)
        sim, obs = bare("sim", 3, psf=psf), bare("obs", 4, psf=psf)
        blurs, *_ = common_psf(party("sim", sim), party("obs", obs), None, job())
        for own, images in zip(blurs, (sim, obs), strict=True):
            # Room enough for a kernel that sharpens nothing, and no more than a tenth.
            room = own.target / width_on_frame(images)
            assert (room > 1.02).all()
            assert (room < 1.12).all()
            assert own.make is not None
            assert own.worst["amplification"] < 1.15
        np.testing.assert_allclose(blurs[0].target, blurs[1].target[:3])

    def test_bare_images_get_the_very_psf_of_their_lender(self):
        # On pixels of the same size, elongated: no round model would do.
        grid = np.arange(41) - 20
        psf = np.exp(-0.5 * (grid[:, None] ** 2 / 2.0**2 + grid**2 / 3.0**2))[None]
        obs = bare("obs", 2, psf=np.stack([psf / psf.sum(), profile_from_fwhm([5.0], 41)]))
        sim = bare("sim", 3, rendition="idealised")
        own = blur_like(sim, obs, np.array([1, 0, 1]))
        kernels = own.kernels(slice(0, 3))
        np.testing.assert_allclose(kernels[0, 0], profile_from_fwhm([5.0], 41)[0], atol=1e-6)
        np.testing.assert_allclose(kernels[1, 0], psf[0] / psf.sum(), atol=1e-6)
        np.testing.assert_allclose(own.target, width_on_frame(obs)[[1, 0, 1]])
        with pytest.raises(UsageError, match="no PSF stamps"):
            blur_like(sim, bare("obs", 2, psf_fwhm=[3.0]), np.zeros(3, int))

    def test_finer_pixels_get_the_lenders_pixel_too(self):
        obs = bare("obs", 1, psf=profile_from_fwhm([3.0], 31), pixel_scale=0.4)
        sim = bare("sim", 1, rendition="idealised", pixel_scale=0.1, side=161)
        kernel = blur_like(sim, obs, np.array([0])).kernels(slice(0, 1))
        # 1.2 arcsec on 0.4 arcsec pixels, resampled: variances add, twice the fine pixel comes
        # with the image.
        wanted = np.sqrt(1.2**2 + PIXEL_FWHM**2 * (0.4**2 - 2 * 0.1**2)) / 0.1
        assert fwhm_of(kernel).item() == pytest.approx(wanted, rel=0.02)

    def test_lenders_too_sharp_for_an_image_leave_it_out_with_its_reason(self):
        sim = bare("sim", 3, psf_fwhm=[[3.0], [9.0], [3.0]])
        obs = bare("obs", 2, psf_fwhm=[5.0])
        lent = Lent(party=party("obs", obs), pick=np.array([0, 1, 1]))
        blurs, ours, theirs, left = common_psf(party("sim", sim), party("obs", obs), lent, job())
        assert ours.original.tolist() == [0, 2]
        assert left.pick.tolist() == [0, 1]
        assert "wider than the common" in ours.exclusions[0].reason
        assert len(blurs[0].target) == 2
        assert blurs[1].make is None
        assert len(theirs) == 2

    def test_a_side_that_is_wider_throughout_is_refused(self):
        sim, obs = bare("sim", 2, psf_fwhm=[9.0]), bare("obs", 2, psf_fwhm=[5.0])
        lent = Lent(party=party("obs", obs), pick=np.array([0, 1]))
        with pytest.raises(NotComputableError, match="sharpening is refused"):
            common_psf(party("sim", sim), party("obs", obs), lent, job())
