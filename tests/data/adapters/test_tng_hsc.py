"""TNG galaxies for HSC: realistic with masks and variance, idealised in magnitudes."""

import numpy as np
import pytest

from simreal.core.cards import PropertyColumn, load_card
from simreal.core.errors import NothingUsableError, UsageError
from simreal.core.images import property_values
from simreal.data._photometry import magnitude
from simreal.data.adapters.tng_hsc import read
from tests.data.golden import tng_hsc as golden
from tests.data.golden.scene import new_store

NANOMAGGY = 3630.7805477


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=new_store(folder))


class TestRealistic:
    def test_what_was_written_is_read(self, folder):
        for seed in (1, 2):
            golden.write(folder, seed)
        images = ingested(folder).images
        assert images.ids.tolist() == [
            "shalo_072-101_v1_HSC_GRIZY",
            "shalo_072-102_v2_HSC_GRIZY",
        ]
        assert images.groups.tolist() == ["TNG50-1-72-101", "TNG50-1-72-102"]
        for i, seed in enumerate((1, 2)):
            good = (golden.flags(seed) & golden.NO_DATA) == 0
            got = images.images.read(slice(i, i + 1))[0]
            expected = golden.pixels(seed) * NANOMAGGY
            np.testing.assert_allclose(got[good], expected[good], rtol=1e-6)
            assert (got[~good] == 0).all()
            np.testing.assert_array_equal(images.mask[i], ~good)

    def test_the_pixel_scale_is_the_field_over_the_pixels_and_not_cdelt(self, folder):
        golden.write(folder, 1)
        setup = ingested(folder).images.setup
        assert setup.pixel_scale == pytest.approx(0.169)
        assert setup.physical_scale == pytest.approx(0.169 * golden.KPC_PER_ARCSEC)
        assert setup.redshift == 0.3999

    def test_noise_is_the_root_of_the_median_variance(self, folder):
        golden.write(folder, 1)
        noise = ingested(folder).images.setup.noise
        np.testing.assert_allclose(noise, np.sqrt(golden.VARIANCE) * NANOMAGGY, rtol=1e-5)

    def test_every_set_flag_is_bad_where_the_card_says_so(self, folder):
        golden.write(folder, 1)
        card = golden.card(mask="bad", mask_bits=())
        # BRIGHT_OBJECT may cover the whole image: read so, nothing of it would be left.
        with pytest.raises(NothingUsableError, match="E_EMPTY"):
            ingested(folder, card)

    def test_kernels_are_odd_centred_and_sum_to_one(self, folder):
        golden.write(folder, 1, psf=True)
        psf = ingested(folder).images.setup.psf
        assert psf.shape == (5, 7, 7)
        np.testing.assert_allclose(psf.sum((1, 2)), 1, atol=1e-12)
        assert np.unravel_index(psf[0].argmax(), (7, 7)) == (3, 3)

    def test_unit_names_are_found_in_any_case(self, folder):
        golden.write(folder, 1)
        straight = ingested(folder).images.digest
        golden.write(folder, 1, lower=True)
        assert ingested(folder).images.digest == straight

    def test_magnitudes_of_the_headers_are_properties(self, folder):
        golden.write(folder, 1)
        about = PropertyColumn(column="APMAG_I", unit="mag", description="i")
        card = golden.card().model_copy(update={"properties": {"i_magnitude": about}})
        images = ingested(folder, card).images
        by_hand = 22.5 - 2.5 * np.log10(golden.pixels(1)[2].sum())
        values, known, unit = property_values(images.properties, "i_magnitude")
        assert values.tolist() == [pytest.approx(by_hand)]
        assert known.all()
        assert unit == "mag"

    @pytest.mark.parametrize(
        ("fault", "code", "says"),
        [
            ({"bands": "grzy"}, "E_HDU", "SUBARU_HSC.I"),
            ({"keys": {"FOVARC": None}}, "E_SCALE", "FOVARC"),
            ({"keys": {"FOVARC": 8.0}}, "E_SCALE", "CDELT1"),
            ({"keys": {"FILTER": "Subaru_HSC.r"}}, "E_BANDS", "swapped"),
            ({"keys": {"BUNIT": "AB mag/arcsec2"}}, "E_UNIT", "mag/arcsec2"),
            ({"keys": {"KPCARC": 0.0}}, "E_SCALE", "KPCARC"),
            ({"keys": {"REDSHIFT": None}}, "E_HEADER", "REDSHIFT"),
            ({"keys": {"REDSHIFT": -0.2}}, "E_HEADER", "from 0 to 50"),
        ],
    )
    def test_a_broken_file_is_named_and_changes_nothing(self, folder, fault, code, says):
        for seed in (1, 2):
            golden.write(folder, seed)
        clean = ingested(folder).images.digest
        path = golden.write(folder, 3, **fault)
        result = ingested(folder)
        assert [each.code for each in result.rejected] == [code]
        assert result.rejected[0].reason.startswith(f"{path.name}: ")
        assert says in result.rejected[0].reason
        assert result.images.digest == clean


