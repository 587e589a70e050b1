import os
from pathlib import Path

import galsim
import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.match.convolution import convolve_each
from simreal.match.pixels import resample
from simreal.match.psf_kernels import (
    FWHM_PER_SIGMA,
    convolved,
    encircled_energy,
    fwhm_of,
    matching_kernels,
    on_pixels,
    pixel_response,
    profile_from_fwhm,
    width_kernels,
    without_pixel,
)


def pairs(source, target, side=41, beta=3.5):
    return (profile_from_fwhm(w, side, beta=beta)[:, None] for w in (source, target))


def test_the_filter_is_photutils_wiener_filter():
    photutils = pytest.importorskip("photutils.psf_matching")
    source, target = pairs([2.5, 3.0], [4.0, 4.5])
    found = matching_kernels(source, target, regularization=1e-4, lean=False).kernels
    for k in range(2):
        peer = photutils.make_wiener_kernel(source[k, 0], target[k, 0], regularization=1e-4)
        assert found[k, 0] == pytest.approx(peer, abs=1e-10)


def test_a_lopsided_source_is_brought_to_a_round_target():
    lopsided = 0.9 * galsim.Gaussian(fwhm=2.4) + 0.1 * galsim.Gaussian(fwhm=2.4).shift(1.5, -1.0)
    stamp = lopsided.drawImage(nx=41, ny=41, scale=1.0, method="no_pixel").array.astype("f8")
    _, target = pairs([1.0], [4.5], beta=np.inf)
    found = matching_kernels(stamp[None, None], target)
    made = convolved(stamp / stamp.sum(), found.kernels[0, 0])
    assert np.abs(made - target[0, 0]).max() < 1e-3 * target.max()
    assert found.residual[0, 0] < 1e-3


@pytest.mark.parametrize("beta", [2.5, 3.5, np.inf])
@pytest.mark.parametrize("fwhm", [2.5, 4.0, 7.0])
def test_a_profile_has_its_width(beta, fwhm):
    psf = profile_from_fwhm([fwhm], 81, beta=beta)[0]
    model = galsim.Gaussian(fwhm=fwhm) if np.isinf(beta) else galsim.Moffat(beta=beta, fwhm=fwhm)
    drawn = model.drawImage(nx=81, ny=81, scale=1.0, method="no_pixel").array
    assert psf == pytest.approx(drawn / drawn.sum(dtype="f8"), abs=2e-6)


@pytest.mark.parametrize("fwhm", [1.4, 1.6, 1.9])
def test_a_narrow_profile_is_a_narrower_one_averaged_over_the_pixel(fwhm):
    inner = galsim.Gaussian(fwhm=np.sqrt(fwhm**2 - FWHM_PER_SIGMA**2 / 12))
    drawn = inner.drawImage(nx=21, ny=21, scale=1.0, method="auto").array
    assert profile_from_fwhm([fwhm], 21, beta=np.inf)[0] == pytest.approx(drawn, abs=0.005)
    pixel = galsim.Convolve(inner, galsim.Pixel(1.0))
    seen = pixel.drawImage(nx=201, ny=201, scale=0.02, method="no_pixel").calculateFWHM()
    assert seen == pytest.approx(fwhm, rel=0.02)


def test_no_width_is_no_psf():
    assert profile_from_fwhm([0.0], 5)[0].tolist() == np.outer(*[[0, 0, 1, 0, 0]] * 2).tolist()
    kernels = width_kernels([0.0, 0.0], [3.0, 0.0], 21)
    assert np.array_equal(kernels[0], profile_from_fwhm([3.0], 21)[0])
    assert kernels[1, 10, 10] == 1.0


def test_objects_do_not_depend_on_their_company():
    widths = np.array([0.8, 1.7, 2.2, 5.0])
    together = profile_from_fwhm(widths, 31)
    assert all(np.array_equal(together[k], profile_from_fwhm(w, 31)[0])
               for k, w in enumerate(widths))  # fmt: skip
    kernels = width_kernels(widths, 1.5 * widths, 31)
    assert kernels[2] == pytest.approx(width_kernels(2.2, 3.3, 31)[0], abs=1e-14)


