import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError, UsageError
from simreal.match.convolution import convolve_each
from simreal.match.correlated_noise import (
    NoiseSpectrum,
    blank_regions,
    draw,
    four_boxes,
    measured,
    missing,
    on_grid,
    resampled,
    shot_noise,
    stamp_noise,
    through,
    white,
)
from simreal.match.pixels import resample
from simreal.match.psf_kernels import profile_from_fwhm


def survey(n=60, side=80, *, rms=3.0, fwhm=1.8, seed=0):
    spectrum = through(white([rms]), profile_from_fwhm([fwhm], 15))
    return spectrum, draw(spectrum, n, (side, side), np.random.default_rng(seed))


def test_the_variance_is_the_mean_of_the_power():
    spectrum, noise = survey()
    assert spectrum.rms[0] == pytest.approx(np.sqrt(spectrum.power.mean()))
    assert spectrum.covariance()[0, 0, 0] == pytest.approx(spectrum.rms[0] ** 2)
    assert noise.std() == pytest.approx(spectrum.rms[0], rel=0.01)


def test_neighbours_are_correlated_as_the_spectrum_says():
    spectrum, noise = survey(n=200)
    covariance = spectrum.covariance()[0]
    for dy, dx in ((0, 1), (1, 0), (2, 1), (0, 5)):
        pairs = noise[:, :, dy:, dx:] * noise[:, :, : 80 - dy, : 80 - dx]
        assert pairs.mean() == pytest.approx(covariance[dy, dx], abs=0.01 * covariance[0, 0])


def test_opposite_edges_know_nothing_of_each_other():
    _, noise = survey(n=200, fwhm=4.0)
    across = (noise[..., 0] * noise[..., -1]).mean()
    assert abs(across) < 0.02 * noise.var()


@pytest.mark.parametrize("shape", [(50, 50), (31, 80), (200, 20)])
def test_stamps_of_any_shape_have_the_same_noise(shape):
    spectrum = through(white([3.0, 1.0]), profile_from_fwhm([2.0], 15))
    noise = draw(spectrum, 100, shape, np.random.default_rng(1))
    assert noise.shape == (100, 2, *shape)
    assert noise.std(axis=(0, 2, 3)) == pytest.approx(spectrum.rms, rel=0.01)


def test_a_draw_depends_on_its_generator_alone():
    spectrum, noise = survey(n=3)
    assert np.array_equal(noise, draw(spectrum, 3, (80, 80), np.random.default_rng(0)))
    assert not np.array_equal(noise, draw(spectrum, 3, (80, 80), np.random.default_rng(1)))


def test_noise_through_a_kernel_is_convolved_noise():
    spectrum, _ = survey(fwhm=1.5)
    kernel = profile_from_fwhm([2.5], 21)
    noise = draw(spectrum, 40, (128, 128), np.random.default_rng(2))
    blurred = convolve_each(noise, kernel[None])[..., 16:-16, 16:-16]
    assert blurred.std() == pytest.approx(through(spectrum, kernel).rms[0], rel=0.02)


@pytest.mark.parametrize("zoom", [0.6, 1.0, 1.37, 2.0, 3.2])
def test_noise_after_resampling_is_resampled_noise(zoom):
    spectrum, noise = survey(n=120, side=100)
    rng = np.random.default_rng(3)
    n_out = int(80 / zoom)
    x, y = 49.5 + rng.uniform(-3, 3, (2, 120))
    out = resample(
        noise.astype("f8"), x=x, y=y, width=np.full(120, n_out * zoom), n_out=n_out, conserve="flux"
    )
    expected = resampled(spectrum, zoom)
    assert out.std() == pytest.approx(expected.rms[0], rel=0.02)
    lag = (out[..., 1:] * out[..., :-1]).mean() / out.var()
    assert lag == pytest.approx(expected.covariance()[0, 0, 1] / expected.rms[0] ** 2, abs=0.02)


@given(st.floats(-3, 3), st.floats(0.3, 3.0))
@settings(max_examples=30)
def test_four_boxes_share_out_all_noise(offset, zoom):
    # Over all lags of either pixels the weights add up to the product of the areas.
    old = four_boxes(offset - np.arange(-20.0, 21), zoom)
    assert old.sum() == pytest.approx(zoom**2, rel=1e-9)


def test_the_noise_of_masked_stamps_is_that_of_whole_ones():
    spectrum, noise = survey(n=120)
    rng = np.random.default_rng(4)
    blank = rng.random(noise.shape) > 0.2
    blank[:, :, 25:55, 25:55] = False
    bad = np.where(blank, noise + rng.normal(0, 5, (120, 1, 1, 1)), np.nan)
    found = measured(bad.astype("f4"), blank)
    assert found.rms[0] == pytest.approx(spectrum.rms[0], rel=0.01)
    ratio = found.annuli()[1] / on_grid(spectrum, found.side).annuli()[1]
    # All but the lowest frequencies, where few modes fit on a stamp.
    assert 0.93 < ratio[0, 1:].min() < ratio[0, 1:].max() < 1.07
    assert found.n_pixels == blank.sum()


