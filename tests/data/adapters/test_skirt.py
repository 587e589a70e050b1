"""SKIRT instruments: units, axes either way, filters, and a header that is no sky."""

import numpy as np
import pytest

from simreal.core.errors import NothingUsableError, UsageError
from simreal.data.adapters.skirt import read
from tests.data.golden import skirt as golden
from tests.data.golden.scene import new_store

#: [nJy per pixel] of 1 MJy/sr in pixels of 0.5 arcsec.
PER_UNIT = 1e15 * (0.5 * np.pi / 648_000) ** 2
LIGHT_SPEED = 2.99792458e14  # [micron / s]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=new_store(folder))


def first(folder, card=None):
    return ingested(folder, card).images.images.read(slice(0, 1))[0]


def test_a_flat_spectrum_has_its_value_in_every_band(folder):
    golden.write(folder, 1)
    result = ingested(folder)
    images = result.images
    assert images.ids.tolist() == ["gal1_i88"]
    expected = golden.light(1) * PER_UNIT
    for band in images.images.read(slice(0, 1))[0]:
        np.testing.assert_allclose(band, expected, rtol=1e-5)
    assert images.setup.pixel_scale == 0.5
    # 0.5 arcsec at 10 Mpc are 24.24 pc.
    assert images.setup.physical_scale == pytest.approx(0.0242407, rel=1e-5)
    assert images.setup.redshift is None


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        # What a flat f_nu of 1 MJy/sr = 1e-20 W/m2/Hz/sr is in other units, by wavelength.
        ("W/m2/arcsec2", lambda micron: 1e-20 * LIGHT_SPEED / micron * (np.pi / 648_000) ** 2),
        ("W/m2/sr", lambda micron: 1e-20 * LIGHT_SPEED / micron),
        ("W/m2/micron/sr", lambda micron: 1e-20 * LIGHT_SPEED / micron**2),
        (
            "W/micron/m2/arcsec2",
            lambda micron: 1e-20 * LIGHT_SPEED / micron**2 * (np.pi / 648_000) ** 2,
        ),
        ("erg/s/cm2/Angstrom/sr", lambda micron: 1e-21 * LIGHT_SPEED / micron**2),
        ("erg/s/cm2/Hz/sr", lambda micron: 1e-17 + 0 * micron),
    ],
)
def test_every_style_of_unit_gives_the_same_light(folder, unit, factor):
    micron = golden.WAVELENGTHS / 1e4
    cube = golden.light(1) * factor(micron)[:, None, None]
    golden.write(folder, 1, cube=cube, unit=unit)
    np.testing.assert_allclose(first(folder)[0], golden.light(1) * PER_UNIT, rtol=2e-4)


@pytest.mark.parametrize(
    ("axis", "axis_unit"),
    [
        (golden.WAVELENGTHS[::-1] / 1e4, "micron"),
        (golden.WAVELENGTHS * 1e-10, "m"),
        (LIGHT_SPEED * 1e4 / golden.WAVELENGTHS, "Hz"),
        (LIGHT_SPEED * 1e-5 / golden.WAVELENGTHS, "GHz"),
        (12398.41984 / golden.WAVELENGTHS / 1e3, "keV"),
    ],
)
def test_the_third_axis_may_run_either_way_in_any_unit(folder, axis, axis_unit):
    # A colour, so that planes in the wrong order would be seen.
    colour = np.linspace(1, 3, len(golden.WAVELENGTHS))
    cube = golden.light(1) * colour[:, None, None]
    golden.write(folder, 1, cube=cube)
    straight = first(folder)
    backwards = axis_unit == "micron"
    golden.write(folder, 1, cube=cube[::-1] if backwards else cube, axis=axis, axis_unit=axis_unit)
    np.testing.assert_allclose(first(folder), straight, rtol=1e-4)
    assert straight[1].sum() > 1.2 * straight[0].sum()


def test_a_plane_may_be_a_band_already(folder):
    cube = np.stack([golden.light(1), 2 * golden.light(1)])
    golden.write(folder, 1, cube=cube, axis=[0.4702, 0.6176])
    card = golden.card(options={"planes": {"sdss-r": 6176.0, "sdss-g": 4702.0}})
    g, r = first(folder, card)
    np.testing.assert_allclose(g, golden.light(1) * PER_UNIT, rtol=1e-5)
    np.testing.assert_allclose(r, 2 * g, rtol=1e-5)


def test_a_band_that_has_no_plane_is_refused(folder):
    golden.write(folder, 1, cube=np.stack([golden.light(1)] * 2), axis=[0.4702, 0.6176])
    card = golden.card(options={"planes": {"sdss-r": 6600.0, "sdss-g": 4702.0}})
    with pytest.raises(NothingUsableError, match="no plane at 6600 Angstrom for sdss-r"):
        ingested(folder, card)


def test_planes_of_bands_are_not_taken_for_a_spectrum(folder):
    golden.write(folder, 1, cube=np.stack([golden.light(1)] * 2), axis=[0.4702, 0.6176])
    with pytest.raises(NothingUsableError, match=r"files\.options\.planes"):
        ingested(folder)


