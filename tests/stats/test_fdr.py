import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from simreal.core.errors import UsageError
from simreal.stats.fdr import benjamini_hochberg, holm

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def closed_testing(p):
    """Holm from its definition: reject a hypothesis if Bonferroni rejects every
    intersection that holds it; the adjusted p is the largest of the intersections' p."""
    p = np.asarray(p)
    result = np.zeros(len(p))
    for subset in range(1, 2 ** len(p)):
        inside = [i for i in range(len(p)) if subset >> i & 1]
        bonferroni = min(1.0, len(inside) * p[inside].min())
        result[inside] = np.maximum(result[inside], bonferroni)
    return result


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_closed_testing_with_bonferroni(p):
    np.testing.assert_allclose(holm(p), closed_testing(p), rtol=1e-12)


@given(p_lists)
def test_benjamini_hochberg_is_scipys(p):
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@given(p=p_lists)
def test_adjusted_p_values_are_larger_and_keep_their_order(adjust, p):
    adjusted = adjust(p)
    assert (adjusted >= np.asarray(p) * (1 - 1e-12)).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-15).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_one_test_needs_no_adjustment_and_none_gives_none(adjust):
    assert adjust([0.3]).tolist() == [0.3]
    assert adjust([]).tolist() == []


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [float("nan")], [[0.1]]])
def test_what_is_no_p_value_is_refused(bad):
    with pytest.raises(UsageError, match="allowed is a list of numbers from 0 to 1"):
        holm(bad)
