"""The loss of VICReg: known answers, symmetries, and the published definition."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simreal.encode.objectives.vicreg import Objective, vicreg
from simreal.encode.settings import EncoderSettings

seeds = st.integers(0, 2**31)


def pair(seed, n=6, d=5):
    rng = np.random.default_rng(seed)
    return (torch.from_numpy(rng.standard_normal((n, d))) for _ in range(2))


def test_collapse_costs_the_whole_hinge():
    for value in (0.0, 3.0):
        same = torch.full((8, 4), value, dtype=torch.float64)
        # The hinge is 1 - sqrt(1e-4) = 0.99, times 25.
        assert vicreg(same, same).item() == pytest.approx(24.75, abs=1e-12)


def test_views_that_agree_and_features_that_vary_alone_cost_nothing():
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert vicreg(corners * 2, corners * 2).item() == 0
    # One feature twice: the covariance is the variance 4 * 4 / 3, and either entry off the
    # diagonal of either view costs its square over d = 2.
    twice = torch.stack([corners[:, 0], corners[:, 0]], 1) * 2
    assert vicreg(twice, twice).item() == pytest.approx(2 * (16 / 3) ** 2, rel=1e-12)


@given(seeds)
def test_it_is_the_published_sum(seed):
    first, second = pair(seed)
    terms = 25 * np.mean((first.numpy() - second.numpy()) ** 2)
    for view in (first.numpy(), second.numpy()):
        covariance = np.cov(view.T)
        deviation = np.sqrt(np.diag(covariance) + 1e-4)
        terms += 25 * np.maximum(0, 1 - deviation).mean() / 2
        off = covariance - np.diag(np.diag(covariance))
        terms += (off**2).sum() / view.shape[1]
    assert vicreg(first, second).item() == pytest.approx(terms, rel=1e-10)


@given(seeds)
def test_symmetries(seed):
    first, second = pair(seed)
    loss = vicreg(first, second).item()
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.permutation(len(first)))
    columns = torch.from_numpy(rng.permutation(first.shape[1]))
    for a, b in (
        (second, first),
        (first[rows], second[rows]),
        (first[:, columns], second[:, columns]),
        (first + 7, second + 7),
        (-first, -second),
    ):
        assert vicreg(a, b).item() == pytest.approx(loss, rel=1e-9)


def test_one_pair_costs_its_difference():
    first, second = pair(0, n=1)
    expected = 25 * ((first - second) ** 2).mean().item()
    assert vicreg(first, second).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_it_equals_the_loss_of_lightly(scale):
    loss = pytest.importorskip("lightly.loss.vicreg_loss", reason="lightly is not installed")
    first, second = (scale * v.float() for v in pair(7, n=32, d=16))
    theirs = loss.VICRegLoss()(first, second).item()
    assert vicreg(first, second).item() == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_the_objective_expands_the_features_of_both_views():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objective = Objective(SimpleNamespace(width=6), settings=EncoderSettings()).eval()
        features = torch.randn(8, 6)
    expanded = objective.expander(features)
    loss = objective(lambda views: views, features)
    torch.testing.assert_close(loss, vicreg(expanded[:4], expanded[4:]))
