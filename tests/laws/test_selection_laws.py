"""Selection: a difference in mass is not a difference in appearance at fixed mass."""

import numpy as np
import pytest
from astropy.table import QTable

from simreal.compare.contract import fit_metric
from simreal.compare.inference import p_value, permutation_statistics
from simreal.compare.metrics import mmd, sliced_wasserstein
from simreal.compare.sample import draw_sample, usable_n
from simreal.compare.strata import make_strata
from simreal.core.embedding import Embedding
from simreal.core.images import Setup

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")


def side(name, n, *, rng, mass_shift=0.0, offset=0.0, d=8):
    """Appearance follows mass on one axis, with as much scatter; the others know nothing of it."""
    mass = rng.normal(size=n) + mass_shift
    vectors = rng.normal(size=(n, d))
    vectors[:, 0] += mass
    vectors[:, 1] += offset
    ids = np.array([f"{name}{i}" for i in range(n)])
    return Embedding(
        name=name,
        sampling="random",
        vectors=vectors.astype(np.float32),
        ids=ids,
        groups=ids,
        setup=SETUP,
        encoder_digest="e",
        source_digest=name,
        properties=QTable({"mass": mass}),
    )


def rejection(trials, metric, *, stratified, mass_shift=0.7, offset=0.0, n=300, seed=0):
    """Share of samples rejected at 5 %: n simulated objects against twice as many observed."""
    rejected = 0
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        obs = side("o", 2 * n, rng=rng)
        sim = side("s", n, rng=rng, mass_shift=mass_shift, offset=offset)
        strata = make_strata(obs, sim, names=["mass"]) if stratified else None
        tested = usable_n(obs, sim, strata=strata)
        sample, _, _ = draw_sample(obs, sim, n=tested, seed=trial, strata=strata)
        fitted = fit_metric(metric, sample.pooled, rng=rng)
        rejected += p_value(permutation_statistics(fitted, sample, 199, rng=rng)) <= 0.05
    return rejected / trials


def test_a_mass_shift_is_seen_unmatched_and_not_at_fixed_mass():
    """30 trials: a true 0.06 gives more than 6 rejections with a probability of 0.002."""
    assert rejection(30, mmd, stratified=False) >= 0.9
    assert rejection(30, mmd, stratified=True) <= 0.2


def test_a_difference_at_fixed_mass_is_seen_at_fixed_mass():
    assert rejection(30, mmd, stratified=True, offset=0.7) >= 0.8


@pytest.mark.slow  # 2,000 permutation tests
@pytest.mark.parametrize("metric", [mmd, sliced_wasserstein])
def test_selection_costs_no_level(metric):
    """The bar: at least 0.95 unmatched, 0.02 to 0.10 in strata, of 500 samples."""
    assert rejection(200, metric, stratified=False) >= 0.95
    assert 0.02 <= rejection(500, metric, stratified=True) <= 0.10
