"""Measured morphology against models whose answer is known, and against eyes."""

import numpy as np
import pytest
from scipy.optimize import brentq

from simreal.measure.morphology import feature_names, morphology

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2


def measured(stamps):
    """Name every column of the morphology of stamps (n, y, x) or (n, band, y, x)."""
    stamps = np.asarray(stamps, np.float32)
    stamps = stamps[:, None] if stamps.ndim == 3 else stamps
    return dict(zip(feature_names(stamps.shape[1]), morphology(stamps).T, strict=True))


def disc(scale=4.0, *, ratio=1.0, angle=0.0, peak=0.8):
    """Return an exponential disc seen at an angle."""
    along = X * np.cos(angle) + Y * np.sin(angle)
    across = (Y * np.cos(angle) - X * np.sin(angle)) / ratio
    return peak * np.exp(-np.hypot(along, across) / scale)


def spot(x, y, flux, sigma=1.5):
    return flux * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


def awkward(shape):
    """Return stamps no galaxy is on: (k, 1, y, x)."""
    rng = np.random.default_rng(0)
    one = np.zeros(shape)
    one[shape[0] // 2, shape[1] // 2] = 1
    corner = np.zeros(shape)
    corner[0, 0] = 1
    half = np.zeros(shape)
    half[: shape[0] // 2] = 1
    noise = rng.normal(0, 0.02, shape)
    kinds = [
        np.zeros(shape), np.ones(shape), np.full(shape, -0.3), one, corner, half, noise,
        np.maximum(noise, 0), -one, rng.integers(0, 2, shape), 1 - one, one * 1e6,
    ]  # fmt: skip
    return np.stack(kinds)[:, None].astype(np.float32)


@pytest.mark.parametrize("shape", [(16, 16), (33, 33), (64, 64), (64, 48), (41, 70)])
@pytest.mark.parametrize("bands", [1, 3])
def test_every_stamp_has_finite_numbers(shape, bands):
    stamps = np.repeat(awkward(shape), bands, axis=1)
    found = morphology(stamps)
    assert found.shape == (len(stamps), len(feature_names(bands)))
    assert np.isfinite(found).all()
    assert morphology(stamps[:0]).shape == (0, found.shape[1])


def test_turning_and_mirroring_change_nothing():
    rng = np.random.default_rng(1)
    galaxies = [
        disc(rng.uniform(2, 8), ratio=rng.uniform(0.3, 1), angle=rng.uniform(0, 3)) for _ in "12345"
    ]
    clumps = [
        spot(*rng.uniform(-15, 15, 2), 5) + spot(*rng.uniform(-30, 30, 2), 5) for _ in "12345"
    ]
    stamps = np.stack([np.stack([a + b, a]) for a, b in zip(galaxies, clumps, strict=True)])
    stamps = (stamps + rng.normal(0, 0.02, stamps.shape)).astype(np.float32)
    straight = morphology(stamps)
    for turned in (
        np.rot90(stamps, axes=(2, 3)),
        stamps[..., ::-1],
        np.rot90(stamps, 2, axes=(2, 3))[..., ::-1, :],
    ):
        # Sums of 4096 float32 terms in another order differ by 4096^.5 * 6e-8 of their size.
        np.testing.assert_allclose(morphology(np.ascontiguousarray(turned)), straight, atol=2e-5)


def test_a_stamp_is_measured_alone():
    rng = np.random.default_rng(2)
    stamps = (np.stack([disc(s) for s in rng.uniform(2, 8, 70)])[:, None]).astype(np.float32)
    stamps += rng.normal(0, 0.02, stamps.shape).astype(np.float32)
    whole = morphology(stamps)
    np.testing.assert_allclose(morphology(stamps[[64, 3]]), whole[[64, 3]], atol=1e-6)


def test_an_exponential_disc_has_the_radii_of_the_formula():
    scale = 4.0

    def flux(r):  # within r scale lengths
        return 1 - (1 + r) * np.exp(-r)

    # Local over mean surface brightness is x^2 exp(-x) / (2 (1 - (1 + x) exp(-x))).
    petrosian = brentq(lambda x: x * x * np.exp(-x) / (2 * flux(x)) - 0.2, 1, 9)
    total = flux(1.5 * petrosian)
    r20, r50, r80 = (brentq(lambda x, f=f: flux(x) / total - f, 0.01, 9) for f in (0.2, 0.5, 0.8))
    found = measured(disc(scale)[None])
    half = SIDE / 2
    # Light sampled at pixel centres and rings a pixel wide: a tenth of a pixel, 2 % of r50; the
    # Petrosian ring is two pixels wide, an eighth of a scale length.
    assert half * 10 ** found["half_light_radius"][0] == pytest.approx(scale * r50, rel=0.02)
    assert half * 10 ** found["petrosian_radius"][0] == pytest.approx(scale * petrosian, rel=0.03)
    assert found["concentration"][0] == pytest.approx(5 * np.log10(r80 / r20), abs=0.06)


def test_cuspier_profiles_are_more_concentrated_by_every_measure():
    # Sersic profiles of one half-light radius, out to a third of the light of the cuspiest.
    profiles = [np.exp(-(2 * n - 1 / 3) * (np.hypot(X, Y) / 7) ** (1 / n)) for n in (0.5, 1, 2, 4)]
    found = measured(np.stack([p / p.max() for p in profiles]))
    for name, sign in (("concentration", 1), ("gini", 1), ("m20", -1)):
        assert (np.diff(sign * found[name]) > 0).all(), name


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, 2.0])
@pytest.mark.parametrize("ratio", [0.4, 0.7, 1.0])
def test_the_axis_ratio_is_that_of_the_disc_at_any_angle(ratio, angle):
    found = measured(disc(5.0, ratio=ratio, angle=angle)[None])
    # The isophote's edge is cut by pixels: one in about 12 radii.
    assert found["axis_ratio"][0] == pytest.approx(ratio, abs=0.06)


