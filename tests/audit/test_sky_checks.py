"""The three checks of sky: known answers, false alarms, planted nuisances, bad input."""

import itertools
import json

import numpy as np
import pytest
import scipy.fft

from simreal.audit import battery
from simreal.audit.battery import run_audit
from simreal.audit.checks import noise_power, sky_classifier, sky_statistics
from simreal.audit.contract import Given, Side
from simreal.audit.sky import corners_of, seen_sky, sky_of
from simreal.core.images import ImageSet, Setup
from simreal.measure.sky_texture import (
    bin_edges,
    corners,
    frame_grid,
    free_pixels,
    sky_texture,
)

CHECKS = ("sky_classifier", "noise_power", "sky_statistics")
LEVEL, RMS = 0.2, 0.01


def fourier(images, transfer):
    """Return images times a transfer function of (fy, fx), on the torus."""
    shape = images.shape[-2:]
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    return scipy.fft.irfft2(scipy.fft.rfft2(images) * transfer(fy, fx), shape).astype("f4")


def gaussian(sigma):
    return lambda fy, fx: np.exp(-2 * np.pi**2 * sigma**2 * (fy**2 + fx**2))


def half_pixel(fy, fx):
    """Bilinear interpolation half-way between four pixels."""
    return np.cos(np.pi * fy) * np.cos(np.pi * fx) * np.exp(-1j * np.pi * (fy + fx))


def white(n, *, side=64, bands=1, seed=0, scatter=0.0):
    """White noise of unit rms that differs from image to image by `scatter` in ln rms."""
    rng = np.random.default_rng(seed)
    rms = np.exp(scatter * rng.standard_normal((n, 1, 1, 1)))
    noise = rng.standard_normal((n, bands, side, side), dtype=np.float32) * rms
    return noise.astype("f4")


def survey(n, *, side=48, bands=1, seed=0):
    """Sky like a survey's: correlated, and not equally deep everywhere."""
    noise = fourier(white(n, side=side, bands=bands, seed=seed, scatter=0.1), gaussian(0.5))
    rng = np.random.default_rng([seed, 1])
    level = LEVEL + 0.1 * RMS * rng.standard_normal((n, 1, 1, 1))
    return (level + RMS * noise / 0.57).astype("f4")


def galaxies(sky, *, size=3.0, peak=0.5):
    """Return the sky with a round exponential disc in the middle."""
    y, x = (np.arange(side) - (side - 1) / 2 for side in sky.shape[2:])
    return (sky + peak * np.exp(-np.hypot(y[:, None], x) / size)).astype("f4")


def image_set(pixels, name, *, mask=None):
    n, bands = pixels.shape[:2]
    ids = np.array([f"{name}{k}" for k in range(n)])
    return ImageSet(
        name=name, role="observed", sampling="random", images=np.asarray(pixels, "f4"), mask=mask,
        ids=ids, groups=ids, setup=Setup(track="rgb", bands=tuple("rgb"[:bands]), unit="display"),
    )  # fmt: skip


def side_of(name, *, seed, n=100, sky=True, change=lambda x: x, leak=lambda x: x, **kwargs):
    """A side: galaxies on sky, and empty sky; `change` acts on both, `leak` on stamps alone."""
    stamps = image_set(leak(change(galaxies(survey(n, seed=seed, **kwargs)))), name)
    if not sky:
        return Side(stamps=stamps)
    empty = image_set(change(survey(n, seed=seed + 1000, **kwargs)), f"{name}-sky")
    return Side(stamps=stamps, sky=empty)


@pytest.fixture(autouse=True, scope="module")
def _these_checks_alone():
    """Keep the battery from reading the files of all installed checks for each of three."""
    modules = {"sky_classifier": sky_classifier, "noise_power": noise_power}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(battery, "load_check", {**modules, "sky_statistics": sky_statistics}.get)
        yield


