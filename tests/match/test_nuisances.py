"""Every nuisance does what its size says, leaves alone what it should, and refuses the rest."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from simreal.core.errors import NotComputableError, UsageError
from simreal.match.nuisances import (
    NUISANCES,
    QUALITY,
    Conditions,
    added_rms,
    encoded,
    light_weight,
    plant,
    whole_numbers,
)
from simreal.measure.power import azimuthal_power

RMS = 0.02


def sky(n=40, bands=3, side=64, seed=0, level=0.3, correlation=1.0):
    """Return Gaussian sky of rms `RMS`, correlated like that of a survey."""
    white = np.random.default_rng(seed).standard_normal((n, bands, side, side))
    noise = ndimage.gaussian_filter(white, (0, 0, correlation, correlation), mode="wrap")
    return (level + RMS * noise / noise.std()).astype(np.float32)


def galaxies(n=24, bands=3, side=64, seed=1):
    """Return bright round profiles on correlated sky, values between black and white."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    rng = np.random.default_rng(seed)
    scale, peak = rng.uniform(3, 8, (n, 1, 1, 1)), rng.uniform(0.3, 0.9, (n, bands, 1, 1))
    light = peak * np.exp(-np.hypot(x, y) / scale)
    return np.clip(light + sky(n, bands, side, seed, level=0.2), 0, 1).astype(np.float32)


GALAXIES, SKY = galaxies(), sky(seed=2)
for fixed in (GALAXIES, SKY):
    fixed.flags.writeable = False


def rng(seed=7):
    return np.random.default_rng(seed)


def planted(kind, size, images=GALAXIES, **options):
    options.setdefault("noise", np.full(images.shape[:2], RMS))
    options.setdefault("sky", sky(60, images.shape[1], images.shape[-1], seed=3))
    return plant(images, kind, size, rng=rng(), **options)


def changed(kind, size, images, *, psf_fwhm=4.0, patches=None):
    """Return what a kind makes of images before anything is rounded or encoded."""
    given = Conditions(
        size=size, rng=rng(), psf_fwhm=np.full(len(images), psf_fwhm),
        rms=np.full((*images.shape[:2], 1, 1), RMS), sky=patches,
    )  # fmt: skip
    return NUISANCES[kind].change(images, given)


def moments(image):
    """Return centre and standard deviation along y and along x of a source on black."""
    found = []
    for axis in (1, 0):
        profile = image.sum(axis, dtype=np.float64)
        at = np.arange(len(profile))
        mean = (profile * at).sum() / profile.sum()
        found.append((mean, np.sqrt((profile * (at - mean) ** 2).sum() / profile.sum())))
    return found


def gaussian(sigma, side=65):
    grid = np.arange(side) - side // 2
    return np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / sigma**2).astype(np.float32)


CHECKS = {
    "sky_statistics": {"noise", "pedestal", "gradient"},
    "noise_power": {"white_noise", "smoothing", "resampling"},
    "psf": {"psf", "psf_ellipticity"},
    "nuisance_probes": {"centring", "neighbours", "registration"},
    "identity": {"jpeg", "quantisation", "border", "saturation", "off_grid"},
}


def test_the_sixteen_kinds_and_the_checks_that_name_them():
    assert {name: one.check for name, one in NUISANCES.items()} == {
        name: check for check, names in CHECKS.items() for name in names
    }
    for name, one in NUISANCES.items():
        assert one.name == name
        assert 0 < one.sizes[0] < one.sizes[1] < one.sizes[2] <= one.maximum
        assert one.meaning
        assert one.unit


