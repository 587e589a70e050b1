import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.outliers import left_out, percentile_among, realism


def embedding(name, vectors, groups=None, **changes):
    ids = np.array([f"{name}{i}" for i in range(len(vectors))])
    fields = {
        "name": name,
        "sampling": "random",
        "vectors": vectors,
        "ids": ids,
        "groups": ids if groups is None else np.array(groups),
        "setup": Setup(track="rgb", bands=("luminance",), unit="display"),
        "encoder_digest": "e",
        "source_digest": name,
    }
    return Embedding(**(fields | changes))


def cloud(n, d=6, seed=0):
    return np.random.default_rng([seed, n]).normal(size=(n, d))


def test_objects_of_one_population_are_beyond_95_one_time_in_twenty():
    """400 simulated objects: Binomial(400, 0.05) / 400 has a standard deviation of 0.011, the
    95th percentile of 600 real distances adds 0.009; four of both together are 0.057."""
    found = realism(embedding("o", cloud(600)), embedding("s", cloud(400)))
    assert abs(found.fraction_beyond_95 - 0.05) < 0.057
    # The mean of 400 uniform percentiles has a standard deviation of 1.4; real distances share
    # neighbours, which at most doubles it.
    assert abs(found.percentile.mean() - 50) < 6


def test_a_planted_outlier_is_the_least_realistic():
    sim = cloud(50)
    sim[17] += 8
    found = realism(embedding("o", cloud(300)), embedding("s", sim))
    assert int(np.argmax(found.distance)) == 17
    assert found.percentile[17] == 100


def test_the_nearest_are_named_nearest_first():
    obs = np.arange(20.0)[:, None] * [1.0, 0.1]
    found = realism(embedding("o", obs), embedding("s", obs[[4]] + 0.01), k=1)
    assert found.nearest_obs.shape == (1, 3)
    near = np.abs(obs[found.nearest_obs[0], 0] - 4.01)
    assert (np.diff(near) >= 0).all()


def test_reference_lacks_one_group_for_everybody():
    obs = embedding("o", cloud(40))
    found = realism(obs, embedding("s", cloud(10, seed=1)))
    assert found.n_reference == 39
    assert found.real_distance.shape == (40,)


def test_views_of_one_galaxy_are_not_its_neighbours():
    """Twins at distance zero must not make every real object look well surrounded."""
    once = cloud(60)
    groups = [f"g{i}" for i in range(60)]
    single = realism(embedding("o", once, groups), embedding("s", cloud(10, seed=1)), k=1)
    double = realism(
        embedding("o", np.tile(once, (2, 1)), groups * 2), embedding("s", cloud(10, seed=1)), k=1
    )
    np.testing.assert_allclose(double.real_distance[:60], single.real_distance, rtol=1e-5)


def test_a_group_on_both_sides_is_left_out_of_its_own_reference():
    names = np.array(["a", "b", "c"])
    assert left_out(np.array(["b", "c"]), names).tolist() == [1, 2]
    assert set(left_out(np.array(["x"] * 50), names).tolist()) == {0, 1, 2}
    obs = embedding("o", cloud(30))
    found = realism(obs, obs)
    np.testing.assert_allclose(found.distance, found.real_distance)


def test_the_order_of_the_observed_rows_changes_no_distance():
    obs, sim = embedding("o", cloud(50)), embedding("s", cloud(20, seed=1))
    order = np.random.default_rng(0).permutation(50)
    a, b = realism(obs, sim), realism(obs.rows(order), sim)
    np.testing.assert_allclose(a.distance, b.distance, rtol=1e-5)
    np.testing.assert_array_equal(order[b.nearest_obs], a.nearest_obs)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_percentiles_rise_with_the_value_and_end_at_100(reference):
    reference = np.array(reference)
    found = percentile_among(np.linspace(-1, 11, 9), reference)
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 100)


def test_too_few_observed_groups_are_refused():
    with pytest.raises(NotComputableError, match="use a smaller k or more objects"):
        realism(embedding("o", cloud(5)), embedding("s", cloud(10)))


def test_different_encoders_are_refused():
    with pytest.raises(UsageError, match="different encoders"):
        realism(embedding("o", cloud(9)), embedding("s", cloud(9), encoder_digest="f"))
