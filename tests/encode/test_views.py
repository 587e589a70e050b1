"""Second views of another direction: only where every object of every side has several."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.encode.run import fit_encoder
from simreal.encode.settings import EncoderSettings

SETTINGS = EncoderSettings(epochs=1, batch=8, threads=1, second_view="group")


def views(name, per_object, n=8, seed=0):
    """A set of `n` objects; the last has one image only if `per_object` ends in one."""
    counts = np.resize(per_object, n)
    groups = np.repeat([f"{name}{i}" for i in range(n)], counts)
    pixels = np.random.default_rng(seed).random((len(groups), 1, 32, 32), dtype=np.float32)
    return ImageSet(
        name=name,
        role="simulated",
        sampling="random",
        images=ArraySource(pixels),
        ids=np.array([f"{group}-{i}" for i, group in enumerate(groups)]),
        groups=groups,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )


def test_where_both_sides_have_views_they_make_the_pairs():
    encoder = fit_encoder(
        "simclr", [views("a", [2, 3]), views("b", [2], seed=1)], settings=SETTINGS
    )
    assert encoder.card["recipe"]["second_view"] == "group"


@pytest.mark.parametrize(("single", "said"), [([1], "8 of 8"), ([2, 2, 2, 1], "2 of 8")])
def test_where_one_side_has_not_it_is_refused(single, said):
    sets = [views("a", [2]), views("b", single, seed=1)]
    for order in (sets, sets[::-1]):
        with pytest.raises(NotComputableError, match=f"b: {said} objects have a single image"):
            fit_encoder("simclr", order, settings=SETTINGS)
    fit_encoder("pca", sets, settings=EncoderSettings(threads=1))
