"""OMEGA cubes: one camera per card, planes by name, light against the stated magnitudes."""

import numpy as np
import pytest

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.data._photometry import magnitude
from simreal.data.adapters.omega import read
from tests.data.golden import omega as golden
from tests.data.golden.scene import new_store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for camera in golden.CAMERAS:
        for seed in (1, 2):
            golden.write(tmp_path / "files", seed, camera=camera)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=new_store(folder))


@pytest.mark.parametrize("camera", list(golden.CAMERAS))
def test_each_camera_has_its_own_pixels_and_magnitudes(folder, camera):
    result = ingested(folder, golden.card(camera))
    images = result.images
    assert images.ids.tolist() == [f"{188916 + seed}_i0_a0_z3_{camera}" for seed in (1, 2)]
    assert images.groups.tolist() == ["188917 z3", "188918 z3"]
    assert images.setup.pixel_scale == pytest.approx(golden.CAMERAS[camera][0], rel=1e-9)
    assert images.setup.redshift == 3
    # 7.89 kpc per arcsec at z = 3 in the cosmology of Planck 2015.
    assert images.setup.physical_scale / images.setup.pixel_scale == pytest.approx(7.89, abs=0.01)
    total = images.images.read(slice(0, 2)).sum((2, 3), dtype=float)
    by_hand = [golden.magnitudes(seed, camera) for seed in (1, 2)]
    np.testing.assert_allclose(magnitude(total), by_hand, atol=1e-5)
    assert "4 files of other cameras" in result.notes[0]


def test_bands_are_picked_by_name(folder):
    two = ingested(folder, golden.card(bands=("nircam-f200w", "nircam-f115w")))
    every = ingested(folder)
    np.testing.assert_array_equal(
        two.images.images.read(slice(0, 2)), every.images.images.read(slice(0, 2))[:, [2, 0]]
    )


@pytest.mark.parametrize("options", [{}, {"camera": "NIRCam"}])
def test_a_card_that_chooses_no_camera_is_refused(folder, options):
    with pytest.raises(UsageError, match=r"files\.options\.camera.*NIRCam_short"):
        ingested(folder, golden.card(options=options))


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"keys": {"MAG2": 20.0}}, "E_FLUX", "MAG2"),
        ({"keys": {"EXT1": "F115W", "EXT2": "F115W"}}, "E_BANDS", "'F115W'"),
        ({"keys": {"EXT3": None}}, "E_BANDS", "no EXT3"),
        ({"keys": {"BUNIT": "Jy/beam", "UNITS": None}}, "E_UNIT", "Jy/beam"),
        ({"keys": {"CDELT1": -1.75e-05, "CDELT2": 1.75e-05}}, "E_SCALE", "NIRCam_short"),
        ({"keys": {"CTYPE1": "pc"}}, "E_SCALE", "WCS"),
        ({"keys": {"REDSHIFT": None}}, "E_HEADER", "REDSHIFT"),
        ({"cube": golden.pixels(3)[0]}, "E_BANDS", "2 dimensions"),
    ],
)
def test_a_broken_file_is_named_and_changes_nothing_about_the_others(folder, fault, code, says):
    card = golden.card(unit="header")
    clean = ingested(folder, card).images.digest
    golden.write(folder, 3, **fault)
    result = ingested(folder, card)
    assert [each.code for each in result.rejected] == [code]
    assert "188919_i0_a0_z3_NIRCam_short.fits: " in result.rejected[0].reason
    assert says in result.rejected[0].reason
    assert result.images.digest == clean


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "scale", "side", "n_bands"),
    [
        ("tng50-nircam", 0.031, 129, 12),
        ("tng50-nircam-long", 0.063, 63, 15),
        ("tng50-miri", 0.11, 37, 9),
    ],
)
def test_the_real_files(real_data, tmp_path, name, scale, side, n_bands):
    from astropy.io import fits

    card = load_card(name)
    folder = real_data("tng50_nircam") / "tng50_nircam"
    (path,) = folder.glob(f"*_{card.files.options['camera']}.fits")
    header = fits.getheader(path)
    instrument = card.view.bands[0].partition("-")[0]
    labels = [header[f"EXT{i + 1}"] for i in range(n_bands)]
    bands = tuple(f"{instrument}-{label.lower()}" for label in labels)
    every = card.model_copy(update={"view": card.view.model_copy(update={"bands": bands})})
    images = read(every, seed=0, store=tmp_path / "store.h5").images
    assert images.images.shape == (1, n_bands, side, side)
    assert images.setup.pixel_scale == pytest.approx(scale, rel=1e-6)
    total = magnitude(images.images.read(slice(0, 1))[0].sum((1, 2), dtype=float))
    stated = [header[f"MAG{i + 1}"] for i in range(n_bands)]
    # A hundredth or two of the light falls off the frame.
    np.testing.assert_allclose(total, stated, atol=0.025)
