"""Laws of precision, recall, density and coverage: known answers and what each is blind to."""

import numpy as np
import pytest

from simreal.compare.manifold import null_coverage, readings


def read(obs, sim, k=5):
    points = np.concatenate([obs, sim])
    is_sim = np.arange(len(points)) >= len(obs)
    return readings(points, is_sim, ~is_sim, k=k)


@pytest.mark.parametrize(
    ("n", "m", "k", "expected"),
    [
        (1000, 1000, 5, 0.9690),
        (1000, 1000, 3, 0.8754),
        (1000, 500, 5, 0.8690),
        (500, 1000, 5, 0.9960),
    ],
)
def test_coverage_of_a_population_by_itself(n, m, k, expected):
    """1 - Π (N - i)/(N + M - i), whatever the population: here a lopsided one.

    Balls that hold nothing come in clumps, so the spread is taken from the 12 draws."""
    assert null_coverage(n, m, k=k) == pytest.approx(expected, abs=5e-5)
    rng = np.random.default_rng([n, m, k])
    found = [
        read(rng.exponential(size=(n, 4)), rng.exponential(size=(m, 4)), k=k).coverage
        for _ in range(12)
    ]
    assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / 12**0.5 + 1e-4


@pytest.mark.parametrize(
    ("d", "expected"),
    [(16, (0.873, 0.872, 1.001, 0.968)), (64, (0.715, 0.714, 1.024, 0.973))],
)
def test_what_identical_gaussians_read(d, expected):
    """n = 2,000, k = 5. Over draws the spread is .008 for precision and recall at d = 16 (.013 at
    64), .02 for density (hubs), .004 for coverage; ours is a mean of 4, the published a single
    draw: three of its spreads."""
    rng = np.random.default_rng(d)
    found = [read(*rng.normal(size=(2, 2000, d)).astype(np.float32)) for _ in range(4)]
    values = [[r.precision, r.recall, r.density, r.coverage] for r in found]
    for value, known, spread in zip(
        np.mean(values, axis=0), expected, (0.013, 0.013, 0.03, 0.004), strict=True
    ):
        assert value == pytest.approx(known, abs=3 * spread)
    assert np.mean(values, axis=0)[2] == pytest.approx(1, abs=0.05)


def test_each_sees_what_its_name_says():
    """Too narrow a simulation has precision and density but no recall; too broad, the reverse."""
    rng = np.random.default_rng(0)
    obs, sim = rng.normal(size=(2, 600, 8))
    same, narrow, broad = read(obs, sim), read(obs, 0.5 * sim), read(obs, 2 * sim)
    assert narrow.precision > same.precision > broad.precision
    assert narrow.density > 1.5 > 0.5 > broad.density
    assert broad.recall > same.recall > narrow.recall
    assert narrow.coverage < same.coverage
    assert broad.coverage < same.coverage


def test_more_shift_is_less_of_everything():
    rng = np.random.default_rng(0)
    obs, sim = rng.normal(size=(2, 500, 6))
    found = [read(obs, sim + x * np.eye(6)[0]) for x in (0.0, 1.0, 2.0, 3.0, 4.0)]
    for name in ("precision", "recall", "density", "coverage"):
        values = [getattr(one, name) for one in found]
        assert (np.diff(values) < 0).all(), (name, values)


def test_turning_moving_and_scaling_both_sides_changes_nothing():
    """Membership is by comparison; no pair of generic points is within rounding of a surface."""
    rng = np.random.default_rng(0)
    obs, sim = rng.normal(size=(2, 200, 5))
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    for change in (lambda x: x @ turn, lambda x: x + 3, lambda x: 10 * x, lambda x: x[::-1]):
        assert read(change(obs), change(sim)) == read(obs, sim)