@pytest.mark.parametrize("beta", [3.5, np.inf])
def test_width_kernels_reach_the_target(beta):
    source, target = np.array([1.6, 2.0, 3.0, 4.0]), np.array([2.5, 3.0, 3.3, 6.0])
    own, goal = (profile_from_fwhm(w, 61, beta=beta) for w in (source, target))
    made = convolved(own, width_kernels(source, target, 61, beta))
    assert fwhm_of(made) == pytest.approx(fwhm_of(goal), rel=0.02)
    assert np.abs(encircled_energy(made) - encircled_energy(goal)).max() < 0.01


def test_one_source_serves_many_targets_and_the_other_way_round():
    source, target = pairs([2.5], [3.5, 4.5])
    many = matching_kernels(source, target)
    assert many.kernels.shape == (2, 1, 41, 41)
    alone = matching_kernels(source, target[1:])
    assert many.kernels[1] == pytest.approx(alone.kernels[0], abs=1e-14)
    assert matching_kernels(target - 0, profile_from_fwhm([6.0], 41)[None]).residual.shape == (2, 1)


def test_stamps_of_different_side_and_scale_are_brought_together():
    source, _ = pairs([2.5], [1.0], side=9)
    _, target = pairs([1.0], [4.0], side=41)
    found = matching_kernels(3 * source, target)
    assert found.kernels.shape[-1] == 41
    assert found.kernels.sum() == pytest.approx(1.0)
    made = convolved(np.pad(source, ((0, 0), (0, 0), (16, 16), (16, 16))), found.kernels)
    assert made == pytest.approx(target, abs=1e-4)


def test_the_report_tells_a_bad_match_from_a_good_one():
    source, target = pairs([3.5], [4.0])
    good, bad = (
        matching_kernels(source, target, regularization=r, lean=False) for r in (1e-8, 1e-2)
    )
    assert good.residual[0, 0] < 1e-3 < bad.residual[0, 0]
    assert abs(bad.fwhm_error[0, 0]) > 0.02
    assert good.worst()["residual"] == good.residual[0, 0]
    made = convolved(source, bad.kernels)
    assert bad.residual[0, 0] == pytest.approx(np.abs(made - target).sum() / 2)


def test_nearly_equal_psfs_need_nearly_no_kernel():
    source, target = pairs([4.0], [4.05])
    leaning, plain = (matching_kernels(source, target, lean=lean) for lean in (True, False))
    assert leaning.negative[0, 0] < plain.negative[0, 0] / 2
    assert leaning.residual[0, 0] < plain.residual[0, 0] / 2


def test_sharpening_is_refused_with_the_object_and_both_widths():
    source, target = pairs([2.0, 5.0], [4.0, 4.0])
    with pytest.raises(UsageError, match=r"1 of 2 .*\[1, 0\] with FWHM 5 to 4 pixel; sharpening"):
        matching_kernels(source, target)
    with pytest.raises(UsageError, match=r"\[1\] with FWHM 5 to 4 pixel; sharpening"):
        width_kernels([2.0, 5.0], 4.0, 31)
    # Within the error of a width it is not sharpening.
    assert width_kernels(4.02, 4.0, 31)[0, 15, 15] == 1.0


def test_sharpening_along_one_axis_alone_is_refused():
    long = galsim.Gaussian(fwhm=3.6).shear(q=0.5, beta=30 * galsim.degrees)
    stamp = long.drawImage(nx=41, ny=41, scale=1.0, method="no_pixel").array.astype("f8")
    _, target = pairs([1.0], [4.1], beta=np.inf)
    with pytest.raises(UsageError, match="sharper in one direction"):
        matching_kernels(stamp[None, None], target)


