import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from simreal.compare.regions import Placed, fisher_p_values, log2_ratio, region_table

CENTRES = np.array([[0.0], [10.0], [20.0]], dtype=np.float32)


def placed(name, labels):
    labels = np.array(labels)
    offsets = np.linspace(0, 1, len(labels))
    return Placed(
        points=(CENTRES[labels] + offsets[:, None]).astype(np.float32),
        labels=labels,
        ids=np.array([f"{name}{i:03d}" for i in range(len(labels))]),
        groups=np.array([f"{name}{i // 2:03d}" for i in range(len(labels))]),
    )


def table(counts_sim, counts_obs, *, claims=True):
    sim = placed("s", np.repeat([0, 1, 2], counts_sim))
    obs = placed("o", np.repeat([0, 1, 2], counts_obs))
    return region_table(
        np.array(counts_sim),
        np.array(counts_obs),
        centres=CENTRES,
        sim=sim,
        obs=obs,
        claims=claims,
    )


def test_a_missing_an_overfilled_and_a_nearly_empty_region():
    missing, over, empty = table([0, 97, 3], [40, 58, 2])
    assert (missing.direction, over.direction, empty.direction) == (
        "missing",
        "over-produced",
        "empty",
    )
    assert missing.high < 0 < over.low
    assert missing.p_adjusted < 1e-10
    assert (missing.name, missing.n_sim, missing.n_obs) == ("region 1", 0, 40)
    assert missing.sim_ids == ()


def test_alike_is_consistent():
    assert {region.direction for region in table([30, 40, 30], [28, 44, 28])} == {"consistent"}


def test_no_claim_is_made_of_curated_samples():
    regions = table([0, 96, 4], [40, 57, 3], claims=False)
    assert {region.direction for region in regions} == {"not claimed"}


def test_examples_are_the_nearest_of_each_group():
    region = table([14, 10, 10], [10, 14, 10])[0]
    assert region.sim_ids == tuple(f"s{i:03d}" for i in range(0, 12, 2))
    assert len(region.obs_ids) == 5


def test_p_is_the_exact_hypergeometric_one():
    """Sum over all counts no more likely than the one at hand, given the margins."""
    counts_sim, counts_obs = np.array([3, 17]), np.array([9, 11])
    support = np.arange(0, 13)
    chance = hypergeom(40, 12, 20).pmf(support)
    expected = chance[chance <= chance[3] * (1 + 1e-7)].sum()
    assert fisher_p_values(counts_sim, counts_obs)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.1), (0.05, 0.2), (0.3, 0.15), (0.02, 0.17)])
def test_the_interval_of_the_ratio_covers(p, q):
    """Exact coverage at n = m = 100, summed over all outcomes: 0.93 to 0.995."""
    n = 100
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    weight = binom(n, p).pmf(x) * binom(n, q).pmf(y)
    keep = weight > 1e-9
    truth = np.log2(p / q)
    inside = 0.0
    for a, b, w in zip(x[keep], y[keep], weight[keep], strict=True):
        _, low, high = log2_ratio(np.array([a, n - a]), np.array([b, n - b]))
        inside += w * (low[0] <= truth <= high[0])
    assert 0.93 <= inside <= 0.995


def test_swapping_the_sides_turns_the_ratio_round():
    a, b = np.array([3, 40, 7]), np.array([12, 20, 18])
    ratio, low, high = log2_ratio(a, b)
    back, back_low, back_high = log2_ratio(b, a)
    np.testing.assert_allclose(ratio, -back)
    np.testing.assert_allclose(low, -back_high)
    np.testing.assert_allclose(high, -back_low)
