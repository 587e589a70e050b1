import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from simreal.compare.cells import g_statistic, jensen_shannon_bits, null_bias_bits
from simreal.compare.metrics import occupancy
from simreal.compare.metrics.occupancy import Occupancies, region_count
from simreal.stats.clusters import assign
from simreal.stats.groups import permuted_labels

histograms = arrays(np.float64, 6, elements=st.integers(0, 50).map(float)).filter(
    lambda h: h.sum() > 0
)


@given(histograms, histograms)
def test_it_is_scipys_divergence_symmetric_and_bounded(p, q):
    value = jensen_shannon_bits(p, q)
    assert value == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-7)
    assert value == pytest.approx(jensen_shannon_bits(q, p), abs=1e-12)
    assert value == pytest.approx(jensen_shannon_bits(3 * p, q), abs=1e-12)
    assert 0 <= value <= 1
    assert jensen_shannon_bits(p, p) == pytest.approx(0, abs=1e-12)


def test_nothing_in_common_is_one_bit():
    for k in (2, 4, 16):
        p = np.repeat([1.0, 0.0], k // 2)
        assert jensen_shannon_bits(p, 1 - p) == pytest.approx(1, abs=1e-12)


def test_many_assignments_equal_the_definition():
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    metric = Occupancies(points[:5])
    labels = permuted_labels(np.arange(60) < 30, 8, rng=np.random.default_rng(1))
    fast = metric.values(points, labels, ~labels)
    cells = assign(points, metric.centres)
    for row, value in zip(labels, fast, strict=True):
        counts = [np.bincount(cells[mask], minlength=5).astype(float) for mask in (row, ~row)]
        assert value == pytest.approx(jensenshannon(*counts, base=2) ** 2, abs=1e-9)


def test_regions_do_not_know_the_labels():
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(80, 4)).astype(np.float32)
    shuffled = pool[rng.permutation(80)]
    fits = [occupancy.fit(p, rng=np.random.default_rng(3)).centres for p in (pool, shuffled)]
    np.testing.assert_array_equal(*fits)


@given(st.integers(1, 10_000))
def test_the_number_of_regions_grows_with_n_and_stays_bounded(n):
    assert 4 <= region_count(n) <= region_count(n + 1) <= 16


@given(histograms, histograms)
def test_what_is_tested_is_scipys_likelihood_ratio(p, q):
    used = (p + q) > 0
    table = np.stack([p, q])[:, used]
    expected = chi2_contingency(table, lambda_="log-likelihood", correction=False).statistic
    assert float(g_statistic(p, q)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert float(g_statistic(p, p)) == pytest.approx(0, abs=1e-9)


def test_for_equal_numbers_value_and_test_order_labellings_alike():
    """G = 4 n ln 2 JS."""
    points = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    metric = Occupancies(points[:5])
    labels = permuted_labels(np.arange(80) < 40, 8, rng=np.random.default_rng(1))
    tested = metric.components(points, labels, ~labels)
    assert tested.shape == (9, 1)
    values = metric.values(points, labels, ~labels)
    np.testing.assert_allclose(tested[:, 0], 4 * 40 * np.log(2) * values, rtol=1e-9)


def test_the_note_gives_the_null_bias():
    points = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    metric = occupancy.fit(points, rng=np.random.default_rng(0), k=8)
    assert null_bias_bits(8, 200, 200) == pytest.approx(0.0126, abs=5e-5)
    assert "null bias 0.0126 bits at n = 200 per side" in metric.note
    assert "null bias" not in Occupancies(points[:5]).note
