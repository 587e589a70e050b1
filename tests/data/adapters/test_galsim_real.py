"""RealGalaxy catalogues: rows to HDUs, PSF and noise of each galaxy, GalSim as the referee."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data._photometry import magnitude
from simreal.data.adapters.galsim_real import read
from simreal.data.ingest import ingest
from tests.data.golden import galsim_real as golden

#: [nJy] of 1 count/s at zero point 25.94: 10^(0.4 (31.4 - 25.94)).
COUNT = 152.7566058


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def inside(array, size):
    """Return the part of a padded image that is the file's."""
    y, x = ((have - want) // 2 for have, want in zip(array.shape, size, strict=True))
    return array[y : y + size[0], x : x + size[1]]


def test_each_row_gets_its_image_psf_scale_and_noise(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["1000", "1001", "2000", "2001"]
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    np.testing.assert_allclose(images.setup.noise, COUNT * golden.VARIANCE**0.5, rtol=1e-6)
    pixels = images.images.read(slice(None))[:, 0]
    for row, (seed, which) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        size = golden.SIZES[which]
        expected = golden.pixels(seed, which) * COUNT
        np.testing.assert_allclose(inside(pixels[row], size), expected, rtol=1e-6)
        assert not inside(images.mask[row, 0], size).any()
        assert images.mask[row, 0].sum() == pixels[row].size - expected.size
    psf = images.setup.psf
    assert psf.shape == (4, 1, 11, 11)
    np.testing.assert_allclose(psf.sum(axis=(2, 3)), 1.0)
    kernel = golden.kernel(2).astype(np.float32)
    np.testing.assert_allclose(psf[3, 0, :, 2:9], kernel / kernel.sum(), rtol=1e-5)


def test_properties_are_joined_by_ident_not_by_row(folder):
    about = {"column": "ZPHOT", "unit": "", "description": "redshift"}
    vector = {"column": "hlr[1]", "unit": "", "description": "radius"}
    card = golden.card()
    card = card.model_validate(card.model_dump() | {"properties": {"z": about, "hlr": vector}})
    properties = ingested(folder, card).images.properties
    np.testing.assert_allclose(property_values(properties, "z")[0], [1.0, 1.001, 2.0, 2.001])
    np.testing.assert_array_equal(property_values(properties, "hlr")[0], 1.0)


def test_the_catalogue_is_what_everything_hangs_on(folder):
    card = golden.card(options={"catalogue": "real_galaxy_catalog_goldn.fits"})
    with pytest.raises(UsageError, match=r"did you mean 'real_galaxy_catalog_golden\.fits'"):
        ingested(folder, card)
    (folder / golden.CATALOGUE).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UsageError, match="git lfs pull"):
        ingested(folder)
    columns = [fits.Column(name="x", format="D", array=np.ones(2))]
    table = fits.BinTableHDU.from_columns(columns)
    table.writeto(folder / golden.CATALOGUE, overwrite=True)
    with pytest.raises(UsageError, match="no column 'IDENT'"):
        ingested(folder)


def test_galsim_reads_the_same(folder):
    import galsim

    theirs = galsim.RealGalaxyCatalog(golden.CATALOGUE, dir=str(folder))
    images = ingested(folder).images
    assert theirs.nobjects == len(images)
    pixels = images.images.read(slice(None))[:, 0]
    for row in range(theirs.nobjects):
        image = theirs.getGalImage(row)
        assert image.scale == pytest.approx(images.setup.pixel_scale, rel=1e-6)
        ours = inside(pixels[row], image.array.shape) / COUNT
        np.testing.assert_allclose(ours, image.array, rtol=1e-6)
        psf = theirs.getPSFImage(row).array
        np.testing.assert_allclose(
            inside(images.setup.psf[row, 0], psf.shape), psf / psf.sum(), rtol=1e-5, atol=1e-12
        )


@pytest.mark.real
def test_cosmos_against_galsim_and_its_own_magnitudes(real_data, tmp_path):
    import galsim

    folder = real_data("cosmos_galsim") / "cosmos_galsim"
    found = ingest(load_card("cosmos"), seed=0, store=tmp_path / "store.h5")
    images = found.images
    assert (len(images), found.rejected) == (100, ())
    assert images.setup.bands == ("acs-f814w",)
    assert images.setup.pixel_scale == 0.03
    theirs = galsim.RealGalaxyCatalog(
        "real_galaxy_catalog_26_extension_example.fits", dir=str(folder)
    )
    pixels = images.images.read(slice(None))[:, 0]
    for row in (0, 7, 57, 99):
        image = theirs.getGalImage(row).array
        np.testing.assert_allclose(inside(pixels[row], image.shape) / COUNT, image, rtol=1e-5)
        variance = theirs.variance[row]
        assert images.setup.noise[row, 0] == pytest.approx(COUNT * variance**0.5, rel=1e-5)
    # Most of a galaxy's light is in its stamp: 0.08 mag less than in the catalogue's aperture.
    given, valid, _ = property_values(images.properties, "magnitude")
    assert valid.all()
    offset = magnitude(pixels.sum(axis=(1, 2), dtype=np.float64)) - given
    assert 0.0 < np.median(offset) < 0.15
    assert property_values(images.properties, "photometric_redshift")[1].sum() > 90
