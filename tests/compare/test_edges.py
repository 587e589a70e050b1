"""Edges: one clear line each, no traceback, no silent number."""

import numpy as np
import pytest

from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, NothingUsableError
from simreal.core.images import Setup
from simreal.pipeline.settings import expand_metrics

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")
ALL = expand_metrics(("all",))
QUICK = InferenceSettings(
    n_permutations=19, n_floor_splits=50, n_subsamples=50, power=False, heavy_permutations=19,
    heavy_subsamples=50,
)  # fmt: skip


def embedding(name, vectors, *, groups=None):
    ids = np.array([f"{name}{i}" for i in range(len(vectors))])
    return Embedding(
        name=name,
        sampling="random",
        vectors=np.asarray(vectors, dtype=np.float32),
        ids=ids,
        groups=ids if groups is None else np.asarray(groups),
        setup=SETUP,
        encoder_digest="e",
        source_digest=name,
    )


def cloud(n, d=4, seed=0):
    return np.random.default_rng([n, seed]).normal(size=(n, d))


def compare(obs, sim, metrics=ALL, settings=QUICK):
    return compare_embeddings(obs, sim, metrics=metrics, seed=0, settings=settings).comparisons


def one_line(error):
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_objects_are_refused_with_what_is_allowed(n):
    with pytest.raises(NotComputableError, match="allowed are 4 or more") as error:
        compare(embedding("o", cloud(50)), embedding("s", cloud(n, seed=1)))
    one_line(error)


def test_many_images_of_one_group_are_one_object():
    sim = embedding("s", cloud(50, seed=1), groups=["galaxy"] * 50)
    with pytest.raises(NotComputableError, match="1 simulated") as error:
        compare(embedding("o", cloud(50)), sim)
    one_line(error)


def test_below_what_a_metric_needs_it_is_null_with_a_reason():
    rows = compare(embedding("o", cloud(24)), embedding("s", cloud(12, seed=1)))
    by_name = {row.metric: row for row in rows}
    assert by_name["mmd"].estimate.value is not None
    for name in ("precision", "pqmass", "occupancy"):
        assert by_name[name].estimate.value is None
        assert f"{name} needs" in by_name[name].estimate.reason
        assert by_name[name].p_value is None


def test_nothing_computable_names_every_reason():
    with pytest.raises(NotComputableError, match="pqmass needs 100 groups"):
        compare(embedding("o", cloud(24)), embedding("s", cloud(12, seed=1)), ["pqmass"])


def test_the_same_set_is_at_distance_zero_with_a_warning_whatever_it_is_called():
    points = cloud(60)
    for other in (embedding("s", points), embedding("s", points[::-1])):
        for row in compare(embedding("o", points), other):
            assert (row.estimate.value, row.p_value) == (0.0, 1.0)
            assert "warning: the same data" in row.notes[-1]


def test_a_constant_dimension_changes_nothing():
    points, other = cloud(80, d=5), cloud(40, d=5, seed=1)
    points[:, 2] = other[:, 2] = 7.0
    for row in compare(embedding("o", points), embedding("s", other)):
        assert row.estimate.value is None or np.isfinite(row.estimate.value)
        assert row.estimate.value is not None or row.estimate.reason


def test_a_nan_is_named_and_exits_with_3():
    points = cloud(30)
    points[7, 1] = np.nan
    with pytest.raises(NothingUsableError, match="the vector of 's7' is not finite") as error:
        embedding("s", points)
    assert error.value.exit_code == 3
    one_line(error)


def test_all_noise_is_not_informative(monkeypatch):
    """Whether HDBSCAN finds a clump in noise hangs on the draw; here it finds none."""
    from simreal.compare.metrics import occupancy_hdbscan

    monkeypatch.setattr(
        occupancy_hdbscan, "density_clusters", lambda points, **_: np.full(len(points), -1)
    )
    null, other = compare(
        embedding("o", cloud(60)), embedding("s", cloud(30, seed=1)), ["occupancy_hdbscan", "mmd"]
    )
    assert null.estimate.value is None
    assert null.p_value is None
    assert "occupancy not informative" in null.estimate.reason
    assert other.p_value is not None


def test_unequal_numbers_are_brought_to_one_n():
    for row in compare(embedding("o", cloud(300)), embedding("s", cloud(41, seed=1)), ["mmd"]):
        assert (row.estimate.n_sim, row.estimate.n_obs, row.floor.n) == (41, 41, 41)


def test_a_metric_that_returns_nan_is_null_with_a_reason(monkeypatch):
    from simreal.compare.metrics import mmd

    class Broken:
        def values(self, points, sim, obs):
            return np.full(len(sim), np.nan)

    monkeypatch.setattr(mmd, "fit", lambda pooled, rng: Broken())
    rows = compare(
        embedding("o", cloud(60)), embedding("s", cloud(30, seed=1)), ["mmd", "sliced_wasserstein"]
    )
    assert rows[0].estimate.value is None
    assert "finite" in rows[0].estimate.reason
    assert rows[1].estimate.value is not None