def test_asymmetry_is_twice_the_light_without_counterpart():
    main = disc(4.0)
    share = 0.2
    lopsided = main + spot(6, 3, share * main.sum())
    # |I - I180| counts the spot here and its absence there. Moving the centre towards the
    # spot lowers it by less than a quarter.
    expected = 2 * share / (1 + share)
    found = measured(np.stack([main, lopsided]))["asymmetry"]
    # The noise of half a grey level that is always taken off is 2 to 3 % of this light.
    assert abs(found[0]) < 0.04
    assert 0.75 * expected < found[1] < 1.05 * expected


def test_noise_is_not_taken_for_asymmetry_nor_for_clumps():
    rng = np.random.default_rng(3)
    quiet = np.repeat(disc(5.0, peak=0.5)[None], 200, axis=0)
    noisy = quiet + rng.normal(0, 0.02, quiet.shape)
    found, wanted = measured(noisy), measured(quiet[:1])
    light = quiet[0].sum()
    # Uncorrected, noise adds 2 / sqrt(pi) rms for each of the 800 to 3200 pixels inside.
    uncorrected = 2 / np.sqrt(np.pi) * 0.02 * 1500 / light
    assert uncorrected > 0.3
    for name, allowed in (("asymmetry", uncorrected / 3), ("smoothness", 0.03)):
        assert abs(np.median(found[name]) - wanted[name][0]) < allowed, name


def test_detached_neighbours_are_cut_out_and_counted():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.01, (SIDE, SIDE))
    alone, crowded = disc(3.0) + noise, disc(3.0) + noise + spot(22, -14, 15)
    found = measured(np.stack([alone, crowded]))
    share = 10 ** found["neighbour_light"] - 0.01
    assert share[0] < 0.01 < 0.1 < share[1]
    for name, allowed in (
        ("half_light_radius", 0.02),
        ("concentration", 0.05),
        ("asymmetry", 0.05),
        ("m20", 0.05),
        ("total_brightness", 0.02),
    ):
        assert abs(np.diff(found[name])[0]) < allowed, name


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_azimuthal_series_finds_its_own_order_only(order):
    wave = 1 + 0.4 * np.cos(order * np.arctan2(Y, X) + 0.7)
    found = measured((disc(8.0) * wave)[None])
    for other in (1, 2, 3, 4):
        # The mean of cos^2 is one half; corners of pixels alias a few percent between orders.
        expected = 0.2 if other == order else 0.0
        amplitude = 10 ** found[f"fourier_{other}_1"][0] - 0.01
        assert amplitude == pytest.approx(expected, abs=0.02)


def test_white_noise_has_a_flat_spectrum():
    rng = np.random.default_rng(5)
    found = measured(rng.normal(0, 0.05, (300, SIDE, SIDE)))
    spectrum = np.array([found[name].mean() for name in feature_names(1) if "power" in name])
    # The mean logarithm of few modes is low: by 0.25 / 4 dex for the five of the first ring.
    np.testing.assert_allclose(spectrum[2:], spectrum[2:].mean(), atol=0.03)
    assert np.ptp(spectrum) < 0.15


def test_colours_are_ratios_of_bands_and_gradients_their_change():
    red, blue = disc(3.0), disc(3.0) / 2
    wide = disc(4.5) * (disc(3.0).sum() / disc(4.5).sum())
    found = measured(np.stack([np.stack([blue, red]), np.stack([red, wide])]))
    # Brightness is exact to (grey level's noise / light)^2 above one grey level.
    assert found["colour_0_1"][0] == pytest.approx(np.log10(2), abs=0.02)
    assert abs(found["colour_gradient_0_1"][0]) < 0.02
    assert found["colour_gradient_0_1"][1] < -0.2


@pytest.mark.real
def test_spirals_and_ellipticals_are_told_apart_the_right_way_round(real_data):
    from PIL import Image

    folder = real_data("sdss_gz2") / "sdss_gz2"
    lines = (folder / "labels.csv").read_text().splitlines()[1:]
    labelled = [line.split(",") for line in lines]
    stamps, spiral = [], []
    for kind in ("spiral", "non_spiral"):
        for name in [name for name, label in labelled if label == kind][:150]:
            with Image.open(folder / "images" / name) as image:
                centre = np.asarray(image, np.float32)[116:308, 116:308] / 255
            stamps.append(centre.mean(2).reshape(64, 3, 64, 3).mean((1, 3)))
            spiral.append(kind == "spiral")
    found, spiral = measured(np.stack(stamps)), np.array(spiral)
    # Two samples of 150: a standard error of .033 on an area under the curve.
    # A display's stretch compresses nuclei, so that concentration says the least.
    for name, sign, least in (
        ("asymmetry", 1, 0.65),
        ("m20", 1, 0.6),
        ("fourier_1_1", 1, 0.6),
        ("concentration", -1, 0.53),
    ):
        values = sign * found[name]
        area = (values[spiral][:, None] > values[~spiral]).mean()
        assert area > least, (name, area)