def test_a_stamp_with_light_that_was_not_found_has_no_say():
    spectrum, noise = survey(n=40)
    y, x = np.mgrid[:80, :80]
    noise[:8] += 12 * np.exp(-np.hypot(y - 40, x - 40) / 14).astype("f4")
    free = np.ones(noise.shape, bool)
    _, _, clean = stamp_noise(noise, free)
    assert not clean[:8].any()
    assert clean[8:].all()
    assert measured(noise, free).rms[0] == pytest.approx(spectrum.rms[0], rel=0.01)


def test_sources_are_found_and_noise_is_left():
    _, noise = survey(n=20)
    y, x = np.mgrid[:80, :80]
    galaxy = 40 * np.exp(-np.hypot(y - 40, x - 40) / 4).astype("f4")
    mask = np.zeros(noise.shape, bool)
    mask[:, :, :5] = True
    blank = blank_regions(noise + galaxy, mask=mask)
    distance = np.hypot(y - 40, x - 40)
    assert not blank[:, :, distance < 8].any()
    assert not blank[mask].any()
    far = (distance > 25) & ~mask[0, 0]
    assert blank[:, :, far].mean() > 0.97
    # What is called blank is not cut: its noise is the noise.
    assert noise[blank].std() == pytest.approx(noise.std(), rel=0.01)


def test_a_source_in_one_band_is_blank_in_none():
    noise = np.random.default_rng(5).normal(size=(2, 3, 40, 40)).astype("f4")
    noise[0, 1, 15:25, 15:25] += 30
    blank = blank_regions(noise)
    assert not blank[0, :, 18:22, 18:22].any()
    assert blank[1].mean() > 0.98


def test_what_is_missing_is_what_is_not_there():
    have, target = white([3.0, 5.0]), white([5.0, 4.0])
    gap = missing(have, target)
    assert gap.spectrum.rms == pytest.approx([4.0, 0.0])
    assert gap.ratio[0] == pytest.approx(1.0)
    assert gap.ratio[1] == pytest.approx(25 / 16)
    assert gap.excess == pytest.approx([0.0, 9 / 16])


def test_a_source_without_noise_gets_all_of_it():
    target, _ = survey()
    gap = missing(white([0.0]), target)
    assert gap.spectrum.rms == pytest.approx(target.rms)
    assert missing(white([1.0]), white([0.0])).excess[0] == np.inf


def test_shot_noise_leaves_empty_sky_alone():
    flux = np.linspace(-5, 0, 100, dtype="f4").reshape(1, 1, 10, 10)
    assert np.array_equal(shot_noise(flux, 3.0, np.random.default_rng(0)), flux)
    bright = shot_noise(np.full((2, 2, 50, 50), 1e9, "f4"), [1.0, 2.0], np.random.default_rng(0))
    assert bright.std(axis=(0, 2, 3)) == pytest.approx(np.sqrt([1e9, 5e8]), rel=0.05)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: NoiseSpectrum(power=np.zeros((1, 4, 5))), UsageError, "spectrum"),
        (lambda: NoiseSpectrum(power=-np.ones((1, 4, 4))), UsageError, "negative"),
        (lambda: missing(white([1.0]), white([1.0, 1.0])), UsageError, "bands"),
        (lambda: resampled(white([1.0]), 0.0), UsageError, "zoom"),
        (lambda: shot_noise(np.ones((1, 1, 2, 2)), 0.0, None), UsageError, "gain"),
        (lambda: measured(np.ones((1, 1, 9, 9)), np.ones((1, 1, 9, 8))), UsageError, "mask"),
        (
            lambda: measured(np.ones((3, 1, 9, 9), "f4"), np.ones((3, 1, 9, 9), bool)),
            NotComputableError,
            "blank pixels",
        ),
    ],
)
def test_what_is_no_noise_is_refused(call, error, named):
    with pytest.raises(error, match=named):
        call()


@pytest.mark.real
def test_real_blank_sky_comes_back_with_its_rms():
    folder = Path(os.environ.get("SIMREAL_DATA", "")) / "ceers" / "f150w"
    files = sorted(folder.glob("*.fits*"))
    if not files:
        pytest.skip("no CEERS stamps under SIMREAL_DATA")
    from astropy.io import fits

    stamps = np.stack([np.asarray(fits.getdata(f), "f4") for f in files])[:, None]
    mask = ~np.isfinite(stamps) | (stamps == 0)
    stamps = np.where(mask, 0, stamps)
    blank = blank_regions(stamps, mask=mask)
    spectrum = measured(stamps, blank)
    noise = draw(spectrum, 60, (100, 100), np.random.default_rng(0))
    again = measured(noise, np.ones(noise.shape, bool))
    assert again.rms[0] == pytest.approx(spectrum.rms[0], rel=0.01)
    ratio = again.annuli()[1] / spectrum.annuli()[1]
    assert 0.93 < ratio.min() < ratio.max() < 1.07
    # By another way: the median deviation of all blank pixels of the median stamp.
    _, rms, _ = stamp_noise(stamps, blank)
    assert spectrum.rms[0] == pytest.approx(np.nanmedian(rms), rel=0.05)
