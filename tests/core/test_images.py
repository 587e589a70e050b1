"""The invariants of `Setup` and `ImageSet`, over generated sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from simreal.core.errors import UsageError
from simreal.core.images import ImageSet, RowsOf, Setup, Step, property_values


def setup(bands=("red",), **changes):
    return Setup(track="rgb", bands=bands, unit="display", **changes)


def image_set(n=4, bands=("red",), size=5, **changes):
    rng = np.random.default_rng(7)
    fields = {
        "name": "set",
        "role": "observed",
        "sampling": "random",
        "images": rng.random((n, len(bands), size, size)),
        "ids": np.array([f"g{i}" for i in range(n)]),
        "groups": np.array([f"g{i // 2}" for i in range(n)]),
        "setup": setup(bands),
    }
    return ImageSet(**{**fields, **changes})


@given(n=st.integers(1, 12), n_bands=st.integers(1, 4), size=st.integers(1, 6))
def test_a_set_keeps_what_it_was_given(n, n_bands, size):
    images = image_set(n, bands=tuple("abcd"[:n_bands]), size=size)
    assert len(images) == n
    assert images.images.shape == (n, n_bands, size, size)
    assert images.n_groups == (n + 1) // 2


def test_a_set_owns_its_buffers():
    pixels = np.ones((2, 1, 3, 3), dtype=np.float32)
    images = image_set(2, images=pixels)
    pixels[:] = 5
    assert images.images.read(slice(None)).max() == 1
    with pytest.raises(ValueError, match="read-only"):
        images.images.read(slice(None))[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        images.ids[0] = "x"


@given(
    n=st.integers(2, 10),
    rows=st.lists(st.integers(0, 1), min_size=1, max_size=2, unique=True),
)
def test_rows_are_a_subset_in_order(n, rows):
    whole = image_set(n, setup=setup(noise=np.arange(n)[:, None] + 1.0))
    part = whole.rows(rows)
    assert part.ids.tolist() == whole.ids[rows].tolist()
    assert part.setup.noise[:, 0].tolist() == [row + 1.0 for row in rows]
    np.testing.assert_array_equal(
        part.images.read(slice(None)), whole.images.read(slice(None))[rows]
    )


def test_rows_of_rows_read_the_first_source_once():
    part = image_set(6).rows([4, 2, 0]).rows([2, 1])
    assert isinstance(part.images, RowsOf)
    assert not isinstance(part.images.source, RowsOf)
    assert part.ids.tolist() == ["g0", "g2"]


@given(chunk=st.integers(1, 9))
def test_chunks_cover_every_image_once(chunk):
    images = image_set(7)
    blocks = [block for _, block in images.chunks(chunk)]
    np.testing.assert_array_equal(np.concatenate(blocks), images.images.read(slice(None)))


def test_the_digest_is_of_the_content():
    images = image_set()
    assert images.digest == image_set().digest
    assert images.digest == images.with_step(Step(name="noted")).digest
    assert images.digest != images.rows([1, 0, 2, 3]).digest
    shifted = images.images.read(slice(None)).copy()
    shifted[0, 0, 0, 0] += 1e-6
    assert images.digest != images.replace(images=shifted).digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": np.array(["a", "a", "b", "c"])}, "'a' stands for 2 rows"),
        ({"ids": np.array(["a"])}, "one row per object"),
        ({"groups": np.array(["a"])}, "one row per object"),
        ({"role": "real"}, "got 'real', allowed: simulated, observed"),
        ({"sampling": "some"}, "allowed: random, curated"),
        ({"setup": setup(("red", "green"))}, "one band per plane"),
        ({"images": np.full((4, 1, 5, 5), np.nan)}, "'g0' has a non-finite pixel"),
        ({"mask": np.zeros((4, 1, 4, 4), bool)}, "the mask has shape"),
        ({"setup": setup(noise=np.ones((3, 1)))}, "3 rows for 4 images"),
        ({"images": np.ones((4, 5, 5))}, r"allowed is \(n, band, y, x\)"),
    ],
)
def test_a_broken_set_is_refused_with_the_reason(changes, words):
    with pytest.raises(UsageError, match=words):
        image_set(**changes)


def test_masked_pixels_may_be_missing():
    pixels = np.ones((4, 1, 5, 5))
    pixels[2, 0, 1, 1] = np.nan
    assert image_set(images=pixels, mask=np.isnan(pixels)).mask.sum() == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"track": "radio"}, "allowed: rgb, flux, xray"),
        ({"object_kind": "star"}, "allowed: galaxy, group, cluster"),
        ({"frame": "angular"}, "every frame but 'native' has a width"),
        ({"frame_width": 3.0}, "every frame but 'native' has a width"),
        ({"bands": ()}, "one or more unique names"),
        ({"bands": ("r", "r")}, "one or more unique names"),
        ({"pixel_scale": 0.0}, "finite values above 0"),
        ({"pixel_scale": np.array([1.0, np.nan])}, "finite values above 0"),
        ({"noise": np.array([-1.0])}, "negative or non-finite"),
        ({"psf": np.ones((1, 4, 4)) / 16}, "square and odd"),
        ({"psf": np.ones((1, 3, 3))}, "allowed is 1; normalise it"),
        ({"psf": np.full((2, 3, 3), 1 / 9)}, "one per band"),
        ({"psf": np.full((1, 3, 3), np.inf)}, "non-finite"),
    ],
)
def test_a_broken_setup_is_refused_with_the_reason(changes, words):
    fields = {"track": "rgb", "bands": ("red",), "unit": "display", **changes}
    with pytest.raises(UsageError, match=words):
        Setup(**fields)


@given(
    noise=arrays.arrays(
        np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(0, 10)
    )
)
def test_a_setup_is_on_its_own_footing(noise):
    mine = setup(("a", "b"), noise=noise, pixel_scale=0.4)
    assert mine.differs_from(mine) == ()
    assert mine.differs_from(mine.replace(noise=noise.copy())) == ()


@given(st.sampled_from(["noise", "psf_fwhm", "pixel_scale", "exposure"]))
def test_differing_conditions_are_named(name):
    value = np.ones(1) if name in ("noise", "psf_fwhm") else 1.0
    mine = setup(**{name: value})
    assert mine.differs_from(setup(**{name: value * 1.1})) == (name,)
    assert mine.differs_from(setup()) == (name,)
    assert mine.differs_from(setup(**{name: value * 1.01})) == ()


def test_per_image_conditions_are_compared_as_distributions():
    rng = np.random.default_rng(3)
    draws = [setup(noise=rng.lognormal(0, 0.3, (400, 1)) * scale) for scale in (1, 1, 1.4)]
    assert draws[0].differs_from(draws[1]) == ()
    assert draws[0].differs_from(draws[2]) == ("noise",)


def test_missing_property_values_stay_missing():
    from astropy import units as u
    from astropy.table import QTable
    from astropy.utils.masked import Masked

    table = QTable({"mass": Masked([1.0, 2.0] * u.Msun, mask=[False, True]), "label": ["a", "b"]})
    values, valid, unit = property_values(table, "mass")
    assert unit == "solMass"
    assert valid.tolist() == [True, False]
    assert np.isnan(values[1])
    assert property_values(table, "label") is None
    assert property_values(table, "age") is None
    assert property_values(None, "mass") is None
