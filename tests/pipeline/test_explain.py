"""The explain stage: what cannot be had costs itself, never the comparison."""

import json

import numpy as np
import pytest
from astropy.table import QTable

from simreal.core.embedding import Embedding
from simreal.core.images import Setup
from simreal.pipeline.explain import MOST_MAPS, explain


def embedding(name, n, properties=(), *, driver=False):
    rng = np.random.default_rng(len(name))
    ids = np.array([f"{name}{i}" for i in range(n)])
    columns = {key: rng.normal(size=n) for key in properties}
    vectors = rng.normal(size=(n, 4))
    if driver:
        vectors[:, 0] += 3 * columns[properties[0]]
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids, groups=ids,
        properties=QTable(columns) if columns else None, encoder_digest="e", source_digest=name,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    obs, sim = embedding("survey", 60), embedding("mock", 40, ("mass", "spin"), driver=True)
    return explain(obs, sim, seed=0, folder=folder), folder


def test_every_part_is_there_as_plain_values(explained):
    found, folder = explained
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["regions"]["reason"] is None
    assert sum(region["n_sim"] for region in found["regions"]["regions"]) == 40
    names = [row["name"] for row in found["gradients"]["sim"]["properties"]]
    assert names == ["mass", "spin"]
    assert "vector" not in found["gradients"]["sim"]["properties"][0]["direction"]
    for row in found["figures"]:
        assert (folder / f"{row['name']}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{row['name']}.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_held_best_is_mapped_first(explained):
    maps = explained[0]["property_maps"]
    assert [one["property"] for one in maps] == ["mass", "spin"]
    assert len(maps) <= MOST_MAPS
    assert maps[0]["figure"] == "property_map_1"


def test_a_side_without_properties_says_so_and_the_rest_goes_on(explained):
    assert "survey" in explained[0]["gradients"]["obs"]["reason"]


def test_too_few_objects_leave_reasons_only(tmp_path):
    found = explain(embedding("survey", 5), embedding("mock", 4), seed=0, folder=tmp_path)
    assert "got 4 groups of mock" in found["regions"]["reason"]
    assert found["property_maps"] == []
    assert found["figures"] == []
    assert all(side["reason"] for side in found["gradients"].values())


def test_the_same_embeddings_give_the_same_bytes(explained, tmp_path):
    first, folder = explained
    obs, sim = embedding("survey", 60), embedding("mock", 40, ("mass", "spin"), driver=True)
    assert explain(obs, sim, seed=0, folder=tmp_path) == first
    for path in folder.iterdir():
        if path.suffix in (".png", ".pdf"):
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