def audit(sim, obs, **kwargs):
    return run_audit(Given(sim=sim, obs=obs, **kwargs), checks=CHECKS)


def named(check, name):
    return next(one for one in check.readings if one.name == name)


# ---------------------------------------------------------------- known answers


def test_white_noise_reads_what_went_in():
    found = sky_texture((3.0 + 2.0 * white(200)).astype("f4"))
    pixels = 200 * 64 * 64
    # Standard errors: sigma / sqrt(N), sigma / sqrt(2 N), sqrt(6 / N), sqrt(24 / N). One pixel
    # in 30,000 is a fluctuation above 4 sigma, masked with its eight neighbours.
    assert abs(found.level.mean() - 3) < 4 * 2 / np.sqrt(pixels) + 2e-3
    assert abs(found.rms.mean() - 2) < 4 * 2 / np.sqrt(2 * pixels) + 2e-3
    assert abs(found.skewness.mean()) < 4 * np.sqrt(6 / pixels) + 5e-3
    assert abs(found.kurtosis.mean()) < 4 * np.sqrt(24 / pixels) + 2e-2
    assert np.abs(found.correlation.mean(axis=0)).max() < 4 / np.sqrt(pixels / 2) + 2e-3
    # The logarithm of a mean over k modes lies 1 / k below that of the expectation: k is 20 in
    # the smallest annulus, of modes that a Hann window correlates.
    assert np.abs(found.log_power.mean(axis=0) - np.log(4)).max() < 0.08
    assert abs(found.anisotropy.mean()) < 0.02


@pytest.mark.parametrize(
    ("transfer", "name"), [(gaussian(0.5), "smoothing"), (half_pixel, "half a pixel")]
)
def test_the_spectrum_shows_a_known_transfer_function(transfer, name):
    noise = white(150, seed=3)
    before, after = sky_texture(noise), sky_texture(fourier(noise, transfer))
    fy, fx = np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None, :]
    radius, gain = np.hypot(fy, fx), np.abs(transfer(fy, fx)) ** 2 * np.ones((64, 33))
    edges = bin_edges(64)
    expected = np.log(
        [gain[(radius >= a) & (radius < b)].mean() for a, b in itertools.pairwise(edges)]
    )
    seen = (after.log_power - before.log_power).mean(axis=0)
    # Each bin holds its own realisation of the noise, and the window leaks into steep flanks.
    assert np.abs(seen - expected).max() < 0.05


def test_smoothed_noise_is_correlated_as_a_gaussian_says():
    found = sky_texture(fourier(white(100, seed=4), gaussian(1.0)))
    lags = np.arange(1, 9)
    # A plane taken out, and a mean, leave a little less than what was there.
    expected = np.exp(-(lags**2) / 4.0)
    assert np.abs(found.correlation.mean(axis=(0, 1)) - expected).max() < 0.02
    assert abs(found.diagonal.mean() - np.exp(-0.5)) < 0.02


def test_gain_and_offset_leave_texture_as_it_is():
    noise = fourier(white(20, seed=5), gaussian(0.6))
    one, other = sky_texture(noise), sky_texture((7.0 + 3.0 * noise).astype("f4"))
    assert np.allclose(one.shape, other.shape, atol=2e-3)
    assert np.allclose(one.correlation, other.correlation, atol=1e-4)
    assert np.allclose(other.rms, 3 * one.rms, rtol=1e-4)
    assert np.allclose(other.level, 7 + 3 * one.level, atol=1e-4)
    assert np.allclose(other.floor, 7 + 3 * one.floor, atol=1e-4)


