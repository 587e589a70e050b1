import numpy as np
import pytest

from simreal.compare.contract import fit_metric
from simreal.compare.inference import permutation_statistics
from simreal.compare.metrics import mmd, mmd_median
from simreal.compare.sample import Sample


def clouds(n=60, d=6, shift=0.5):
    obs, sim = np.random.default_rng(0).normal(size=(2, n, d)).astype(np.float32)
    return obs, sim + np.float32(shift) * np.eye(d, dtype=np.float32)[0]


def test_the_value_is_that_of_mmd():
    obs, sim = clouds()
    one, other = (m.statistic(obs, sim, rng=np.random.default_rng(1)) for m in (mmd, mmd_median))
    assert one == other
    points = np.concatenate([obs, sim])
    labels = (np.arange(120) >= 60)[None]
    one, other = (
        fit_metric(m, points, rng=np.random.default_rng(1)).values(points, labels, ~labels)
        for m in (mmd, mmd_median)
    )
    assert one == other


def test_it_is_tested_at_the_median_bandwidth_alone():
    sample = Sample.of(*clouds())
    metric = mmd_median.fit(sample.pooled, rng=np.random.default_rng(0))
    tested = permutation_statistics(metric, sample, 30, rng=np.random.default_rng(3))
    labels = sample.is_sim[None]
    value = metric.values(sample.rounds[0], labels, ~labels)[0]
    assert tested[0] == pytest.approx(value, rel=1e-5)
    ladder = permutation_statistics(metric.mmd, sample, 30, rng=np.random.default_rng(3))
    assert not np.allclose(tested, ladder)
    assert "tested over" not in metric.note