def test_convolving_before_resampling_leaves_room_for_the_pixel():
    # A star between pixels, seen by a survey of pixels 4 times as large whose PSF is known
    # with the pixel in it.
    step, side = 4, 101
    wanted = galsim.Moffat(beta=3.5, fwhm=12.0)
    with_pixel = galsim.Convolve(wanted, galsim.Pixel(step))
    target = with_pixel.drawImage(nx=side, ny=side, scale=1.0, method="no_pixel").array
    target = target.astype("f8") / target.sum()
    kernel = matching_kernels(pixel_response(step, side)[None, None], target[None, None]).kernels
    star = np.zeros((1, 1, 180, 180))
    star[0, 0, 91, 88] = 1.0
    # The frame's pixels lie differently on the image's every time.
    x, y = 90 + np.array([[0.0, 0.25, 0.5, 0.75], [0.25, 0.75, 0.0, 0.5]])
    seen = resample(
        np.repeat(convolve_each(star, kernel), 4, axis=0), x=x, y=y, width=np.full(4, 160.0),
        n_out=40, conserve="flux",
    )  # fmt: skip
    expected = np.stack(
        [
            with_pixel.shift(88 - dx, 91 - dy).drawImage(
                nx=40, ny=40, scale=step, method="no_pixel"
            ).array
            for dx, dy in zip(x, y, strict=True)
        ]
    )  # fmt: skip
    off = (seen[:, 0] - expected).mean(0)
    assert np.abs(off).max() < 0.006 * expected.max()
    assert without_pixel(fwhm_of(target), step) == pytest.approx(12.0, rel=0.02)


def test_a_psf_read_off_at_another_scale_is_the_same_psf():
    coarse = galsim.Moffat(beta=3.5, fwhm=3.6).drawImage(
        nx=31, ny=31, scale=1.0, method="no_pixel"
    ).array.astype("f8")  # fmt: skip
    fine = galsim.Moffat(beta=3.5, fwhm=9.0).drawImage(
        nx=61, ny=61, scale=1.0, method="no_pixel"
    ).array.astype("f8")  # fmt: skip
    read = on_pixels(coarse, 0.4, 61)
    assert read == pytest.approx(fine / fine.sum(), abs=0.01 * read.max())


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: profile_from_fwhm([1.0], 4), "side"),
        (lambda: profile_from_fwhm([np.nan], 5), "FWHM"),
        (lambda: width_kernels([-1.0], [3.0], 5), "FWHM"),
        (lambda: matching_kernels(np.ones((1, 1, 4, 4)), np.ones((1, 1, 4, 4))), "odd k"),
        (lambda: matching_kernels(np.zeros((1, 1, 5, 5)), np.ones((1, 1, 5, 5))), "no light"),
        (lambda: matching_kernels(np.ones((2, 1, 5, 5)), np.ones((3, 1, 5, 5))), "as many"),
        (lambda: pixel_response(0.0, 5), "step"),
    ],
)
def test_what_is_not_a_psf_is_refused(call, named):
    with pytest.raises(UsageError, match=named):
        call()


@pytest.mark.real
def test_hubble_s_psfs_are_brought_to_subaru_s_seeing():
    path = Path(os.environ.get("SIMREAL_DATA", "")) / "cosmos_galsim"
    path /= "real_galaxy_PSF_images_extension.fits"
    if not path.is_file():
        pytest.skip("no COSMOS PSFs under SIMREAL_DATA")
    from astropy.io import fits

    side, psfs = 121, []
    with fits.open(path) as hdus:
        for hdu in hdus[:12]:
            model = galsim.InterpolatedImage(galsim.Image(hdu.data.astype("f8"), scale=1.0))
            centred = model.shift(-model.centroid)
            psfs.append(centred.drawImage(nx=side, ny=side, scale=1.0, method="no_pixel").array)
    source = np.array(psfs, dtype="f8")[:, None]
    # .6 arcsec on pixels of .03 arcsec.
    target = profile_from_fwhm([20.0], side)[None]
    found = matching_kernels(source, target)
    assert 3.0 < fwhm_of(source).min() < fwhm_of(source).max() < 5.0
    assert found.kernels.shape == (12, 1, side, side)
    assert np.abs(found.fwhm_error).max() < 0.02
    assert found.encircled_energy_error.max() < 0.01
    assert found.residual.max() < 0.01
    with pytest.raises(UsageError, match="sharpening is refused"):
        matching_kernels(target, source)
