"""HDF5 described by a card: axes, planes and keys in words."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.adapters.hdf5_keys import read
from tests.data.golden import hdf5_keys as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_rows_planes_and_groups(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == [f"halo{seed}_view{row}" for seed in (1, 2) for row in (0, 1)]
    assert images.groups.tolist() == ["halo1", "halo1", "halo2", "halo2"]
    assert images.setup.pixel_scale == 0.2
    pixels = images.images.read(slice(None))
    for i, (seed, row) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        expected = golden.pixels(seed, row)
        expected[:, 2, 3] = 0.0
        np.testing.assert_allclose(pixels[i], expected, rtol=1e-6)
    assert [tuple(place) for place in np.argwhere(images.mask[:, 0])] == [
        (i, 2, 3) for i in range(4)
    ]


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_the_byte_order_changes_no_bit(folder, dtype):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, dtype=dtype)
    assert ingested(folder).images.digest == straight


def test_datasets_beside_the_images_are_properties(folder):
    about = {"column": "stamps/stellar_mass", "unit": "Msun", "description": "mass"}
    card = golden.card()
    card = card.model_validate(card.model_dump() | {"properties": {"mass": about}})
    values, valid, _ = property_values(ingested(folder, card).images.properties, "mass")
    assert values[valid].tolist() == [1e10 + 1, 1e10 + 2]
    assert valid.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"axes": None}, "axes"),
        ({"axes": "object y x"}, "'band'"),
        ({"axes": "y x band object"}, "first"),
        ({"axes": "object band height width"}, "axes"),
        ({"planes": ["r"]}, "planes"),
        ({"planes": ["g", "g"]}, "planes"),
        ({"mask": None}, "UsageError"),
    ],
)
def test_what_is_ambiguous_is_refused(folder, options, word):
    card = golden.card(options=options)
    kept = {key: value for key, value in card.files.options.items() if value is not None}
    card = card.model_copy(update={"files": card.files.model_copy(update={"options": kept})})
    with pytest.raises(UsageError) as caught:
        ingested(folder, card)
    assert word in str(caught.value) or word == "UsageError"
