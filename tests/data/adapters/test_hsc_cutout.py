"""HSC cutouts: masks by the planes' names, FLUXMAG0, variance, PSFs of two sizes; HSC scenes."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.data.adapters.hsc_cutout import read
from simreal.data.ingest import ingest
from tests.data.golden import hsc_cutout as golden

#: [nJy] of one count at zero point 27: 10^(0.4 * 4.4).
COUNT = 57.54399373


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_image_mask_variance_and_psf(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["1", "2"]
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    pixels = images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        # A detected galaxy is no reason to mask it; a saturated pixel is.
        expected = np.zeros((2, 20, 24), bool)
        expected[:, 0, seed] = True
        np.testing.assert_array_equal(images.mask[i], expected)
        light = np.where(expected, 0.0, golden.pixels(seed) * COUNT)
        np.testing.assert_allclose(pixels[i], light, rtol=1e-6)
    # 0.02 and 0.03 counts.
    np.testing.assert_allclose(images.setup.noise, [0.02 * COUNT, 0.03 * COUNT], rtol=1e-6)
    psf = images.setup.psf
    assert psf.shape == (2, 2, 11, 11)
    assert [int(np.argmax(kernel)) for kernel in psf[:, 0]] == [60, 60]


def test_the_numbers_of_mask_planes_are_the_files_own(folder):
    straight = ingested(folder).images.digest
    for path in folder.glob("cutout-*.fits"):
        with fits.open(path, mode="update") as hdus:
            flags = hdus[2].data
            hdus[2].data = np.where(flags & 2, 1 << 20, flags & ~2).astype(">i4")
            hdus[2].header["MP_SAT"] = 20
    assert ingested(folder).images.digest == straight


@pytest.mark.parametrize("changes", [{"mask": "good"}, {"options": {"mask_planes": []}}])
def test_a_mask_that_would_flag_every_galaxy_is_refused(folder, changes):
    with pytest.raises(UsageError, match="mask_planes"):
        ingested(folder, golden.card(**changes))


@pytest.mark.real
def test_hsc_scenes(real_data, tmp_path):
    folder = real_data("hsc_cosmos") / "hsc_cosmos"
    found = ingest(load_card("hsc-cosmos"), seed=0, store=tmp_path / "store.h5")
    images = found.images
    assert len(images) + len(found.rejected) == 13
    assert images.images.shape[1:] == (5, 32, 32)
    assert set(images.groups.tolist()) == {"hsc_cosmos", "hsc_cosmos_35"}
    assert images.setup.psf.shape[1:] == (5, 43, 43)
    with np.load(folder / "hsc_cosmos.npz") as scene:
        x, y = scene["catalog"]["x"][3], scene["catalog"]["y"][3]
        top, left = (int(np.floor(v - 15.5 + 0.5)) for v in (y, x))
        window = scene["images"][:, top : top + 32, left : left + 32]
    row = images.ids.tolist().index("hsc_cosmos-3")
    ours, hidden = images.images.read(np.array([row]))[0], images.mask[row]
    np.testing.assert_allclose(ours[~hidden], (window * COUNT)[~hidden], rtol=1e-6)
    # The object is in the middle of its stamp.
    peak = np.unravel_index(np.argmax(ours[2]), ours[2].shape)
    assert max(abs(p - 15.5) for p in peak) < 2
