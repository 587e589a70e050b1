"""What the two per-object scores read for known defects, and that neither alone suffices."""

import numpy as np
import pytest

from simreal.compare.objects import Population, density_ratio, off_support

D, N = 16, 4000


def gaussian(n, rng, *, scale=1.0, shift=0.0):
    points = scale * rng.normal(size=(n, D))
    points[:, 0] += shift
    return points


def clusters(n, rng, *, weight):
    """Two clusters, 5.5 apart: the table does not say how far, and at this distance its numbers
    are met."""
    points = rng.normal(size=(n, D))
    points[:, 0] += np.where(np.arange(n) < round(weight * n), 0.0, 5.5)
    return points


def with_novelty(n, rng):
    points = rng.normal(size=(n, D))
    points[: n // 5, 0] += 8
    return points


#: Simulated and observed population, then the published shares: density ratio of simulated and of
#: observed objects, off-support share of simulated ones.
ROWS = {
    "null": (gaussian, {}, gaussian, {}, (0.047, 0.042, 0.046)),
    "scale 0.7": (gaussian, {"scale": 0.7}, gaussian, {}, (0.954, 0.004, 0.000)),
    "scale 0.9": (gaussian, {"scale": 0.9}, gaussian, {}, (0.274, 0.008, 0.010)),
    "scale 1.1": (gaussian, {"scale": 1.1}, gaussian, {}, (0.007, 0.236, 0.156)),
    "scale 1.4": (gaussian, {"scale": 1.4}, gaussian, {}, (0.003, 0.939, 0.622)),
    "shift 1": (gaussian, {"shift": 1.0}, gaussian, {}, (0.157, 0.174, 0.078)),
    "shift 2": (gaussian, {"shift": 2.0}, gaussian, {}, (0.473, 0.471, 0.138)),
    "weights .9 and .5": (
        clusters,
        {"weight": 0.9},
        clusters,
        {"weight": 0.5},
        (0.235, 0.283, 0.048),
    ),
    "weights .9 and .1": (
        clusters,
        {"weight": 0.9},
        clusters,
        {"weight": 0.1},
        (0.719, 0.730, 0.230),
    ),
    "novel cluster": (with_novelty, {}, gaussian, {}, (0.191, 0.116, 0.239)),
}


def shares(name, seed):
    """One draw: 4,000 against 4,000 for the ratio, 4,000 + 4,000 observed for the support."""
    of_sim, sim_options, of_obs, obs_options, _ = ROWS[name]
    rng = np.random.default_rng([seed, len(name)])
    sim = Population.of(of_sim(N, rng, **sim_options), "sim")
    obs = Population.of(of_obs(N, rng, **obs_options), "obs")
    twice = Population.of(of_obs(2 * N, rng, **obs_options), "obs")
    return np.array(
        [
            density_ratio(sim, obs, rng=rng).fraction,
            density_ratio(obs, sim, rng=rng).fraction,
            off_support(sim, twice, rng=rng).fraction,
        ]
    )


@pytest.mark.parametrize("name", ["null", "scale 0.7", "scale 1.4", "novel cluster"])
def test_published_shares(name):
    """Within .03 of the published draw; over six draws of these rows the spread is below .015."""
    assert np.abs(shares(name, 0) - ROWS[name][-1]).max() <= 0.03


@pytest.mark.slow  # 30 draws of a second or three
@pytest.mark.parametrize("name", ROWS)
def test_all_published_shares(name):
    """The mean of three draws within .03 of the published single draw.

    The share of shifted objects scatters by .02 from draw to draw (six draws), and the published
    .157 is low by two of that: for it alone .06."""
    found = np.mean([shares(name, seed) for seed in range(3)], axis=0)
    allowed = np.full(3, 0.03)
    if name == "shift 1":
        allowed[0] = 0.06
    assert (np.abs(found - ROWS[name][-1]) <= allowed).all(), found


def test_neither_score_alone_suffices():
    """Too narrow: the ratio calls nearly all out of distribution, the support none. Planted
    novelty: the support names the novel ones, and the ratio cannot tell them from over-dense."""
    rng = np.random.default_rng(0)
    obs = Population.of(rng.normal(size=(1600, D)), "obs")
    narrow = Population.of(0.7 * rng.normal(size=(800, D)), "sim")
    assert density_ratio(narrow, obs, rng=rng).fraction > 0.85
    assert off_support(narrow, obs, rng=rng).fraction < 0.02
    novel = Population.of(with_novelty(800, rng), "sim")
    named = off_support(novel, obs, rng=rng).p_adjusted <= 0.05
    assert named[:160].mean() > 0.9
    assert named[160:].mean() < 0.05


def test_the_two_directions_answer_different_questions():
    """A class the sky has and the simulation lacks is seen from the sky only."""
    rng = np.random.default_rng(1)
    obs = Population.of(with_novelty(1000, rng), "obs")
    sim = Population.of(rng.normal(size=(1000, D)), "sim")
    assert off_support(obs, sim, rng=rng).fraction > 0.2
    assert off_support(sim, obs, rng=rng).fraction < 0.1


def test_false_discoveries_are_held():
    """20 draws with a tenth of planted novelties: the mean share of false ones is at most 5 %.

    One share scatters by about .03 (calibrations of 400), its mean over 20 by .007."""
    rng = np.random.default_rng(2)
    false = []
    for _ in range(20):
        sky = Population.of(rng.normal(size=(800, 8)), "obs")
        points = rng.normal(size=(200, 8))
        points[:40, 0] += 9
        named = off_support(Population.of(points, "sim"), sky, rng=rng).p_adjusted <= 0.05
        false.append(named[40:].sum() / max(1, named.sum()))
        assert named[:40].all()
    assert np.mean(false) <= 0.05 + 3 * 0.007