@pytest.mark.parametrize("quality", [QUALITY, None])
@pytest.mark.parametrize("kind", NUISANCES)
def test_a_larger_size_is_a_larger_change_from_what_is_only_encoded(kind, quality):
    if kind == "jpeg" and quality is None:
        quality = 100  # 8 bits alone have no quality to fall from
    nothing = planted(kind, 0, quality=quality)
    change = []
    for size in NUISANCES[kind].sizes:
        found = planted(kind, size, quality=quality)
        assert found.dtype == np.float32
        assert found.shape == GALAXIES.shape
        assert found.min() >= 0
        assert found.max() <= 1
        grid = np.abs(found * 255 - np.rint(found * 255)).max()
        assert grid > 0.4 * size if kind == "off_grid" else grid < 1e-4
        change.append(float(((found.astype(np.float64) - nothing) ** 2).mean()))
    assert change[2] > change[1] > change[0] > 0 or (
        # A pedestal below one grey level mostly decides which way a JPEG rounds.
        (kind, quality) == ("pedestal", QUALITY) and change[2] > max(change[:2]) > 0
    ), change


def test_size_nought_is_the_same_encoding_for_every_kind():
    first = planted("psf", 0)
    for kind in NUISANCES:
        np.testing.assert_array_equal(planted(kind, 0), first)
    # Values spread over their grey level and rounded again: one level off at most, in the mean
    # none (3.7e5 pixels of .29 grey levels each).
    bits = planted("psf", 0, quality=None)
    assert np.abs(bits - GALAXIES).max() <= 1.0 / 255 + 1e-6
    assert abs(float((bits - GALAXIES).mean(dtype=np.float64))) < 5 * 0.41 / 255 / np.sqrt(
        bits.size
    )


@pytest.mark.parametrize("kind", NUISANCES)
def test_the_same_generator_gives_the_same_bits_and_nothing_is_written_into(kind):
    before = GALAXIES.copy()
    size = NUISANCES[kind].sizes[1]
    np.testing.assert_array_equal(planted(kind, size), planted(kind, size))
    np.testing.assert_array_equal(GALAXIES, before)


@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("kind", NUISANCES)
def test_any_number_of_bands_and_no_images_at_all(kind, bands):
    images, size = galaxies(3, bands, side=32), NUISANCES[kind].sizes[1]
    if bands < NUISANCES[kind].minimum_bands:
        with pytest.raises(NotComputableError, match="needs 2 bands or more, got 1"):
            planted(kind, size, images)
        return
    assert planted(kind, size, images).shape == images.shape
    assert planted(kind, size, images[:0]).shape == images[:0].shape


def test_what_does_not_exist_is_refused_in_one_line():
    with pytest.raises(UsageError, match="unknown nuisance 'pfs': did you mean 'psf'"):
        planted("pfs", 1)
    with pytest.raises(UsageError, match=r"got size -1, allowed is 0 to inf \[sky rms\]"):
        planted("pedestal", -1)
    with pytest.raises(UsageError, match=r"got size 0.6, allowed is 0 to 0.5 \[pixel\]"):
        planted("resampling", 0.6)
    with pytest.raises(UsageError, match="got size nan"):
        planted("psf", float("nan"))
    with pytest.raises(NotComputableError, match="needs galaxy-free sky"):
        planted("noise", 0.1, sky=None)
    with pytest.raises(UsageError, match=r"got sky of shape \(3, 32, 32\)"):
        planted("noise", 0.1, sky=sky(4, side=32))


def test_noise_lets_the_rms_grow_as_stated_and_keeps_the_spectrum():
    power = azimuthal_power(SKY[:, 0])[1].mean(0)
    for size in (0.1, 0.5):
        # Half of the bands have twice the noise: each grows by the same part.
        louder = 0.3 + (SKY - 0.3) * np.array([1, 2, 1], "f4")[:, None, None]
        given = Conditions(
            size=size, rng=rng(), psf_fwhm=np.full(len(SKY), 4.0),
            rms=np.broadcast_to(RMS * np.array([1, 2, 1])[:, None, None], (len(SKY), 3, 1, 1)),
            sky=sky(60, seed=3),
        )  # fmt: skip
        noisy = NUISANCES["noise"].change(louder, given)
        growth = noisy.std((0, 2, 3)) / louder.std((0, 2, 3))
        # 40 stamps of about 64 x 64 / (4 pi) independent pixels know an rms to .5 %.
        np.testing.assert_allclose(growth, 1 + size, rtol=0.02)
        ratio = azimuthal_power(noisy[:, 0])[1].mean(0) / power / (1 + size) ** 2
        # Where the power has fallen by orders of magnitude the window leaks; 40 stamps with a
        # hundred modes a bin know its mean to 2 %.
        np.testing.assert_allclose(ratio[:5], 1, atol=0.08)