class TestIdealised:
    def test_the_same_light_is_read_from_magnitudes(self, folder):
        golden.write(folder, 1)
        realistic = ingested(folder).images
        (folder / "shalo_072-101_v1_HSC_GRIZY.fits").unlink()
        golden.write_ideal(folder, 1)
        ideal = ingested(folder, golden.ideal_card()).images
        assert ideal.setup.pixel_scale == pytest.approx(realistic.setup.pixel_scale, rel=1e-4)
        assert ideal.setup.noise is None
        got, expected = (each.images.read(slice(0, 1))[0] for each in (ideal, realistic))
        both = ~realistic.mask[0]
        both[:, 0, 0] = False
        np.testing.assert_allclose(got[both], expected[both], rtol=2e-4)
        assert (got[:, 0, 0] == 0).all()

    def test_what_a_kiloparsec_is_must_be_said(self, folder):
        golden.write_ideal(folder, 1)
        with pytest.raises(UsageError, match=r"files\.options\.cosmology"):
            ingested(folder, golden.ideal_card(options={}))

    def test_an_unknown_cosmology_is_refused(self, folder):
        golden.write_ideal(folder, 1)
        with pytest.raises(UsageError, match="Planck15"):
            ingested(folder, golden.ideal_card(options={"cosmology": "Planck16"}))

    def test_magnitudes_called_nanomaggies_are_refused(self, folder):
        golden.write_ideal(folder, 1)
        with pytest.raises(NothingUsableError, match="E_UNIT"):
            ingested(folder, golden.ideal_card(unit="nanomaggy"))


@pytest.mark.real
def test_the_real_files(real_data, tmp_path):
    from astropy.io import fits

    folder = real_data("tng50_hsc") / "tng50_hsc"
    result = read(load_card("tng50-hsc"), seed=0, store=tmp_path / "store.h5")
    images = result.images
    assert not result.rejected
    assert images.images.shape == (3, 5, 133, 133)
    np.testing.assert_allclose(
        images.setup.pixel_scale, [0.1690609, 0.1686252, 0.1686430], atol=1e-6
    )
    np.testing.assert_allclose(images.setup.redshift, [0.3999, 0.1973, 0.1973])
    assert images.setup.noise.shape == (3, 5)
    with fits.open(folder / "shalo_084-627988_v1_HSC_GRIZY.fits") as hdus:
        raw = np.stack([hdus[f"SUBARU_HSC.{band}"].data for band in "GRIZY"])
        stated = [hdus[f"SUBARU_HSC.{band}"].header["APMAG"] for band in "GRIZY"]
        flags = hdus["SUBARU_HSC.I MASK"].data
        assert hdus["SUBARU_HSC.G"].data.dtype == np.dtype(">f8")
    flux = images.images.read(slice(1, 2))[0]
    np.testing.assert_allclose(flux, raw * NANOMAGGY, rtol=1e-5, atol=1e-3)
    assert not images.mask[1].any()
    # A neighbour and the sky come on top of the galaxy's stated light, within a magnitude.
    total = magnitude(flux.sum((1, 2), dtype=float))
    assert ((np.array(stated) - total > -0.1) & (np.array(stated) - total < 1)).all()
    # The flags are of the sky into which the galaxy was put: it is not DETECTED (bit 5) itself.
    assert (flags >> 5 & 1).any()
    assert not (flags[61:72, 61:72] >> 5 & 1).any()
    # Where nothing was detected, the scatter of the pixels is what the variance says.
    blank = flux[2][flags == 0]
    scatter = 1.4826 * np.median(np.abs(blank - np.median(blank)))
    assert scatter == pytest.approx(images.setup.noise[1, 2], rel=0.2)
