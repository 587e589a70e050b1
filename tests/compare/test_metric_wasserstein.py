import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.compare import transport
from simreal.compare.metrics.wasserstein import Wasserstein, statistic
from simreal.compare.transport import reduced, squared_wasserstein
from simreal.core.errors import NotComputableError
from simreal.stats.groups import random_masks

for _backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
    os.environ[f"POT_BACKEND_DISABLE_{_backend}"] = "1"


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 35), (7, 40)])
@pytest.mark.parametrize("shift", [0.0, 0.5, 30.0])
def test_it_agrees_with_pot(n, m, shift):
    import ot

    obs, sim = cloud(n), cloud(m, seed=1, shift=shift)
    expected = ot.emd2(ot.unif(n), ot.unif(m), ot.dist(obs, sim)) ** 0.5
    assert statistic(obs, sim, rng=np.random.default_rng(0)) == pytest.approx(expected, rel=1e-9)


def test_it_is_the_least_over_all_permutations():
    obs, sim = cloud(6, d=2), cloud(6, d=2, seed=1)
    least = min(
        ((obs - sim[list(order)]) ** 2).sum(axis=1).mean()
        for order in itertools.permutations(range(6))
    )
    assert squared_wasserstein(obs, sim) == pytest.approx(least, rel=1e-12)


@given(st.integers(0, 1000), st.integers(2, 30), st.sampled_from([1e-6, 1.0, 1e6]))
def test_reduced_costs_have_the_same_best_plan(seed, n, scale):
    from scipy.optimize import linear_sum_assignment

    costs = np.random.default_rng(seed).pareto(0.5, size=(n, n)) * scale
    plain, fast = (costs[linear_sum_assignment(c)].sum() for c in (costs, reduced(costs)))
    assert fast == pytest.approx(plain, rel=1e-9)


def test_reduced_costs_of_nothing_to_do():
    np.testing.assert_array_equal(reduced(np.full((3, 3), 7.0)), np.zeros((3, 3)))


def test_masks_need_not_cover_the_pool():
    points = cloud(60).astype(np.float32)
    sim = random_masks(np.arange(60) < 25, 9, 4, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(60) >= 25, 11, 4, rng=np.random.default_rng(2))
    found = Wasserstein().values(points, sim, obs)
    expected = [
        statistic(points[o], points[s], rng=np.random.default_rng(0))
        for s, o in zip(sim, obs, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert Wasserstein().values(points, sim[:0], obs[:0]).shape == (0,)


@given(st.integers(0, 300), st.integers(5, 12))
def test_laws(seed, m):
    """Symmetry, identity, rows in any order, translation and rotation of both, scale."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(m, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    d = statistic(obs, sim, rng=rng)
    assert statistic(obs, obs[::-1], rng=rng) == pytest.approx(0, abs=1e-7)
    for a, b in (
        (sim, obs),
        (rng.permutation(obs), rng.permutation(sim)),
        (obs + 5, sim + 5),
        (obs @ turn, sim @ turn),
    ):
        assert statistic(a, b, rng=rng) == pytest.approx(d, rel=1e-9)
    assert statistic(3 * obs, 3 * sim, rng=rng) == pytest.approx(3 * d, rel=1e-9)


def test_without_pot_unequal_numbers_are_refused_in_one_line(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(transport.importlib, "import_module", missing)
    assert squared_wasserstein(cloud(5), cloud(5, seed=1)) > 0
    with pytest.raises(NotComputableError, match=r"5 against 4 points.* POT, .* install") as found:
        squared_wasserstein(cloud(5), cloud(4))
    assert "\n" not in str(found.value)


def test_it_works_where_torch_cannot_be_imported_and_leaves_the_environment_alone():
    code = """
import os, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")
sys.meta_path.insert(0, Block())
import numpy as np
from simreal.compare.transport import squared_wasserstein
value = squared_wasserstein(np.eye(3), np.zeros((2, 3)))
assert abs(value - 1) < 1e-12, value
assert "ot" in sys.modules and "torch" not in sys.modules
assert not [name for name in os.environ if name.startswith("POT_")]
"""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("POT_")}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=clean)