def test_white_noise_lets_the_rms_grow_as_stated_and_is_white():
    noisy = changed("white_noise", 0.1, SKY)
    assert noisy.std() / SKY.std() == pytest.approx(1.1, rel=0.01)
    power = azimuthal_power((noisy - SKY)[:, 0])[1].mean(0)
    # The lowest bin has some 150 modes a stamp, windowed: its mean over 40 is known to 2 %.
    np.testing.assert_allclose(power, (RMS * added_rms(0.1)) ** 2, rtol=0.08)


def test_noise_is_the_same_at_every_size_but_for_its_scale():
    for kind in ("noise", "white_noise"):
        small, large = (changed(kind, s, SKY, patches=sky(60, seed=3)) - SKY for s in (0.1, 0.4))
        np.testing.assert_allclose(
            small / added_rms(0.1), large / added_rms(0.4), rtol=0, atol=1e-6 / added_rms(0.1)
        )


def test_a_point_of_a_grey_level_is_not_rounded_away():
    # .1 of a level on each of 5e5 pixels whose mean is known to .4 / sqrt(5e5) = 6e-4 levels.
    size = 0.1 / 255 / RMS
    lifted = planted("pedestal", size, SKY, quality=None) - planted(
        "pedestal", 0, SKY, quality=None
    )
    assert lifted.mean(dtype=np.float64) * 255 == pytest.approx(0.1, abs=0.003)


def test_smoothing_adds_in_quadrature_and_keeps_the_flux():
    star = gaussian(2.0)[None, None]
    for size in (0.3, 0.7):
        soft = changed("smoothing", size, star)[0, 0]
        assert moments(soft)[0][1] == pytest.approx(np.hypot(2.0, size), rel=2e-3)
        assert soft.sum() == pytest.approx(star.sum(), rel=1e-4)


def test_resampling_moves_every_image_by_its_size_and_the_mean_image_by_none():
    stars = np.repeat(gaussian(2.0)[None, None], 400, axis=0)
    moved = changed("resampling", 0.3, stars)
    centres = np.array([[c for c, _ in moments(stamp[0])] for stamp in moved]) - 32
    np.testing.assert_allclose(np.abs(centres), 0.3, atol=1e-3)
    # 400 signs have a mean within 3 / sqrt(400) of zero.
    assert np.abs(centres.mean(0)).max() < 0.3 * 0.15
    # A linear interpolation by f adds f (1 - f) to the variance.
    assert moments(moved[0, 0])[0][1] == pytest.approx(np.sqrt(4 + 0.21), rel=1e-3)
    np.testing.assert_allclose(moved.sum((1, 2, 3)), stars.sum((1, 2, 3)), rtol=1e-4)


def test_pedestal_and_gradient_have_the_stated_height():
    lifted = changed("pedestal", 0.5, SKY) - SKY
    np.testing.assert_allclose(lifted, 0.5 * RMS, atol=1e-6)
    tilt = changed("gradient", 0.5, SKY) - SKY
    np.testing.assert_allclose(tilt[..., -1] - tilt[..., 0], 0.5 * RMS, atol=1e-6)
    assert abs(tilt.mean()) < 1e-6
    np.testing.assert_allclose(np.diff(tilt, axis=2), 0, atol=1e-6)


