"""Arrays of numpy beside a table: axes in words, rows counted only where every one is there."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.adapters.npy_table import read
from tests.data.golden import npy_table as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_magnitudes_become_light(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == [
        "maps_1-000000", "maps_1-000001", "maps_2-000000", "maps_2-000001"
    ]  # fmt: skip
    pixels = images.images.read(slice(None))
    for i, (seed, row) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        expected = golden.pixels(seed, row)
        expected[:, 1, 2] = 0.0
        np.testing.assert_allclose(pixels[i], expected, rtol=1e-6)


def test_the_byte_order_changes_no_bit(folder):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, dtype="<f8")
    assert ingested(folder).images.digest == straight
    for seed in (1, 2):
        golden.write(folder, seed, dtype=">f8")
    assert ingested(folder).images.digest == straight


def table_card():
    about = {"mass": {"column": "mass", "unit": "Msun", "description": "mass"}}
    files = {"table": "files/halos.csv", "join": "halo", "group": "tree"}
    card = golden.card(options={"rows": "table"}, files=files)
    return card.model_validate(card.model_dump() | {"properties": about})


def test_a_table_names_the_rows_in_order(folder):
    (folder / "halos.csv").write_text("halo,mass,tree\na,1,t\nb,2,t\nc,3,u\nd,,u\n")
    images = ingested(folder, table_card()).images
    assert images.ids.tolist() == ["a", "b", "c", "d"]
    assert images.groups.tolist() == ["t", "t", "u", "u"]
    values, valid, _ = property_values(images.properties, "mass")
    assert values[valid].tolist() == [1.0, 2.0, 3.0]


def test_rows_that_cannot_be_counted_are_refused(folder):
    (folder / "halos.csv").write_text("halo,mass,tree\na,1,t\nb,2,t\nc,3,u\n")
    with pytest.raises(UsageError, match="3 rows for 4 images"):
        ingested(folder, table_card())
    (folder / "halos.csv").write_text("halo,mass,tree\na,1,t\nb,2,t\nc,3,u\nd,4,u\n")
    (folder / "maps_1.npy").write_bytes(b"")
    with pytest.raises(UsageError, match=r"maps_1\.npy"):
        ingested(folder, table_card())
