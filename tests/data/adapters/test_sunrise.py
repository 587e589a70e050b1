"""SUNRISE files: cameras as views, light against the table's absolute magnitudes."""

import numpy as np
import pytest

from simreal.core.errors import NothingUsableError, UsageError
from simreal.data._photometry import magnitude
from simreal.data.adapters.sunrise import read
from tests.data.golden import sunrise as golden
from tests.data.golden.scene import new_store

#: [mag] From 10 pc to 50 Mpc.
MODULUS = 5 * np.log10(5e7 / 10)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def card(**changes):
    return golden.card(options={"cameras": [0, 1]}, **changes)


def ingested(folder, given=None):
    return read(given or card(), seed=0, store=new_store(folder))


def test_every_camera_is_an_image_and_a_file_is_a_group(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == [f"broadband_{i}_c{c}" for i in (1, 2) for c in (0, 1)]
    assert images.groups.tolist() == ["broadband_1"] * 2 + ["broadband_2"] * 2
    # 120 kpc over 24 pixels, seen from 50 Mpc.
    assert images.setup.physical_scale == pytest.approx(5.0)
    assert images.setup.pixel_scale == pytest.approx(5 / 50_000 * 206264.80625, rel=1e-6)
    assert images.setup.redshift is None


def test_the_light_has_the_magnitudes_of_a_hand_computation(folder):
    images = ingested(folder).images
    total = magnitude(images.images.read(slice(0, 4)).sum((2, 3), dtype=float))
    by_hand = [golden.magnitudes(i, c)[1:] + MODULUS for i in (1, 2) for c in (0, 1)]
    np.testing.assert_allclose(total, by_hand, atol=1e-3)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"magnitude_error": 0.2}, "E_FLUX", "FILTERS"),
        ({"cameras": (0,)}, "E_HDU", "CAMERA1-BROADBAND-NONSCATTER"),
        ({"redshift": 0.2}, "E_SCALE", "already_dimmed"),
    ],
)
def test_a_broken_file_is_named_and_changes_nothing_about_the_others(folder, fault, code, says):
    clean = ingested(folder).images
    golden.write(folder, 3, **fault)
    result = ingested(folder)
    assert {each.code for each in result.rejected} == {code}
    assert all(each.reason.startswith("broadband_3.fits") for each in result.rejected)
    assert all(says in each.reason for each in result.rejected)
    kept = result.images
    both = [i for i, name in enumerate(kept.ids) if not name.startswith("broadband_3")]
    assert kept.rows(both).digest == clean.digest


def test_light_at_a_redshift_takes_a_cosmology(folder):
    for path in folder.iterdir():
        path.unlink()
    golden.write(folder, 1, redshift=0.2)
    with pytest.raises(NothingUsableError, match="cosmology"):
        ingested(folder, card(already_dimmed=True))
    named = golden.card(
        options={"cameras": [0], "cosmology": {"H0": 70.4, "Om0": 0.2726}}, already_dimmed=True
    )
    setup = ingested(folder, named).images.setup
    # 3.28 kpc per arcsec at z = 0.2 in the cosmology of Illustris.
    assert setup.physical_scale / setup.pixel_scale == pytest.approx(3.28, abs=0.02)
    assert setup.redshift == 0.2


@pytest.mark.parametrize("cameras", [[], [0, 0], [-1], ["0"], 2])
def test_cameras_are_a_list_of_numbers(folder, cameras):
    with pytest.raises(UsageError, match=r"files\.options\.cameras"):
        ingested(folder, golden.card(options={"cameras": cameras}))


def test_another_unit_than_sunrises_is_refused(folder):
    with pytest.raises(UsageError, match="the format defines both"):
        ingested(folder, card(unit="MJy/sr"))
