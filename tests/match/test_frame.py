"""The common frame: chosen label-free, inside every field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.cards import View
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Setup
from simreal.match.frame import choose_kind, inside, rounded_down, unit_per_pixel, widest


def view(**changes):
    return View(geometry="sky", bands=("r", "g", "b"), **changes)


def made(name, **changes):
    ids = np.array(["a", "b"])
    return ImageSet(
        name=name, role="observed", sampling="random", images=np.zeros((2, 3, 20, 20)),
        ids=ids, groups=ids,
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display", **changes),
    )  # fmt: skip


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=300), st.floats(0, 0.4))
def test_no_more_than_the_allowed_share_is_lost(limits, loss):
    values = np.array(limits)
    width = widest(values, loss)
    lost = (~inside(values, width)).mean()
    assert lost <= loss + 1e-9
    # The next wider value in the sample would lose more.
    wider = values[values > width * (1 + 1e-9)]
    if len(wider):
        assert (values < wider.min() * (1 - 1e-12)).mean() > loss - 1e-9


@given(st.floats(1e-3, 1e4))
def test_rounding_never_widens(width):
    rounded = rounded_down(width)
    assert 0.99 * width <= rounded <= width * (1 + 1e-6)


def test_no_frame_at_all():
    with pytest.raises(NotComputableError):
        rounded_down(float("nan"))


def test_auto_is_angular_only_where_both_scales_are_known():
    known, unknown = made("known", pixel_scale=0.4), made("unknown")
    assert choose_kind("auto", (known, known), (view(), view())) == "angular"
    assert choose_kind("auto", (known, unknown), (view(), view())) == "radius"
    by_card = view(pixel_scale=0.3)
    assert choose_kind("auto", (known, unknown), (view(), by_card)) == "angular"
    by_field = view(field_of_view=8.0, field_of_view_unit="arcsec")
    scale = unit_per_pixel("angular", unknown, by_field, radius=np.ones(2))
    assert scale.tolist() == [0.4, 0.4]


def test_a_scale_that_is_not_known_is_named():
    with pytest.raises(UsageError, match="unknown has no pixel_scale"):
        choose_kind("angular", (made("known", pixel_scale=0.4), made("unknown")), (view(), view()))
    with pytest.raises(UsageError, match="field of view in kpc"):
        choose_kind("physical", (made("a"), made("b")), (view(), view()))


def test_units_per_pixel():
    field = view(field_of_view=60.0, field_of_view_unit="kpc")
    radius = np.array([2.0, 4.0])
    assert unit_per_pixel("physical", made("a"), field, radius=radius).tolist() == [3.0, 3.0]
    assert unit_per_pixel("radius", made("a"), view(), radius=radius).tolist() == [0.5, 0.25]
    per_image = made("a", pixel_scale=np.array([0.2, 0.3]))
    assert unit_per_pixel("angular", per_image, view(), radius=radius).tolist() == [0.2, 0.3]
