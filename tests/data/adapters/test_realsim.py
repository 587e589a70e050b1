"""RealSim inputs: magnitudes with infinities, a file per band, kpc pixels."""

import numpy as np
import pytest

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.data.adapters.realsim import read
from tests.data.golden import realsim as golden
from tests.data.golden.scene import new_store

#: [arcsec] 97.65625 pc at z = 0.046 with H0 = 70, Om0 = 0.3, by Ned Wright's calculator
#: (0.904 kpc per arcsec).
PIXEL_SCALE = 0.09765625 / 0.904


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (186, 214):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=new_store(folder))


def test_what_was_written_is_read(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == [f"CNN_G2G3_e-orbit_1_{seed}_i0_total" for seed in (186, 214)]
    # Snapshots of one run are one object.
    assert set(images.groups.tolist()) == {"G2G3_e-orbit_1"}
    assert images.setup.pixel_scale == pytest.approx(PIXEL_SCALE, rel=1e-3)
    assert images.setup.physical_scale == pytest.approx(0.09765625)
    assert images.setup.redshift == 0.046
    scale = images.setup.pixel_scale
    for i, seed in enumerate((186, 214)):
        expected = 10 ** (0.4 * (31.4 - golden.brightness(seed))) * scale**2
        np.testing.assert_allclose(images.images.read(slice(i, i + 1))[0], expected, rtol=1e-5)
    assert (images.images.read(slice(0, 1))[0][:, :3, :3] == 0).all()
    assert images.mask is None


def test_packed_and_plain_files_are_the_same(folder):
    packed = ingested(folder).images.digest
    for path in folder.iterdir():
        path.unlink()
    for seed in (186, 214):
        golden.write(folder, seed, ending=".fits")
    assert ingested(folder).images.digest == packed


def test_the_cosmology_must_be_named(folder):
    with pytest.raises(UsageError, match=r"files\.options\.cosmology"):
        ingested(folder, golden.card(options={}))


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"bands": "gi"}, "E_BANDS", "photo_r_"),
        ({"keys": {"FILTER": "r_SDSS.res"}}, "E_BANDS", "says FILTER"),
        ({"keys": {"BUNIT": "MJy/sr"}}, "E_UNIT", "MJy/sr"),
        ({"keys": {"CTYPE1": "deg"}}, "E_SCALE", "CDELT1"),
        ({"keys": {"REDSHIFT": 0.0}}, "E_HEADER", "REDSHIFT"),
        ({"values": np.full(golden.SIZE, np.inf)}, "E_EMPTY", "zeros"),
        ({"values": np.linspace(-1, 1, 484).reshape(22, 22)}, "E_UNIT", "look linear"),
    ],
)
def test_a_broken_object_is_named_and_changes_nothing_about_the_others(folder, fault, code, says):
    clean = ingested(folder).images.digest
    golden.write(folder, 300, **fault)
    result = ingested(folder)
    assert [each.code for each in result.rejected] == [code]
    assert "_300_" in result.rejected[0].reason
    assert says in result.rejected[0].reason
    assert result.images.digest == clean


def test_a_file_that_is_called_otherwise_is_quarantined(folder):
    clean = ingested(folder).images.digest
    (folder / "mystery.fits").write_bytes(b"")
    result = ingested(folder)
    assert [each.code for each in result.rejected] == ["E_NAME"]
    assert result.images.digest == clean


@pytest.mark.real
def test_the_real_files(real_data, tmp_path):
    from astropy.io import fits

    folder = real_data("realsim_mergers") / "realsim_mergers"
    result = read(load_card("realsim-mergers"), seed=0, store=tmp_path / "store.h5")
    images = result.images
    assert not result.rejected
    assert images.images.shape == (3, 3, 512, 512)
    assert images.n_groups == 1
    assert images.setup.pixel_scale == pytest.approx(PIXEL_SCALE, rel=1e-3)
    raw = fits.getdata(folder / "photo_r_CNN_G2G3_e-orbit_1_214_i0_total.fits.gz")
    assert raw.dtype == np.dtype(">f8")
    got = images.images.read(slice(1, 2))[0, 1]
    empty = np.isinf(raw)
    assert empty.any()
    assert (got[empty] == 0).all()
    expected = 10 ** (0.4 * (31.4 - raw[~empty])) * images.setup.pixel_scale**2
    np.testing.assert_allclose(got[~empty], expected, rtol=1e-5)