def test_a_tilt_is_read_from_edge_to_edge_on_patches_and_in_corners():
    grid = frame_grid(64, 64)
    ramp = (2.0 * grid[1] - 1.0 * grid[0]).astype("f4")
    noise = white(200, seed=6) * 0.5 + ramp
    whole = sky_texture(noise)
    blocks = sky_texture(corners(noise[:, 0], 16), grid=corners(grid, 16))
    # The slope's error: rms * sqrt(12 / pixels / images); the corners hold a quarter of them.
    error = 0.5 * np.sqrt(12 / 64**2 / 200)
    assert np.abs(whole.tilt.mean(axis=0) - [-1.0, 2.0]).max() < 4 * error + 0.005
    assert np.abs(blocks.tilt.mean(axis=0) - [-1.0, 2.0]).max() < 4 * error + 0.01
    assert abs(whole.rms.mean() - 0.5) < 0.005  # the tilt is no noise


def test_one_bright_source_changes_no_number_of_the_sky():
    noise = white(50, seed=7)
    star = np.zeros((64, 64), "f4")
    star[28:36, 28:36] = 100.0
    before, after = sky_texture(noise), sky_texture(noise + star)
    assert not free_pixels(noise + star)[:, 0, 27:37, 27:37].any()
    # 2.4 % of the pixels are gone: level and rms change by the scatter of what they held.
    assert np.abs(after.level - before.level).max() < 0.02
    assert np.abs(after.rms / before.rms - 1).max() < 0.02
    assert np.abs((after.log_power - before.log_power).mean(axis=0)).max() < 0.03


def test_masked_pixels_are_not_looked_at():
    noise = white(30, seed=8)
    holes = np.random.default_rng(0).random(noise.shape) < 0.1
    broken = np.where(holes, np.float32(np.nan), noise)
    found = sky_texture(broken)
    assert np.isfinite(found.log_power).all()
    assert abs(found.rms.mean() - 1) < 0.01
    assert abs(found.level.mean()) < 0.01


def test_images_with_nothing_to_measure_have_no_numbers():
    noise = white(4, seed=9)
    noise[1] = 0.3
    noise[2] = np.nan
    noise[3, :, 8:] = np.nan  # an eighth is left
    found = sky_texture(noise)
    assert np.isfinite(found.rms).tolist() == [True, False, False, False]
    assert found.flat.tolist() == [False, True, False, False]


# ---------------------------------------------------------------- what is looked at


def test_both_sides_are_seen_in_the_same_kind_of_sky():
    sim, obs = side_of("sim", seed=1, n=30), side_of("obs", seed=2, n=30)
    assert seen_sky(Given(sim=sim, obs=obs)).pure
    for one, other in ((sim, side_of("obs", seed=2, n=30, sky=False)), (sim, obs)):
        bare = Side(stamps=one.stamps)
        seen = seen_sky(Given(sim=bare, obs=other))
        assert not seen.pure
        assert seen.sim.pixels.shape == (30, 4, 1, 12, 12)
        assert seen.obs.pixels.shape == (30, 4, 1, 12, 12)
        assert "no empty sky of sim" in seen.note


def test_padding_at_the_edge_is_no_sky():
    side = side_of("sim", seed=1, n=3)
    padded = np.array(side.sky.images.read(slice(None)))
    padded[..., :2, :] = padded[..., -2:, :] = padded[..., :2] = padded[..., -2:] = 0
    assert np.array_equal(
        sky_of(Side(stamps=side.stamps, sky=image_set(padded, "sky"))).pixels, sky_of(side).pixels
    )


def test_corners_lie_where_the_stamp_has_them():
    stamps = np.arange(48 * 48, dtype="f4").reshape(1, 1, 48, 48)
    sky = corners_of(Side(stamps=image_set(stamps, "sim")))
    inner = stamps[0, 0, 2:-2, 2:-2]
    assert np.array_equal(sky.pixels[0, 0, 0], inner[:12, :12])
    assert np.array_equal(sky.pixels[0, 3, 0], inner[-12:, -12:])
    assert sky.grid[:, 0].max() < 0 < sky.grid[:, 3].min()


# ---------------------------------------------------------------- clean pairs


