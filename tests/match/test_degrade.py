"""Every rung of every ladder of degradations, on stamps that look like galaxies."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError, UsageError
from simreal.match.degrade import KINDS, degrade, dropped_rows, pixel_permuted


def stamps(n=60, bands=3, size=48, seed=0):
    """Return noisy discs of many sizes and brightnesses in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    scale, ratio = rng.uniform(2, 6, (n, 1, 1, 1)), rng.uniform(0.4, 1, (n, 1, 1, 1))
    peak = rng.uniform(0.2, 0.9, (n, bands, 1, 1))
    light = 0.05 + peak * np.exp(-np.hypot(x, y / ratio) / scale)
    return np.clip(light + rng.normal(0, 0.01, light.shape), 0, 1).astype(np.float32)


STAMPS = stamps()
STAMPS.flags.writeable = False


def rng():
    return np.random.default_rng(7)


def test_there_are_eight_kinds_or_more_with_six_rungs_or_more():
    assert len(KINDS) >= 8
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.levels[0] == 0
        assert len(kind.levels) >= 7
        assert (np.diff(kind.levels) > 0).all()
        assert kind.levels[-1] <= kind.maximum
        assert kind.meaning
        assert kind.unit


@pytest.mark.parametrize("kind", KINDS)
def test_the_ladder_rises_from_the_original(kind):
    change = []
    for severity in KINDS[kind].levels:
        found = degrade(STAMPS, kind, severity, rng=rng())
        assert found.images.dtype == np.float32
        assert found.images.shape == STAMPS.shape
        assert found.images.min() >= 0
        assert found.images.max() <= 1
        change.append(float(((found.images.astype(np.float64) - STAMPS) ** 2).mean()))
    assert change[0] == 0
    assert (np.diff(change) > 0).all(), change


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_generator_gives_the_same_bits(kind):
    severity = KINDS[kind].levels[3]
    one, other = (degrade(STAMPS, kind, severity, rng=rng()) for _ in range(2))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.rows, other.rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_any_number_of_bands_and_no_images_at_all(kind, bands):
    images = stamps(6, bands)
    if not KINDS[kind].applies_to(images):
        with pytest.raises(NotComputableError, match="needs 2 bands or more, got 1"):
            degrade(images, kind, 0.1, rng=rng())
        return
    severity = KINDS[kind].levels[2]
    assert degrade(images, kind, severity, rng=rng()).images.shape == images.shape
    assert degrade(images[:0], kind, severity, rng=rng()).images.shape == images[:0].shape


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"mode_drop", "contamination", "noise"}))
def test_a_stamp_is_degraded_alone(kind):
    severity = KINDS[kind].levels[3]
    whole = degrade(STAMPS, kind, severity, rng=rng()).images
    # The first stamps draw the first random numbers. Transforms of another padding differ by
    # the rounding of float32.
    alone = degrade(STAMPS[:9], kind, severity, rng=rng()).images
    np.testing.assert_allclose(alone, whole[:9], atol=2e-6)


def test_names_and_severities_are_checked():
    with pytest.raises(UsageError, match="did you mean 'noise'"):
        degrade(STAMPS, "nois", 1, rng=rng())
    with pytest.raises(UsageError, match=r"got severity -1, allowed is 0 to inf \[sky rms\]"):
        degrade(STAMPS, "noise", -1, rng=rng())
    with pytest.raises(UsageError, match="allowed is 0 to 1"):
        degrade(STAMPS, "contamination", 1.2, rng=rng())
    with pytest.raises(UsageError, match="got severity nan"):
        degrade(STAMPS, "psf", float("nan"), rng=rng())


def test_the_psf_grows_by_the_part_asked_for():
    y, x = np.mgrid[:65, :65] - 32
    own = 4.0
    star = np.exp(-0.5 * (x**2 + y**2) / (own / 2.3548) ** 2)[None, None].astype(np.float32)
    for severity in (0.25, 1.0, 2.0):
        wide = degrade(star, "psf", severity, rng=rng(), psf_fwhm=own).images[0, 0]
        sigma = np.sqrt((wide * x**2).sum() / wide.sum())
        # Wings beyond the kernel's reach of three FWHM hold less than 1e-4 of a Gaussian.
        assert sigma * 2.3548 == pytest.approx(own * (1 + severity), rel=0.01)


def test_noise_has_the_rms_asked_for():
    flat = np.random.default_rng(1).normal(0.5, 0.02, (20, 1, 64, 64)).astype(np.float32)
    noisy = degrade(flat, "noise", 2.0, rng=rng()).images
    # The rms of the border's 1100 pixels is known to 2 % per stamp, that of the whole better.
    assert (noisy - flat).std() == pytest.approx(0.04, rel=0.02)


