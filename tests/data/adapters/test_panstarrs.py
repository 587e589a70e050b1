"""Pan-STARRS stacks: the inverse of the asinh, blanks, and images that are linear already."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.data.adapters.panstarrs import read
from tests.data.golden import panstarrs as golden
from tests.data.golden.scene import planes

#: [nJy] of one count/s at zero point 25: 10^(0.4 * 6.4).
COUNT = 363.0780548


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder):
    return read(golden.card(), seed=0, store=folder.parent / "store.h5")


def test_the_asinh_is_undone(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["1", "2"]
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    pixels = images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        assert [tuple(place) for place in np.argwhere(images.mask[i])] == [(0, 0, 0), (1, 0, 0)]
        counts = 1000.0 * planes(seed, 2)
        good = ~images.mask[i]
        # Half a step of the 16-bit scale, at the slope of the sinh.
        slope = 2 * np.hypot(golden.SOFTENING, (counts - golden.OFFSET) / 2) / 1.085736
        allowed = (0.51 * golden.STEP * slope / golden.EXPOSURE * COUNT + 1e-5)[good]
        error = np.abs(pixels[i] - counts / golden.EXPOSURE * COUNT)[good]
        assert (error <= allowed).all()


def test_a_linear_image_is_not_taken_for_a_scaled_one(folder):
    path = golden.write(folder, 3)[0]
    header = fits.getheader(path)
    for key in ("BSCALE", "BZERO", "BLANK"):
        header.pop(key, None)
    fits.writeto(path, (1e4 * planes(3, 1)[0]).astype(">f4"), header, overwrite=True)
    (row,) = ingested(folder).rejected
    assert row.code == "E_UNIT"
    assert "linear already" in row.reason
