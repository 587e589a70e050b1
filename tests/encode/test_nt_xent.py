"""The contrastive loss: known answers, symmetries, and the published definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simreal.encode.objectives.simclr import nt_xent

seeds = st.integers(0, 2**31)


def pair(seed, n=6, d=5):
    rng = np.random.default_rng(seed)
    return (torch.from_numpy(rng.standard_normal((n, d))) for _ in range(2))


@pytest.mark.parametrize(
    ("n", "expected"), [(32, 4.1431), (128, 5.5413), (256, 6.2364), (512, 6.9305)]
)
def test_identical_vectors_cost_a_blind_guess(n, expected):
    ones = torch.ones(n, 4, dtype=torch.float64)
    for temperature in (0.05, 0.2, 1.0):
        loss = nt_xent(ones, ones, temperature=temperature).item()
        assert loss == pytest.approx(math.log(2 * n - 1), abs=1e-12)
    assert loss == pytest.approx(expected, abs=5e-5)


@given(seeds, st.floats(0.05, 2))
def test_it_is_the_published_sum(seed, temperature):
    first, second = pair(seed)
    z = torch.cat([first, second]).numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    n, terms = len(z) // 2, []
    for i in range(2 * n):
        others = [math.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i]
        terms.append(-math.log(math.exp(z[i] @ z[(i + n) % (2 * n)] / temperature) / sum(others)))
    loss = nt_xent(first, second, temperature=temperature).item()
    assert loss == pytest.approx(np.mean(terms), rel=1e-12)


@given(seeds)
def test_symmetries(seed):
    first, second = pair(seed)
    loss = nt_xent(first, second, temperature=0.2).item()
    rng = np.random.default_rng(seed)
    shuffled = torch.from_numpy(rng.permutation(len(first)))
    rotation = torch.linalg.qr(torch.from_numpy(rng.standard_normal((5, 5))))[0]
    for a, b in (
        (second, first),
        (first[shuffled], second[shuffled]),
        (first @ rotation, second @ rotation),
        (first * 3, second * 0.1),
    ):
        assert nt_xent(a, b, temperature=0.2).item() == pytest.approx(loss, rel=1e-10)


@given(seeds)
def test_agreeing_pairs_cost_less_than_shuffled_ones(seed):
    first, _ = pair(seed)
    agree = nt_xent(first, first, temperature=0.2)
    assert agree < nt_xent(first, first.roll(1, 0), temperature=0.2)


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5])
def test_it_equals_the_loss_of_lightly(temperature):
    loss = pytest.importorskip("lightly.loss.ntx_ent_loss", reason="lightly is not installed")
    first, second = (v.float() for v in pair(7, n=32, d=16))
    theirs = loss.NTXentLoss(temperature=temperature)(first, second).item()
    assert nt_xent(first, second, temperature=temperature).item() == pytest.approx(theirs, abs=1e-6)