@pytest.fixture(scope="module")
def clean_pairs():
    """The audits of 30 pairs of one population, all readings allowed to veto."""
    return [
        audit(
            side_of("sim", seed=2 * k, n=60, side=32),
            side_of("obs", seed=2 * k + 1, n=60, side=32),
            same_population=True,
            seed=k,
        )
        for k in range(30)
    ]


def test_clean_pairs_are_never_red(clean_pairs):
    # Five in a hundred batteries may be, and three checks are a part of one: 2 of 30. Limits
    # leave room beyond chance, and none was seen.
    red = [check.name for found in clean_pairs for check in found.checks if check.verdict == "red"]
    assert len(red) <= 2


def test_intervals_of_clean_pairs_hold_the_truth(clean_pairs):
    covered = [
        reading.low <= reading.neutral <= reading.high
        for found in clean_pairs
        for check in found.checks
        for reading in check.readings
        # An AUC has a law of its own, and an exact share no scatter.
        if reading.value is not None and reading.scale != "auc" and "without" not in reading.name
    ]
    # 30 pairs of 28 readings, of which perhaps ten are independent: the error of a
    # coverage of .95 is .013.
    assert len(covered) == 30 * 28
    assert 0.91 < np.mean(covered) < 0.985


def test_held_out_scores_of_clean_pairs_do_not_tell(clean_pairs):
    values = [
        reading.value for found in clean_pairs for reading in found.check("sky_classifier").readings
    ]
    # At 60 a side an AUC has a standard error of .053, a cross-validated one of .075 because two
    # folds test each other; the mean of 30, .014.
    assert abs(np.mean(values) - 0.5) < 3 * 0.014


# ---------------------------------------------------------------- planted nuisances


def noisier(images):
    """The same sky, 25 % deeper in noise: what survey noise of another depth does."""
    level = np.median(images, axis=(2, 3), keepdims=True)
    extra = fourier(white(len(images), side=images.shape[-1], seed=77), gaussian(0.5)) / 0.57
    return (images + 0.75 * RMS * extra + 0 * level).astype("f4")


def pixel_noise(images):
    return images + 0.5 * RMS * white(len(images), side=images.shape[-1], seed=78)


def smoother(images):
    return fourier(images, gaussian(0.4))


def moved(images):
    return fourier(images, half_pixel)


def moved_along_x(images):
    return fourier(images, lambda fy, fx: np.cos(np.pi * fx) * np.exp(-1j * np.pi * fx) + 0 * fy)


def pedestal(images):
    return images + np.float32(0.2 * RMS)


def tilted(images):
    return images + np.linspace(-0.25, 0.25, images.shape[-1], dtype="f4") * np.float32(RMS)


NUISANCES = [
    (noisier, "sim", "sky_statistics", "sky rms"),
    (noisier, "obs", "sky_statistics", "sky rms"),
    (pedestal, "sim", "sky_statistics", "mean level"),
    (tilted, "obs", "sky_statistics", "tilt along x, edge to edge"),
    (pixel_noise, "sim", "noise_power", "power at 0.47 cycle/pixel"),
    (smoother, "sim", "noise_power", "power at 0.47 cycle/pixel"),
    (smoother, "obs", "noise_power", "power at 0.47 cycle/pixel"),
    (moved, "obs", "noise_power", "power at 0.47 cycle/pixel"),
    (moved_along_x, "sim", "noise_power", "fine power along x over along y"),
]


@pytest.mark.parametrize(("change", "planted", "check", "reading"), NUISANCES)
def test_a_planted_nuisance_is_named_by_the_right_check(change, planted, check, reading):
    changed = {planted: change}
    sides = [
        side_of(name, seed=seed, change=changed.get(name, lambda x: x))
        for name, seed in (("sim", 11), ("obs", 12))
    ]
    found = audit(*sides)
    assert found.first == check
    assert named(found.check(check), reading).verdict == "red"
    assert found.check("sky_classifier").verdict == "red"
    assert found.verdict == "confounded"