def test_pixelation_keeps_the_light_and_flattens_the_cells():
    coarse = degrade(STAMPS, "pixelation", 3.0, rng=rng()).images
    np.testing.assert_allclose(coarse.mean((2, 3)), STAMPS.mean((2, 3)), rtol=1e-5)
    cells = coarse.reshape(*STAMPS.shape[:2], 12, 4, 12, 4)
    assert np.ptp(cells, axis=(3, 5)).max() < 1e-6


def test_quantisation_leaves_as_many_levels_as_bits():
    for severity, levels in ((4.0, 16), (7.0, 2)):
        coarse = degrade(STAMPS, "quantisation", severity, rng=rng()).images
        assert len(np.unique(coarse)) <= levels


def test_dimming_and_colour_leave_the_sky_where_it_is():
    border = np.s_[..., :3, :]
    for kind in ("dimming", "colour"):
        changed = degrade(STAMPS, kind, 1.0, rng=rng()).images
        assert abs(np.median(changed[border] - STAMPS[border])) < 0.002
    bands = degrade(STAMPS, "colour", 0.5, rng=rng()).images
    light, before = (a.mean((0, 2, 3)) - 0.05 for a in (bands, STAMPS))
    assert light[0] < before[0]
    assert light[2] > before[2]


def test_stretching_changes_axis_ratios_and_no_surface_brightness():
    y, x = np.mgrid[:65, :65] - 32
    disc = np.exp(-0.5 * (x**2 + y**2) / 4.0**2)[None, None].astype(np.float32)
    found = degrade(np.repeat(disc, 8, axis=0), "stretch", 1.0, rng=rng()).images[:, 0]
    total = found.sum((1, 2))
    np.testing.assert_allclose(total, 2 * disc.sum(), rtol=0.01)
    np.testing.assert_allclose(found.max((1, 2)), 1, atol=1e-3)
    xx, yy, xy = ((found * w).sum((1, 2)) / total for w in (x * x, y * y, x * y))
    root = np.hypot((xx - yy) / 2, xy)
    ratio = np.sqrt(((xx + yy) / 2 - root) / ((xx + yy) / 2 + root))
    np.testing.assert_allclose(ratio, 0.5, rtol=0.01)
    # Directions are drawn, not all the same.
    assert np.ptp(np.arctan2(xy, xx - yy)) > 0.5


def test_the_brightest_are_dropped_and_the_rest_keep_their_places():
    light = STAMPS.mean((1, 2, 3))
    found = degrade(STAMPS, "mode_drop", 0.3, rng=rng())
    np.testing.assert_array_equal(found.images, STAMPS[found.rows])
    moved = found.rows != np.arange(60)
    assert moved.sum() == 18
    # Means include the sky, luminances above sky do not: the orders agree but for near ties.
    assert np.sort(light)[-18:].mean() - light[moved].mean() < 0.01
    assert not set(found.rows[moved]) & set(np.flatnonzero(moved))


def test_a_class_is_dropped_at_random_within():
    key = np.repeat([0.0, 1.0], 50)
    rows = dropped_rows(key, 0.25, rng=rng())
    gone = np.flatnonzero(rows != np.arange(100))
    assert len(gone) == 25
    assert gone.min() >= 50
    assert 0.2 < (gone < 75).mean() < 0.8


def test_contamination_replaces_a_share_and_more_of_it_keeps_the_first():
    few, many = (degrade(STAMPS, "contamination", s, rng=rng()).images for s in (0.1, 0.4))
    hit_few, hit_many = ((a != STAMPS).any((1, 2, 3)) for a in (few, many))
    assert (hit_few.sum(), hit_many.sum()) == (6, 24)
    assert (hit_few <= hit_many).all()


def test_permuted_pixels_keep_their_histogram_and_colours():
    shuffled = pixel_permuted(STAMPS, rng())
    before, after = (a.reshape(60, 3, -1).transpose(0, 2, 1) for a in (STAMPS, shuffled))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[np.lexsort(one.T)], other[np.lexsort(other.T)])
    # Neighbouring pixels no longer know of each other: a correlation of 0 within 4 / sqrt(n).
    lag = [np.corrcoef(a[..., 1:].ravel(), a[..., :-1].ravel())[0, 1] for a in (
        STAMPS - STAMPS.mean((2, 3), keepdims=True),
        shuffled - shuffled.mean((2, 3), keepdims=True),
    )]  # fmt: skip
    assert lag[0] > 0.9
    assert abs(lag[1]) < 4 / np.sqrt(shuffled.size / 3)