def test_the_psf_is_broader_as_stated_and_the_noise_is_as_it_was():
    fwhm = 4.0
    star = 0.4 * gaussian(fwhm / 2.3548, side=64)
    images = sky(30) + star
    for size in (0.1, 0.25):
        wide = changed("psf", size, images, psf_fwhm=fwhm)
        # The mean of 30 has a thirtieth of the variance; the box holds all of the star.
        mean = (wide - sky(30)).mean((0, 1))[16:49, 16:49]
        sigma = moments(mean)[0][1]
        assert sigma == pytest.approx(fwhm / 2.3548 * (1 + size), rel=0.03)
        assert abs((wide - images).sum((2, 3)).mean()) < 0.02 * star.sum()
        corner = np.s_[..., :12, :12]
        assert (wide - images)[corner].std() < 0.1 * RMS


def test_the_elongated_psf_is_longer_along_x_alone():
    fwhm, noise = 4.0, sky(30)
    images = noise + 0.4 * gaussian(fwhm / 2.3548, side=64)
    long = changed("psf_ellipticity", 0.3, images, psf_fwhm=fwhm) - noise
    (_, along_y), (_, along_x) = moments(long.mean((0, 1))[16:49, 16:49])
    assert along_x == pytest.approx(fwhm / 2.3548 * 1.3, rel=0.03)
    assert along_y == pytest.approx(fwhm / 2.3548, rel=0.03)


@pytest.mark.parametrize("kind", ["psf", "psf_ellipticity"])
def test_a_psf_leaves_empty_sky_alone(kind):
    # Broadening the noise itself by a quarter would change it by more than half its rms.
    change = changed(kind, 0.25, SKY) - SKY
    assert change.std() < 0.05 * RMS
    assert (changed("smoothing", 4.0 / 2.3548 * added_rms(0.25), SKY) - SKY).std() > 0.4 * RMS


def test_light_is_where_it_stands_above_the_noise():
    rms = np.full((len(SKY), 3, 1, 1), RMS)
    assert light_weight(SKY, rms).max() < 0.05
    star = (sky(len(SKY)) + 0.4 * gaussian(1.7, side=64)).astype(np.float32)
    weight = light_weight(star, rms)
    assert weight[:, 28:36, 28:36].min() > 0.9
    assert weight[:, :16].max() < 0.05


def test_a_broader_psf_adds_no_structure():
    # Discs and bulges whose edges a mask could print on: power falls or stays at every scale.
    power = [
        azimuthal_power(changed("psf", size, GALAXIES)[:, 0] if size else GALAXIES[:, 0])[1]
        for size in (0, 0.1, 0.3)
    ]
    for ratio in (power[1] / power[0], power[2] / power[1]):
        assert np.median(ratio, axis=0).max() < 1.02


@pytest.mark.parametrize("size", [0.3, 1.0, 2.5])
def test_centring_rolls_by_whole_numbers_whose_mean_is_the_size(size):
    stars = np.repeat(gaussian(2.0)[None, None], 500, axis=0)
    moved = changed("centring", size, stars)
    columns = moved[:, 0].sum(1).argmax(1) - 32
    assert set(columns) <= {int(np.floor(size)), int(np.ceil(size))}
    assert columns.mean() == pytest.approx(size, abs=0.07)  # three standard errors
    assert (moved[:, 0].sum(2).argmax(1) == 32).all()


def test_those_moved_by_a_smaller_size_are_among_those_moved_by_a_larger():
    few, many = (whole_numbers(size, 200, rng()) for size in (0.3, 0.6))
    assert few.sum() < many.sum()
    assert (few <= many).all()


def test_registration_moves_the_last_band_alone():
    moved = changed("registration", 2.0, GALAXIES)
    np.testing.assert_array_equal(moved[:, :-1], GALAXIES[:, :-1])
    np.testing.assert_array_equal(moved[:, -1], np.roll(GALAXIES[:, -1], 2, axis=2))


