"""Sky patches, their texture, who lends and who borrows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from simreal.match.checks import limited, seam_check, sky_checks
from simreal.match.donors import (
    assign_donors,
    choose_donors,
    imbalance,
    n_donor_groups,
    rebalanced,
    summary,
)
from simreal.match.noise import serpentine_order, sky_patch, systematic
from simreal.match.render import repeat_number
from simreal.match.texture import NoiseCurve, fine_detail, noise_curve, on_sky


def frame(seed, *, side=200, smooth=1.2, level=0.02, rms=0.01):
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(3, side, side)), (0, smooth, smooth))
    return (level + rms * noise / noise.std()).astype(np.float32)


def with_galaxy(sky, radius=12.0):
    grid = np.arange(sky.shape[-1]) - (sky.shape[-1] - 1) / 2
    return sky + (0.8 * np.exp(-np.hypot(grid[:, None], grid) / (radius / 1.7))).astype("f4")


def patch_of(image, half=60, seed=0):
    middle = (image.shape[-1] - 1) / 2
    rng = np.random.default_rng(seed)
    return sky_patch(image, x=middle, y=middle, clearance=24.0, half=half, rng=rng)


def test_patches_keep_the_noise_and_leave_the_galaxy_out():
    for seed in range(4):
        patch = patch_of(with_galaxy(frame(seed)), seed=seed)
        assert patch.shape == (3, 120, 120)
        # 14,400 pixels correlated over about 20 each: 2.7 % on the rms, three sigma allowed.
        assert patch.std() == pytest.approx(0.01, rel=0.08)
        assert patch.mean() == pytest.approx(0.02, abs=0.002)
        assert patch.max() < 0.02 + 7 * 0.01


def test_patches_have_no_seam_and_the_check_sees_one():
    whole = np.stack([patch_of(with_galaxy(frame(s)), seed=s)[:, 28:92, 28:92] for s in range(60)])
    assert seam_check(whole, np.random.default_rng(0)).passed
    # Unblended halves of different frames: correlation breaks at the seam.
    broken = whole.copy()
    broken[:, :, :, 32:] = np.roll(whole, 1, axis=0)[:, :, :, :32]
    assert seam_check(broken, np.random.default_rng(0)).passed is False


def test_corners_of_different_level_are_brought_together():
    image = with_galaxy(frame(0))
    image[:, :, 100:] += 0.05
    patch = patch_of(image)
    halves = [patch[:, :, :55].mean(), patch[:, :, 65:].mean()]
    assert abs(halves[0] - halves[1]) < 0.003


def test_a_patch_depends_on_its_stream_alone():
    image = with_galaxy(frame(1))
    assert np.array_equal(patch_of(image, seed=5), patch_of(image, seed=5))
    assert not np.array_equal(patch_of(image, seed=5), patch_of(image, seed=6))


@given(st.integers(1, 60), st.integers(1, 150), st.integers(0, 999))
def test_systematic_draws_are_even(n, k, seed):
    drawn = systematic(n, k, np.random.default_rng(seed))
    counts = np.bincount(drawn, minlength=n)
    assert len(drawn) == k
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 200), st.integers(1, 3), st.integers(0, 999))
def test_serpentine_order_is_a_permutation(n, k, seed):
    order = serpentine_order(np.random.default_rng(seed).random((n, k)))
    assert sorted(order.tolist()) == list(range(n))


def features(n, seed=0):
    rng = np.random.default_rng(seed)
    rms = np.exp(rng.normal(0, 0.4, n))
    level = rms * rng.uniform(0.5, 3, n)
    power = rms[:, None] ** 2 * np.exp(rng.normal(0, 0.5, (n, 9)))
    return np.column_stack([rms, level, rng.uniform(2, 5, n), power])


def test_donors_are_balanced_better_than_by_chance():
    made = features(800)
    groups = np.array([f"g{k // 2}" for k in range(800)])
    picked = choose_donors(groups, made, 160, np.random.default_rng(0))
    assert len(np.unique(groups[picked])) == 160
    # Whole groups are lent: no group is on both sides.
    assert not set(groups[picked]) & set(groups[~picked])
    rng = np.random.default_rng(1)
    chance = []
    for _ in range(50):
        lent = np.isin(groups, rng.choice(np.unique(groups), 160, replace=False))
        chance.append(imbalance(made[lent], summary(made[~lent])))
    assert imbalance(made[picked], summary(made[~picked])) < np.percentile(chance, 10)


def test_assignment_is_balanced_and_even():
    made, reference = features(300, seed=1), features(900, seed=2)
    pick = assign_donors(made, reference, 700, np.random.default_rng(0))
    counts = np.bincount(pick, minlength=300)
    assert (counts.min(), counts.max()) == (2, 3)
    fewer = assign_donors(made, reference, 100, np.random.default_rng(0))
    assert len(np.unique(fewer)) == 100


def test_rebalancing_never_makes_it_worse():
    made, reference = features(300, seed=1), features(900, seed=2)
    pick = np.arange(100)
    better = rebalanced(pick, made, reference, np.random.default_rng(0))
    wanted = summary(reference)
    assert imbalance(made[better], wanted) < imbalance(made[pick], wanted)
    assert len(np.unique(better)) == 100
    assert pick.tolist() == list(range(100))


@given(st.integers(2, 3000), st.integers(1, 3000), st.floats(0.05, 0.8))
def test_some_are_left_to_be_scored(n_obs, n_sim, fraction):
    donors = n_donor_groups(n_obs, n_sim, fraction)
    assert 1 <= donors < n_obs
    if 0.6 * n_obs >= 2 * n_sim and n_obs > 20:
        assert n_obs - donors >= 2 * n_sim - 1


def test_repeats_count_up():
    assert repeat_number(np.array([3, 3, 1, 3, 1])).tolist() == [0, 1, 0, 2, 1]


def sky_stamps(n, seed, rms=0.01):
    return np.stack([frame(seed + k, side=64, rms=rms) for k in range(n)])


def held(one, other, **changes):
    return sky_checks(one, other, injected=False, rng=np.random.default_rng(0), **changes)


def test_equal_skies_pass_and_different_ones_fail():
    one, other = sky_stamps(300, 0), sky_stamps(300, 1000)
    assert all(check.passed for check in held(one, other))
    louder = held(sky_stamps(300, 0, rms=0.0106), other)
    failed = {check.name for check in louder if check.passed is False}
    assert "sky as it came: rms, median" in failed
    shifted = held(one + 0.0005, other)
    assert [c.name for c in shifted if c.passed is False] == ["sky as it came: mean"]


def test_few_patches_leave_a_check_open():
    # Two halves of one survey whose noise varies from frame to frame, as the real one's does.
    varied = sky_stamps(40, 0) * np.random.default_rng(0).uniform(0.5, 1.5, (40, 1, 1, 1))
    outcomes = [check.passed for check in held(varied[:20], varied[20:])]
    assert None in outcomes
    assert outcomes.count(False) <= 1


def test_power_ratio_sees_a_change_of_correlation():
    one = sky_stamps(100, 0)
    other = np.stack([frame(k, side=64, smooth=1.35) for k in range(100)])
    power = {c.name.split(", ")[-1]: c for c in held(one, other) if "power" in c.name}
    assert power["highest bin"].value > 1.05
    assert power["lowest bin"].value < 0.95
    assert power["highest bin"].passed is False


def test_limited_checks():
    assert limited("x", 1.0, 1.0, None).passed
    assert not limited("x", float("nan"), None, 1.0).passed


@settings(max_examples=10)
@given(st.floats(0.005, 0.05))
def test_fine_detail_of_white_noise_is_its_rms(rms):
    noise = np.random.default_rng(0).normal(0, rms, (10, 3, 64, 64))
    assert fine_detail(noise).std() == pytest.approx(rms, rel=0.02)


def displayed(light, noise):
    """A composite whose black lies near the sky, and which compresses what is bright."""
    return np.arcsinh(3 * np.maximum(light + noise + 0.005, 0)) / 3


def test_texture_on_light_follows_the_survey():
    rng = np.random.default_rng(0)
    grid = np.arange(64) - 31.5
    light = 0.5 * np.exp(-((grid[:, None] / 14) ** 2 + (grid / 14) ** 2))[None, None]
    noise = gaussian_filter(rng.normal(size=(3, 120, 3, 64, 64)), (0, 0, 0, 1, 1))
    noise *= 0.02 / noise.std()
    survey, empty = displayed(light, noise[0]), displayed(0, noise[1])
    curve = noise_curve(survey.astype("f4"), empty.astype("f4"))
    # A part of the noise is clipped on empty sky: it shows more on faint light, and less on
    # bright light, where the arcsinh is flat.
    assert curve.ratio[:, 1].mean() > 1.01
    assert curve.ratio[:, -1].max() < 0.9
    ideal = np.broadcast_to(displayed(light, 0) - displayed(0, 0), survey.shape).astype("f4")
    plain = ideal + displayed(0, noise[2])
    made = on_sky(ideal, displayed(0, noise[2]).astype("f4"), curve, rng)
    radius = np.hypot(grid[:, None], grid)[1:-1, 1:-1]
    for inner, outer in ((0, 8), (8, 14), (14, 20), (20, 28), (28, 40)):
        ring = (radius >= inner) & (radius < outer)
        want, got, simple = (fine_detail(s)[..., ring].std() for s in (survey, made, plain))
        # Bins of brightness are up to a factor of two wide.
        assert got == pytest.approx(want, rel=0.15)
        assert abs(got - want) < abs(simple - want) + 0.1 * want


def test_a_flat_curve_adds_the_sky_as_it_is():
    curve = NoiseCurve(brightness=np.zeros(1), ratio=np.ones((3, 1)))
    light, sky = np.full((2, 3, 32, 32), 0.2, "f4"), sky_stamps(2, 0)[:, :, :32, :32]
    assert np.allclose(on_sky(light, sky, curve, np.random.default_rng(0)), light + sky, atol=1e-6)