def test_a_planted_difference_is_read_as_large_as_it_is():
    obs = side_of("obs", seed=12, n=200)
    found = audit(side_of("sim", seed=11, n=200, change=pedestal), obs).check("sky_statistics")
    level = named(found, "mean level")
    # In units of the median observed rms, which is RMS less what the plane takes: 2 %.
    assert abs(level.value - 0.2) < 4 * level.error + 0.004
    assert level.error < 0.02
    found = audit(side_of("sim", seed=11, n=200, change=noisier), obs).check("sky_statistics")
    rms = named(found, "sky rms")
    assert abs(rms.value - np.log(1.25)) < 4 * rms.error
    assert rms.error < 0.02


@pytest.mark.parametrize(
    ("leak", "check", "reading"),
    [
        (noisier, "sky_statistics", "rms in the corners of the stamps"),
        (pedestal, "sky_statistics", "darkest tenth in the corners of the stamps"),
        (moved, "noise_power", "power at 0.44 cycle/pixel in the corners of the stamps"),
    ],
)
def test_a_leak_into_the_stamps_alone_shows_in_their_corners(leak, check, reading):
    sim, obs = side_of("sim", seed=13, leak=leak), side_of("obs", seed=14)
    found = audit(sim, obs, same_population=True)
    assert found.first == check
    assert named(found.check(check), reading).verdict == "red"
    # Of different populations the same numbers are reported, because they may be physics.
    reported = audit(sim, obs)
    assert named(reported.check(check), reading).verdict == "red"
    assert reported.first is None


def test_light_of_galaxies_in_the_corners_vetoes_nothing():
    kwargs = {"n": 150, "sky": False}
    sim = side_of("sim", seed=15, **kwargs)
    obs = side_of("obs", seed=16, leak=lambda x: galaxies(x, size=8.0, peak=0.2), **kwargs)
    found = audit(sim, obs)
    statistics = found.check("sky_statistics")
    assert named(statistics, "mean level").verdict == "red"
    assert statistics.verdict == "not computable"
    assert not any(check.verdict == "red" for check in found.checks)
    assert "outskirts" in statistics.notes[0]
    # What no galaxy does still vetoes: one interpolation too many.
    moved_sim = side_of("sim", seed=15, change=moved, **kwargs)
    assert audit(moved_sim, obs).check("noise_power").verdict == "red"


@pytest.mark.parametrize(("empty", "value"), [("sim", 1.0), ("obs", -1.0)])
def test_a_side_without_noise_is_red_and_not_merely_missing(empty, value):
    sides = {name: side_of(name, seed=17 + k, n=60) for k, name in enumerate(("sim", "obs"))}
    flat = image_set(np.full((60, 1, 48, 48), LEVEL, "f4"), "flat")
    sides[empty] = Side(stamps=sides[empty].stamps, sky=flat)
    found = audit(sides["sim"], sides["obs"])
    assert named(found.check("sky_statistics"), "share of images without noise").value == value
    assert found.check("sky_statistics").verdict == "red"
    assert found.first == "sky_statistics"
    assert found.check("sky_classifier").verdict != "clean"


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("sim", "obs", "reason"),
    [
        ({"n": 19}, {"n": 19}, "needed are"),
        ({"side": 23}, {"side": 23}, "23 × 23 pixels, needed are 24"),
        ({"side": 32}, {"side": 48}, "patches of one size"),
        ({"bands": 3}, {"bands": 1}, "the same bands"),
        ({"change": lambda x: np.full_like(x, 0.2)},) * 2 + ("constant on both sides",),
    ],
)
def test_what_cannot_be_computed_says_why(sim, obs, reason):
    sides = [
        side_of(name, **{"seed": 1, "n": 60, **kwargs})
        for name, kwargs in (("sim", sim), ("obs", obs))
    ]
    found = audit(*sides, same_population=True)
    for check in found.checks:
        assert check.verdict == "not computable"
        assert all(reason in reading.reason for reading in check.readings)
    assert found.verdict == "underpowered"