def test_a_filter_at_a_redshift_takes_the_light_that_will_move_into_it(folder):
    # One bright line at 4000 Angstrom lies in no r band at rest, and in it at z = 0.55.
    near = np.abs(golden.WAVELENGTHS - 4000) < 60
    cube = golden.light(1) * np.where(near, 1.0, 0.0)[:, None, None]
    golden.write(folder, 1, cube=cube + 1e-6 * golden.light(1))
    at_rest = first(folder)
    stretched = golden.card(bands=("sdss-r",), options={"filters_at_redshift": 0.55})
    assert at_rest[1].sum() < 1e-3 * at_rest[0].sum()
    assert first(folder, stretched)[0].sum() > 0.05 * at_rest[0].sum()


class TestScale:
    def test_the_angles_of_the_view_are_no_rotation(self, folder):
        golden.write(folder, 1)
        new = ingested(folder).images
        golden.write(folder, 1, new=False)
        old = ingested(folder).images
        assert new.digest == old.digest
        assert new.setup.physical_scale == pytest.approx(old.setup.physical_scale)

    def test_radians(self, folder):
        step = 0.5 / 206264.80624709636
        keys = {"CDELT1": step, "CDELT2": step, "CUNIT1": "rad", "CUNIT2": "rad"}
        golden.write(folder, 1, keys=keys)
        assert ingested(folder).images.setup.pixel_scale == pytest.approx(0.5)

    def test_a_length_needs_a_distance(self, folder):
        keys = {"CDELT1": 100.0, "CDELT2": 100.0, "CUNIT1": "pc", "CUNIT2": "pc"}
        golden.write(folder, 1, keys=keys, new=False)
        setup = ingested(folder).images.setup
        assert setup.physical_scale == pytest.approx(0.1)
        # 100 pc at 10 Mpc are 2.0626 arcsec.
        assert setup.pixel_scale == pytest.approx(2.0626481, rel=1e-6)
        with pytest.raises(NothingUsableError, match=r"calibration\.distance"):
            ingested(folder, golden.card(distance=None))

    @pytest.mark.parametrize(
        ("keys", "says"),
        [
            ({"CUNIT1": "1", "CUNIT2": "1"}, "CUNIT1 reads '1'"),
            ({"CDELT2": 0.7}, "square"),
            ({"CDELT1": None}, "CDELT1"),
        ],
    )
    def test_what_is_no_scale_is_refused(self, folder, keys, says):
        golden.write(folder, 1, keys=keys)
        with pytest.raises(NothingUsableError, match=says):
            ingested(folder)

    def test_a_redshift_and_a_card_that_denies_it_are_refused(self, folder):
        golden.write(folder, 1, keys={"REDSHIFT": 0.1})
        with pytest.raises(NothingUsableError, match=r"calibration\.already_dimmed"):
            ingested(folder)

    def test_light_at_a_redshift_has_both_scales(self, folder):
        golden.write(folder, 1, keys={"REDSHIFT": 0.1, "DISTANGD": 392.0})
        setup = ingested(folder, golden.card(already_dimmed=True, distance=None)).images.setup
        assert setup.redshift == 0.1
        # 392 Mpc / 206264.8 = 1.9005 kpc per arcsec.
        assert setup.physical_scale == pytest.approx(0.5 * 1.90047, rel=1e-4)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"unit": "1/s/cm2/keV/arcsec2"}, "E_UNIT", "xray"),
        ({"unit": "parrots"}, "E_UNIT", "parrots"),
        ({"table": False}, "E_HDU", r"files.options.grid"),
        ({"axis_unit": "furlong"}, "E_BANDS", "furlong"),
        ({"axis": -golden.WAVELENGTHS}, "E_BANDS", "above 0"),
        ({"axis": np.linspace(0.3, 0.5, 61)}, "E_BANDS", "covers"),
        ({"axis": np.full(61, 0.5)}, "E_BANDS", "repeats"),
        ({"cube": np.zeros((60, 20, 24))}, "E_BANDS", "60 planes and 61 wavelengths"),
    ],
)
def test_a_broken_cube_is_named_and_changes_nothing_about_the_others(folder, fault, code, says):
    golden.write(folder, 1)
    clean = ingested(folder).images.digest
    golden.write(folder, 2, **fault)
    result = ingested(folder)
    assert [each.code for each in result.rejected] == [code]
    assert says in result.rejected[0].reason
    assert result.images.digest == clean


def test_a_cube_without_a_table_can_be_read_by_a_grid_in_the_card(folder):
    golden.write(folder, 1)
    with_table = ingested(folder).images.digest
    golden.write(folder, 1, table=False)
    card = golden.card(options={"grid": golden.WAVELENGTHS.tolist()})
    assert ingested(folder, card).images.digest == with_table


def test_other_components_are_left_alone_and_named(folder):
    golden.write(folder, 1)
    golden.write(folder, 1, name="gal1_i88_transparent.fits")
    result = ingested(folder)
    assert result.images.ids.tolist() == ["gal1_i88"]
    assert "1 files are not of the component 'total'" in result.notes[0]
    with pytest.raises(UsageError, match="primarydirect"):
        ingested(folder, golden.card(options={"component": "stokesQ"}))


def test_instruments_of_one_simulation_are_one_group(folder):
    for view in ("i00", "i88"):
        golden.write(folder, 1, name=f"gal1_{view}_total.fits", cube=None)
    card = golden.card(view={"views_per_object": 2})
    assert set(ingested(folder, card).images.groups.tolist()) == {"gal1"}


def test_a_band_without_a_filter_is_refused(folder):
    golden.write(folder, 1)
    with pytest.raises(UsageError, match=r"nircam-f200w.*files\.options\.curves"):
        ingested(folder, golden.card(bands=("nircam-f200w",)))
