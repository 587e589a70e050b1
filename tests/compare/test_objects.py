import numpy as np
import pytest
from scipy.spatial.distance import cdist

from simreal.compare.objects import (
    Population,
    density_ratio,
    object_scores,
    off_support,
)
from simreal.core.errors import NotComputableError, UsageError
from simreal.stats.fdr import benjamini_hochberg


def rng(seed=0):
    return np.random.default_rng(seed)


def gaussian(n, name="obs", d=4, seed=0, scale=1.0):
    points = scale * np.random.default_rng([seed, n, d]).normal(size=(n, d))
    return Population.of(points.astype(np.float32), name)


def repeated(population, views):
    """The same galaxies seen several times."""
    return Population(
        points=np.repeat(population.points, views, axis=0),
        groups=np.repeat(population.groups, views),
        name=population.name,
    )


# ------------------------------------------------------------------ off support


def test_p_values_follow_their_definition():
    found = off_support(gaussian(50, "sim", seed=1), gaussian(200), rng=rng())
    sky = gaussian(200)
    order = rng().permutation(200)
    # Groups come in the order of their names.
    names = np.argsort(sky.groups)
    reference, calibration = sky.points[names[order[:100]]], sky.points[names[order[100:]]]

    def to_eighth(points):
        away = cdist(points.astype(float), reference.astype(float), "cityblock")
        return np.sort(away, axis=1)[:, 7]

    distance, known = to_eighth(gaussian(50, seed=1).points), to_eighth(calibration)
    expected = (1 + (known[None] >= distance[:, None]).sum(axis=1)) / 101
    np.testing.assert_allclose(found.distance, distance, rtol=1e-12)
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-12)
    np.testing.assert_allclose(found.p_adjusted, benjamini_hochberg(expected))
    assert found.fraction == np.mean(distance > found.threshold)
    assert found.smallest_p == 1 / 101
    assert (found.n_reference, found.n_calibration) == (100, 100)


def test_ties_count_against():
    """All distances equal: no object is further than any other."""
    sky = Population.of(np.tile(np.eye(2), (40, 1)), "obs")
    found = off_support(Population.of(np.eye(2), "sim"), sky, rng=rng())
    np.testing.assert_array_equal(found.p_value, 1.0)
    assert found.fraction == 0.0
    assert found.found == 0


def test_an_object_like_no_other_is_named():
    odd = np.concatenate([gaussian(95, seed=1).points, gaussian(5, seed=2).points + 50])
    found = off_support(Population.of(odd, "sim"), gaussian(1000), rng=rng())
    assert set(np.flatnonzero(found.p_adjusted <= 0.05)) >= set(range(95, 100))
    assert found.found <= 8


def test_it_says_where_no_object_could_be_named():
    """One object in 1,000 at 1/51: adjusted it is 1000/51 / j for j such objects."""
    few = off_support(gaussian(1000, "sim", seed=1), gaussian(100), rng=rng())
    assert few.fewest_found == 393  # the smallest j with 1000 / (51 j) <= 0.05
    assert "fewer than 393 off-support objects of 1000 cannot be named" in few.note
    none = off_support(gaussian(3, "sim", seed=1), gaussian(30), rng=rng())
    assert none.smallest_p == 1 / 16
    assert none.fewest_found > 3
    assert "too large to name any of 3 objects" in none.note
    enough = off_support(gaussian(10, "sim", seed=1), gaussian(600), rng=rng())
    assert enough.fewest_found == 1
    assert "cannot" not in enough.note


def test_neighbours_and_calibration_are_other_galaxies():
    """A query that is itself in the reference gains nothing from being there."""
    sky = gaussian(120)
    views = repeated(sky, 4)
    found = off_support(sky, views, rng=rng())
    assert found.n_calibration == 60  # one object of each group
    assert found.n_reference == 240
    assert (found.distance > 0).all()


def test_its_p_values_are_uniform_under_the_null():
    """40 splits of 400 targets, 10 queries each: rejections at 5 % are near 5 %.

    Queries of one split share the calibration, so the spread is taken over splits."""
    shares = []
    for seed in range(40):
        draws = np.random.default_rng([9, seed])
        sim, obs = (Population.of(draws.normal(size=(n, 4)), s) for n, s in ((50, "s"), (400, "o")))
        shares.append(np.mean(off_support(sim, obs, rng=draws).p_value <= 0.05))
    assert abs(np.mean(shares) - 0.05) < 4 * np.std(shares, ddof=1) / 40**0.5


# ------------------------------------------------------------------ density ratio