def test_neighbours_come_in_the_stated_number_with_the_psf_of_the_image():
    images = np.zeros((400, 2, 64, 64), np.float32)
    few, many = (changed("neighbours", size, images, psf_fwhm=4.0) for size in (0.2, 0.5))
    has_few, has_many = (found.any((1, 2, 3)) for found in (few, many))
    assert has_few.mean() == pytest.approx(0.2, abs=0.06)
    assert has_many.mean() == pytest.approx(0.5, abs=0.08)
    np.testing.assert_array_equal(few[has_few], many[has_few])
    pairs = changed("neighbours", 2.0, images, psf_fwhm=4.0)
    assert (pairs[has_many] >= many[has_many]).all()  # the first is where it was
    assert pairs.sum() == pytest.approx(2 / 0.5 * many.sum(), rel=0.15)
    sources = many[has_many]
    y, x = np.unravel_index(sources[:, 0].reshape(len(sources), -1).argmax(1), (64, 64))
    distance = np.hypot(y - 31.5, x - 31.5)
    assert 15 < distance.min() <= distance.max() < 30
    # Area of a Moffat of FWHM 4 and index 3.5: pi a^2 / (b - 1) = 21.
    alpha = 2 / np.sqrt(2 ** (1 / 3.5) - 1)
    flux = 20 * RMS * np.pi * alpha**2 / 2.5
    inside = (np.minimum(y, x) > 14) & (np.maximum(y, x) < 50)
    np.testing.assert_allclose(sources[inside, 0].sum((1, 2)), flux, rtol=0.03)


def test_jpeg_is_one_encoding_at_a_lower_quality():
    spread = (rng().random(GALAXIES.shape, dtype=np.float32) - np.float32(0.5)) / np.float32(255)
    expected = encoded(GALAXIES + spread, QUALITY - 15)
    np.testing.assert_allclose(planted("jpeg", 15), expected, atol=1e-6)
    buffer = io.BytesIO()
    plane = np.rint(np.clip((GALAXIES + spread)[0].transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(plane).save(buffer, "jpeg", quality=QUALITY - 15, subsampling=0)
    read = np.asarray(Image.open(buffer)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(expected[0], read, atol=1e-6)


def test_bits_are_dropped_on_the_grid():
    coarse = planted("quantisation", 2)
    assert len(np.unique(coarse)) <= 64
    assert len(np.unique(planted("quantisation", 0))) > 150


def test_borders_are_black_and_the_rest_is_as_it_was():
    nothing, padded = planted("border", 0), planted("border", 2)
    assert not padded[..., :2, :].any()
    assert not padded[..., -2:].any()
    np.testing.assert_array_equal(padded[..., 2:-2, 2:-2], nothing[..., 2:-2, 2:-2])
    share = np.mean([not stamp[:, 0].any() for stamp in planted("border", 0.25)])
    assert share == pytest.approx(0.25, abs=0.25)  # 24 stamps


def test_saturation_cuts_and_off_grid_leaves_the_grid():
    nothing, cut = planted("saturation", 0), planted("saturation", 0.4)
    level = np.float32(153 / 255)
    assert cut.max() == pytest.approx(0.6, abs=1e-6)
    np.testing.assert_array_equal(cut[nothing < level], nothing[nothing < level])
    off = (planted("off_grid", 0.5) - nothing) * 255
    inside = (nothing > 0.01) & (nothing < 0.99)
    assert np.abs(off[inside]).max() <= 0.25 + 1e-4
    assert off[inside].std() == pytest.approx(0.5 / np.sqrt(12), rel=0.01)


def test_what_is_planted_before_the_last_encoding_ends_as_a_jpeg_of_the_same_quality():
    # Encoding once more changes a JPEG of that quality by rounding alone: what is off is a
    # small part of the pixels, while anything that was not encoded loses its fine structure.
    for kind in ("psf", "centring", "white_noise"):
        once = planted(kind, NUISANCES[kind].sizes[2])
        again = encoded(once, QUALITY)
        never = planted(kind, NUISANCES[kind].sizes[2], quality=None)
        lost = np.mean((encoded(never, QUALITY) - never) ** 2)
        assert np.mean((again - once) ** 2) < 0.1 * lost
