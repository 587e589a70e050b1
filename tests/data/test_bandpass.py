"""Spectra through filters: photon-counting means against closed forms and speclite."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.data._bandpass import USUAL, Curve, band_weights, load_curve
from simreal.data._quarantine import BadFileError

BOX = Curve(name="box", wavelength=[3999.99, 4000, 6000, 6000.01], response=[0, 1, 1, 0])


def test_a_flat_spectrum_keeps_its_value_in_any_filter():
    grid = np.sort(np.random.default_rng(0).uniform(3000, 12_000, 200))
    for name in ("sdss2010-g", "hsc2017-i", "lsst2023-z"):
        weights = band_weights(grid, load_curve(name))
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        assert (weights >= 0).all()


def test_a_spectrum_linear_in_wavelength_has_the_closed_form_of_a_box():
    # int (lambda) dlambda / lambda over int dlambda / lambda = 2000 / ln(6000 / 4000).
    grid = np.linspace(3500, 6500, 61)
    mean = band_weights(grid, BOX) @ grid
    assert mean == pytest.approx(2000 / np.log(1.5), rel=1e-5)


def test_the_integral_agrees_with_speclite():
    import astropy.units as u
    from speclite.filters import load_filter

    grid = np.linspace(3000, 9000, 1201)
    f_nu = 1e-28 * (1 + (grid - 5000) / 9000)
    f_lambda = f_nu * 2.99792458e18 / grid**2 * u.erg / u.s / u.cm**2 / u.AA
    for name in ("sdss2010-g", "sdss2010-r"):
        theirs = load_filter(name).get_ab_magnitude(f_lambda, grid * u.AA)
        ours = -2.5 * np.log10(band_weights(grid, load_curve(name)) @ f_nu) - 48.60
        assert ours == pytest.approx(theirs, abs=2e-3)


def test_a_cube_that_ends_inside_the_filter_is_refused():
    with pytest.raises(BadFileError, match=r"covers 8\d\.\d% of box") as caught:
        band_weights(np.linspace(3500, 5600, 60), BOX)
    assert caught.value.code == "E_BANDS"


def test_planes_that_are_no_spectrum_are_refused_and_the_way_out_is_named():
    with pytest.raises(BadFileError, match=r"files\.options\.planes"):
        band_weights([4770.0, 6231.0, 7625.0], load_curve("sdss2010-g"))


def test_every_usual_curve_exists():
    for name in USUAL.values():
        assert load_curve(name).response.max() > 0


class TestOwnCurve:
    @pytest.fixture(autouse=True)
    def _data_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))

    def test_a_text_file_of_two_columns_is_a_curve(self, tmp_path):
        (tmp_path / "mine.dat").write_text("# A T\n4000 0\n4500 0.5\n5000 0\n")
        curve = load_curve("mine.dat")
        assert curve.wavelength.tolist() == [4000, 4500, 5000]
        assert curve.response.tolist() == [0, 0.5, 0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 2\n3 x\n", "two columns"),
            ("1\n2\n", "got 1 column"),
            ("5000 1\n4000 1\n", "ascending"),
            ("4000 0\n5000 0\n", "not all 0"),
        ],
    )
    def test_anything_else_is_refused(self, tmp_path, text, message):
        (tmp_path / "mine.dat").write_text(text)
        with pytest.raises(UsageError, match=message):
            load_curve("mine.dat")

    def test_an_absent_file_and_an_unknown_filter_are_refused(self):
        with pytest.raises(UsageError, match="filter curve"):
            load_curve("none.dat")
        with pytest.raises(UsageError, match="speclite"):
            load_curve("sdss2010-q")
