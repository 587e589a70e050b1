"""Which files of a folder are read as FITS, and what is said of the others."""

import pytest

from simreal.core.errors import UsageError
from simreal.data._distances import cosmology_of, kpc_per_arcsec
from simreal.data._sources import fits_files, names_in_files, one_option
from tests.data.golden import tng_skirt as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    (tmp_path / "files" / "notes.md").write_text("hello")
    return tmp_path / "files"


def test_other_files_are_named_and_not_read(folder):
    files, notes = fits_files(golden.card())
    assert [file.name for file in files] == ["broadband_1.fits", "broadband_2.fits"]
    assert notes == ["1 files are not FITS by name and were not read (first: notes.md)"]


def test_the_card_may_leave_files_out(folder):
    files, notes = fits_files(golden.card(options={"exclude": ["*_2.fits"]}))
    assert [file.name for file in files] == ["broadband_1.fits"]
    assert notes[0] == "1 files left out by the card (*_2.fits)"


def test_a_folder_without_fits_is_refused(folder):
    for path in folder.glob("*.fits"):
        path.unlink()
    with pytest.raises(UsageError, match=r"files\.pattern"):
        fits_files(golden.card())


def test_the_names_of_the_card_win_over_the_usual_ones():
    card = golden.card(options={"filters": {"sdss-g": "mine"}})
    names = names_in_files(card, {"sdss-g": "usual g", "sdss-r": "usual r"})
    assert list(names.values()) == ["mine", "usual r", "sdss-i", "sdss-z"]
    with pytest.raises(UsageError, match="unknown band 'sdss-y'"):
        names_in_files(golden.card(options={"filters": {"sdss-y": "y"}}), {})


def test_an_option_is_one_of_its_words():
    card = golden.card(options={"light": "full"})
    assert one_option(card, "light", ("full", "none"), "none") == "full"
    with pytest.raises(UsageError, match=r"files\.options\.light: got 'full', allowed: some"):
        one_option(card, "light", ("some",), "some")


def test_a_cosmology_by_name_or_by_its_numbers():
    # At z = 0.1 an arcsecond is 1.844 kpc where H0 = 70 and Om0 = 0.3.
    card = golden.card(options={"cosmology": {"H0": 70.0, "Om0": 0.3}})
    assert kpc_per_arcsec(cosmology_of(card), 0.1) == pytest.approx(1.844, abs=1e-3)
    assert cosmology_of(golden.card()) is None
    for wrong in ({"H0": 70.0}, "Plank15", 3):
        with pytest.raises(UsageError, match=r"files\.options\.cosmology"):
            cosmology_of(golden.card(options={"cosmology": wrong}))
