"""Known answers of the kernel metrics: MMD², the kernel distance, the energy distance."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from simreal.compare.kernels import Kernel, cubic, gaussian, minus_distance, unbiased_discrepancy
from simreal.compare.metrics import energy, kid, mmd_median


def z_score(samples, truth):
    samples = np.asarray(samples)
    return (samples.mean() - truth) / (samples.std(ddof=1) / len(samples) ** 0.5)


def drawn(kernel, n_draws, n, m, *, d, shift=0.0, v1=1.0, v2=1.0, seed=0):
    """The statistic of N(0, v1 I) against N(shift e1, v2 I), for independent pairs of samples."""
    rng = np.random.default_rng([seed, n, m, d])
    found = []
    for _ in range(n_draws):
        points = rng.standard_normal((n + m, d), dtype=np.float32)
        points[:n] *= v1**0.5
        points[n:] *= v2**0.5
        points[n:, 0] += shift
        is_sim = (np.arange(n + m) >= n)[None]
        found.append(unbiased_discrepancy(points, is_sim, ~is_sim, kernel)[0, 0])
    return found


# ------------------------------------------------------------------ MMD²


def gaussian_mmd(d, s, shift, v1=1.0, v2=1.0):
    """MMD² of N(0, v1 I) and N(shift e1, v2 I) under exp(-|x - y|² / 2 s²)."""

    def overlap(width, away=0.0):
        total = s**2 + width
        return (s**2 / total) ** (d / 2) * math.exp(-(away**2) / (2 * total))

    return overlap(2 * v1) + overlap(2 * v2) - 2 * overlap(v1 + v2, shift)


@pytest.mark.parametrize(
    ("d", "s", "shift", "v1", "v2", "expected"),
    [
        (1, 1.0, 1.0, 1.0, 1.0, 0.177268),
        (2, 1.0, 1.0, 1.0, 1.0, 0.102346),
        (4, 2.0, 1.0, 1.0, 1.0, 0.0710716),
        (10, 10**0.5, 1.0, 1.0, 1.0, 0.032802),
        (256, 16.0, 1.0, 1.0, 1.0, 0.001430),
        (4, 2.0, 0.5, 0.5, 2.0, None),
        (1, 0.3, 0.0, 1.0, 3.0, None),
    ],
)
def test_mmd_of_two_normals(d, s, shift, v1, v2, expected):
    """A published figure where there is one, the closed form everywhere: |z| < 3 over 60 pairs."""
    truth = gaussian_mmd(d, s, shift, v1, v2)
    if expected is not None:
        assert truth == pytest.approx(expected, abs=6e-7)
    samples = drawn(gaussian(np.array([s])), 60, 150, 120, d=d, shift=shift, v1=v1, v2=v2)
    assert abs(z_score(samples, truth)) < 3


# ------------------------------------------------------------------ the kernel distance


def cubic_mmd_of_a_shift(d, shift):
    """MMD² of N(0, I) and N(ν, I) under (<x, y>/d + 1)³, m = |ν|².

    With a = <x, y>, from the moments of a normal: for two draws around ν, E a = m,
    E a² = d + 2m + m², E a³ = m³ + 6 m² + (3d + 6) m; for two around 0, E a² = d and the others
    vanish; for one of each E a² = d + m and the others vanish.
    """
    m = shift**2

    def mean(first, second, third):
        return 1 + 3 * first / d + 3 * second / d**2 + third / d**3

    around = mean(m, d + 2 * m + m**2, m**3 + 6 * m**2 + (3 * d + 6) * m)
    return around + mean(0, d, 0) - 2 * mean(0, d + m, 0)


@pytest.mark.parametrize(("d", "shift"), [(1, 0.5), (4, 1.0), (16, 1.0), (16, 3.0)])
def test_kernel_distance_of_a_shift(d, shift):
    samples = drawn(cubic(d), 100, 150, 120, d=d, shift=shift)
    assert abs(z_score(samples, cubic_mmd_of_a_shift(d, shift))) < 3


def test_kernel_distance_sees_three_moments_and_no_fourth():
    """±1 with equal chance has the first three moments of N(0, 1) and a fourth of 1, not 3."""
    rng = np.random.default_rng(0)
    blind, seen = [], []
    for _ in range(60):
        obs = rng.normal(size=(100, 1))
        sim = rng.choice([-1.0, 1.0], size=(100, 1))
        blind.append(kid.statistic(obs, sim, rng=rng))
        seen.append(energy.statistic(obs, sim, rng=rng))
    assert abs(z_score(blind, 0)) < 3
    assert z_score(seen, 0) > 10


# ------------------------------------------------------------------ the energy distance


def mean_length(d):
    """E|x| for x of N(0, I) in d dimensions."""
    return math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))


@pytest.mark.parametrize(("d", "v1", "v2"), [(1, 1.0, 4.0), (3, 1.0, 2.0), (16, 1.0, 1.3)])
def test_energy_distance_of_two_widths(d, v1, v2):
    truth = mean_length(d) * (2 * (v1 + v2) ** 0.5 - (2 * v1) ** 0.5 - (2 * v2) ** 0.5)
    samples = drawn(minus_distance(), 100, 150, 120, d=d, v1=v1, v2=v2)
    assert abs(z_score(samples, truth)) < 3


@pytest.mark.parametrize("shift", [0.5, 2.0, 10.0])
def test_energy_distance_of_a_shift_on_a_line(shift):
    """X - Y is N(shift, 2), whose absolute value has a known mean."""
    s = 2**0.5
    folded = s * (2 / math.pi) ** 0.5 * math.exp(-(shift**2) / 4) + shift * (
        1 - 2 * norm.cdf(-shift / s)
    )
    truth = 2 * folded - 2 * s * (2 / math.pi) ** 0.5
    samples = drawn(minus_distance(), 100, 150, 120, d=1, shift=shift)
    assert abs(z_score(samples, truth)) < 3


def by_definition(kernel, obs, sim):
    n, m = len(obs), len(sim)
    within = [kernel(x, x) for x in (obs, sim)]
    return (
        (within[0].sum() - np.trace(within[0])) / (n * (n - 1))
        + (within[1].sum() - np.trace(within[1])) / (m * (m - 1))
        - 2 * kernel(obs, sim).mean()
    )


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 23)])
def test_energy_distance_is_two_kinds_of_mmd(n, m):
    """MMD² of -|x - y|, and twice that of (|x| + |y| - |x - y|)/2, which is positive definite."""
    rng = np.random.default_rng(n + m)
    obs, sim = rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) + 0.5

    def of_lengths(x, y):
        lengths = np.linalg.norm(x, axis=1)[:, None] + np.linalg.norm(y, axis=1)
        return (lengths - cdist(x, y)) / 2

    found = energy.statistic(obs, sim, rng=rng)
    assert found == pytest.approx(by_definition(lambda x, y: -cdist(x, y), obs, sim), abs=1e-10)
    assert found == pytest.approx(2 * by_definition(of_lengths, obs, sim), abs=1e-10)


# ------------------------------------------------------------------ of all of them


KERNELS = {
    "mmd": gaussian(np.array([2.8])),
    "kid": cubic(8),
    "energy": minus_distance(),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("n", "m"), [(80, 80), (100, 30)])
def test_zero_on_average_where_nothing_differs(name, n, m):
    assert abs(z_score(drawn(KERNELS[name], 200, n, m, d=8, seed=1), 0)) < 3


@pytest.mark.parametrize("name", KERNELS)
def test_a_constant_added_to_a_kernel_changes_nothing(name):
    """Which is why one may be subtracted."""
    kernel = KERNELS[name]
    lifted = Kernel(kernel.factors, tuple(lambda block, f=f: f(block) + 7 for f in kernel.forms))
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 8))
    sim, obs = (np.arange(60) < 20)[None], (np.arange(60) >= 35)[None]
    for v, u in ((sim, obs), (sim, ~sim)):
        plain, other = (unbiased_discrepancy(points, v, u, k) for k in (kernel, lifted))
        np.testing.assert_allclose(plain, other, atol=1e-12)


def test_far_apart_mmd_is_full_and_the_others_grow():
    """MMD² saturates below 2; the energy distance goes on as the shift, the kernel distance as
    its sixth power at least (its third would be 8)."""
    obs = np.random.default_rng(0).normal(size=(50, 3))
    rng = np.random.default_rng(0)
    far = [
        (
            mmd_median.statistic(obs, obs + x, rng=rng, bandwidth=1.7),
            energy.statistic(obs, obs + x, rng=rng),
            kid.statistic(obs, obs + x, rng=rng),
        )
        for x in (50.0, 100.0)
    ]
    assert far[1][0] == pytest.approx(far[0][0], rel=1e-9)
    assert far[0][0] < 2
    assert far[1][1] == pytest.approx(2 * far[0][1], rel=0.05)  # 2 δ, less the widths
    assert far[1][2] > 32 * far[0][2]