def test_twenty_objects_are_never_clean():
    found = audit(side_of("sim", seed=1, n=20), side_of("obs", seed=2, n=20), same_population=True)
    assert found.check("sky_classifier").verdict == "not computable"
    assert "to train a probe" in found.check("sky_classifier").readings[0].reason
    assert {found.check(name).verdict for name in CHECKS[1:]} == {"underpowered"}


@pytest.mark.parametrize("sky", [True, False])
def test_sky_that_is_all_masked_says_so(sky):
    pixels = galaxies(survey(60, seed=1))
    mask = np.zeros(pixels.shape, bool)
    mask[:50] = True
    broken = image_set(pixels, "sim", mask=mask)
    sim = Side(stamps=broken, sky=broken if sky else None)
    found = audit(sim, side_of("obs", seed=2, n=60, sky=sky))
    for check in found.checks:
        assert check.verdict == "not computable"
        assert "50 of 60 simulated images have next to no pixels" in check.readings[0].reason


def test_stamps_without_corners_leave_the_sky_readable():
    stamps = image_set(np.full((60, 1, 48, 48), 0.5, "f4"), "stamps")
    sides = [Side(stamps=stamps, sky=side_of(n, seed=s, n=60).sky) for n, s in (("a", 1), ("b", 2))]
    found = audit(*sides, same_population=True)
    for check in found.checks:
        corner = [reading for reading in check.readings if "corners" in reading.name]
        assert corner
        assert all("constant" in reading.reason for reading in corner)
        assert check.readings[0].value is not None
        assert check.verdict == "underpowered"


def test_the_smallest_stamps_have_fewer_bins_and_lags():
    sim, obs = (side_of(name, seed=k, side=24, sky=False) for k, name in enumerate(("sim", "obs")))
    found = audit(sim, obs, same_population=True)
    names = [reading.name for reading in found.check("noise_power").readings]
    assert sum("cycle/pixel" in name and "over" not in name for name in names) == 2
    lags = [r for r in found.check("sky_statistics").readings if "autocorrelation" in r.name]
    assert len(lags) == 3
    assert all(r.value is not None for check in found.checks for r in check.readings)


# ---------------------------------------------------------------- form


def test_pictures_are_plain_data_of_the_agreed_form():
    given = Given(
        sim=side_of("sim", seed=1, n=60, bands=3), obs=side_of("obs", seed=2, n=60, bands=3)
    )
    pictures = {}
    for module in (sky_classifier, noise_power, sky_statistics):
        pictures |= module.run(given, rng=np.random.default_rng(0)).pictures
    json.dumps(pictures, allow_nan=False)
    tiles = pictures["patches"]["tiles"]
    assert len(tiles) <= 12
    assert all(np.shape(tile["pixels"]) == (44, 44) for tile in tiles)
    curves = pictures["spectra"]
    lengths = {len(curves[key]) for key in ("x", "ratio", "ratio_low", "ratio_high")}
    assert lengths == {9} == {len(series) for series in curves["series"].values()}
    assert [len(pictures[name]["values"]["sim"]) for name in ("rms", "level")] == [60, 60]
    assert all(row["low"] <= row["value"] <= row["high"] for row in pictures["features"]["rows"])


def test_a_check_repeats_itself_and_knows_its_sides():
    given = Given(sim=side_of("sim", seed=1), obs=side_of("obs", seed=2))
    turned = Given(sim=given.obs, obs=given.sim)
    for module in (noise_power, sky_statistics):
        one, again, other = (
            module.run(g, rng=np.random.default_rng(0)).readings for g in (given, given, turned)
        )
        assert [r.value for r in one] == [r.value for r in again]
        for a, b in zip(one, other, strict=True):
            if a.scale != "auc" and "level" not in a.name and "tilt" not in a.name:
                assert a.value == pytest.approx(-b.value, rel=0.05, abs=1e-12)