def test_ratios_follow_their_definition():
    """As many of each side, all of them drawn: only the one left out of the other is random."""
    own, other = gaussian(60, "sim"), gaussian(60, "obs", seed=1, scale=2.0)
    found = density_ratio(own, other, rng=rng())
    width = np.concatenate([own.points, other.points]).astype(float).std(axis=0)
    a, b = own.points / width, other.points / width
    to_own = np.sort(cdist(a, a, "cityblock"), axis=1)[:, 8]
    to_other = np.sort(cdist(a, b, "cityblock"), axis=1)
    # Leaving out one of 60 moves the eighth to the ninth neighbour at most.
    assert (found.ratio >= to_other[:, 7] / to_own - 1e-9).all()
    assert (found.ratio <= to_other[:, 8] / to_own + 1e-9).all()
    np.testing.assert_allclose(found.log2_ratio, np.log2(found.ratio))
    assert found.fraction == np.mean(found.ratio > found.factor)
    assert found.n_each == 60


def test_sets_are_brought_to_one_size():
    """A tenfold larger other side is not denser: its own share of 5 % stays."""
    found = density_ratio(gaussian(300, "sim", seed=1), gaussian(3000), rng=rng())
    assert found.n_each == 300
    assert found.fraction < 0.12
    assert abs(np.median(found.log2_ratio)) < 0.1
    back = density_ratio(gaussian(3000), gaussian(300, "sim", seed=1), rng=rng())
    assert len(back.ratio) == 3000
    assert back.fraction < 0.12


def test_views_are_no_neighbours():
    """With four views of each galaxy the nearest others would be oneself."""
    own, other = gaussian(150, "sim", seed=1), gaussian(150)
    once = density_ratio(own, other, rng=rng())
    often = density_ratio(repeated(own, 4), repeated(other, 4), rng=rng())
    assert len(often.ratio) == 600
    assert often.n_each == 150
    assert often.fraction == pytest.approx(once.fraction, abs=0.06)
    assert np.isfinite(often.log2_ratio).all()


def test_a_galaxy_on_both_sides_is_not_its_own_neighbour():
    same = gaussian(100)
    found = density_ratio(same, same, rng=rng())
    assert (found.ratio > 0.5).all()


def test_repeated_points_give_no_nan():
    spot = Population.of(np.zeros((50, 3)), "sim")
    found = density_ratio(spot, gaussian(50, d=3), rng=rng())
    assert np.isposinf(found.ratio).all()
    assert found.factor == 1.0
    both = density_ratio(spot, Population.of(np.zeros((40, 3)), "obs"), rng=rng())
    np.testing.assert_array_equal(both.log2_ratio, 0.0)
    assert both.fraction == 0.0


def test_the_unit_of_an_axis_does_not_matter_to_the_ratio():
    own, other = gaussian(80, "sim", seed=1), gaussian(80)
    stretch = np.array([1.0, 100.0, 0.01, 5.0])
    changed = [
        Population(points=p.points.astype(float) * stretch, groups=p.groups, name=p.name)
        for p in (own, other)
    ]
    one, two = density_ratio(own, other, rng=rng()), density_ratio(*changed, rng=rng())
    np.testing.assert_allclose(one.ratio, two.ratio, rtol=1e-6)


# ------------------------------------------------------------------ both


def test_the_two_scores_stay_apart():
    found = object_scores(gaussian(60, "sim", seed=1), gaussian(80), rng=rng())
    assert found.off_support.k == found.density_ratio.k == 8
    assert len(found.off_support.p_value) == len(found.density_ratio.ratio) == 60
    for array in (found.off_support.p_value, found.density_ratio.ratio):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_two_runs_are_the_same():
    one, two = (object_scores(gaussian(60, "s", seed=1), gaussian(80), rng=rng()) for _ in "12")
    np.testing.assert_array_equal(one.off_support.p_value, two.off_support.p_value)
    np.testing.assert_array_equal(one.density_ratio.ratio, two.density_ratio.ratio)


@pytest.mark.parametrize("n", [0, 1, 7, 17])
def test_too_few_are_refused_in_one_line(n):
    few, many = gaussian(n, "few"), gaussian(100, "many")
    for call in (
        lambda: off_support(many, few, rng=rng()),
        lambda: density_ratio(few, many, rng=rng()),
        lambda: density_ratio(many, few, rng=rng()),
    ):
        with pytest.raises(NotComputableError, match=r"\d+ (groups )?of few") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_one_group_only_is_refused():
    lonely = Population(points=np.ones((50, 2)), groups=np.repeat("g", 50), name="obs")
    with pytest.raises(NotComputableError, match="got 1 groups of obs"):
        off_support(gaussian(9, "sim", d=2), lonely, rng=rng())


def test_no_queries_are_refused():
    with pytest.raises(NotComputableError, match="sim has no objects"):
        off_support(gaussian(0, "sim"), gaussian(100), rng=rng())


def test_what_is_not_a_number_is_named():
    points = np.zeros((4, 2))
    points[2, 1] = np.nan
    with pytest.raises(UsageError, match="sim: row 2 is not finite"):
        Population.of(points, "sim")
    with pytest.raises(UsageError, match="with one group each"):
        Population(points=np.zeros((4, 2)), groups=np.array(["a"]), name="sim")
