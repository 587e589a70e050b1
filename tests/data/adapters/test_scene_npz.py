"""Scenes with a catalogue: one stamp per row, the sky of a scene shared."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.data._cutouts import corner
from simreal.data.adapters.scene_npz import read
from tests.data.golden import scene_npz as golden

COUNT = 57.54399373


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_objects_are_cut_out_with_psf_noise_and_mask(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["scene_1-0", "scene_1-1", "scene_2-0", "scene_2-1"]
    assert images.groups.tolist() == ["scene_1", "scene_1", "scene_2", "scene_2"]
    np.testing.assert_allclose(images.setup.noise, [0.01 * COUNT, 0.02 * COUNT], rtol=1e-6)
    assert images.setup.psf.shape == (2, 7, 7)
    pixels = images.images.read(slice(None))
    for i, (seed, row) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        top, left = (corner(place, golden.WIDTH) for place in golden.PLACES[row])
        window = golden.pixels(seed)[:, top : top + 15, left : left + 15] * COUNT
        hidden = images.mask[i]
        # Only the pixel without data is hidden, and only where the stamp has it: (25, 25) in g.
        assert hidden.sum() == (1 if row == 0 else 0)
        np.testing.assert_allclose(pixels[i][~hidden], window[~hidden], rtol=1e-6)


def test_bands_are_found_by_name(folder):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, order=(1, 0))
    assert ingested(folder).images.digest == straight


def test_a_width_is_needed(folder):
    with pytest.raises(UsageError, match="width"):
        ingested(folder, golden.card(options={"width": None}))
