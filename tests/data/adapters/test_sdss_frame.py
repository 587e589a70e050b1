"""SDSS frames: galaxies of a table cut out where the WCS says, on each band's own pixels."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.data._cutouts import corner
from simreal.data.adapters.sdss_frame import read
from tests.data.golden import sdss_frame as golden

NANOMAGGY = 3630.780548


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_galaxies_are_cut_out_at_their_place_in_every_band(folder):
    found = ingested(folder)
    images = found.images
    assert images.ids.tolist() == ["J000001", "J000002"]
    assert images.groups.tolist() == ["000001-1-0001", "000002-1-0001"]
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    pixels = images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        for j, band in enumerate("gr"):
            top, left = (corner(p, golden.WIDTH) for p in golden.PLACES[band])
            window = golden.frame(seed, band)[top : top + 21, left : left + 21]
            np.testing.assert_allclose(
                pixels[i, j], window * NANOMAGGY, rtol=1e-6, atol=1e-6 * NANOMAGGY
            )
            # The galaxy of the frame is in the middle of its stamp.
            assert np.argmax(pixels[i, j]) in {21 * 10 + x for x in range(6, 15)} | {
                21 * 9 + 10, 21 * 11 + 10,
            }  # fmt: skip
    # The scatter of the frame is that of its sky, to the accuracy of 4,800 pixels.
    expected = np.array([golden.NOISE["g"], golden.NOISE["r"]]) * NANOMAGGY
    np.testing.assert_allclose(images.setup.noise, [expected] * 2, rtol=0.08)


def test_a_stamp_over_the_edge_is_padded_and_masked(folder):
    ra, dec = golden.position(1)
    golden.write_table(
        folder, [("edge", ra, dec + 30 * golden.PIXEL_SCALE / 3600, "000001-1-0001")]
    )
    found = ingested(folder)
    row = found.images.ids.tolist().index("edge")
    # Declination runs along x: x = 70 of 80 in g, 73 in r, so that 1 and 4 columns are outside.
    assert [int(found.images.mask[row, j].sum()) for j in (0, 1)] == [1 * 21, 4 * 21]


@pytest.mark.parametrize(
    ("options", "files", "word"),
    [({"width": 0}, {}, "width"), ({"width": "21"}, {}, "width"),
     ({}, {"table": None, "join": None}, "files.table")],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_refused(folder, options, files, word):
    with pytest.raises(UsageError, match=word):
        ingested(folder, golden.card(options=options, files=files))
