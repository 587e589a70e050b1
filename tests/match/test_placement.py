import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.match.placement import named_cosmology, physical_scale, place


def test_planck_at_redshift_one_is_what_ned_wright_s_calculator_says():
    # H0 = 67.66, Om = 0.3111: 8.23 kpc / arcsec at z = 1.
    assert 1 / place(1.0, z_from=0.5, z_to=1.0).pixel_scale[0] == pytest.approx(8.23, abs=0.01)
    assert physical_scale(1.0, redshift=1.0)[0] == pytest.approx(8.23, abs=0.01)


def test_another_cosmology_is_another_answer_and_is_named():
    planck, wmap = (place(1.0, z_from=0.1, z_to=2.0, cosmology=c) for c in ("Planck18", "WMAP5"))
    assert (planck.cosmology, wmap.cosmology) == ("Planck18", "WMAP5")
    assert planck.flux_factor[0] != pytest.approx(wmap.flux_factor[0], rel=1e-3)
    assert named_cosmology("WMAP5").name == "WMAP5"


def test_per_image_redshifts_broadcast():
    placed = place(np.array([0.1, 0.2]), z_from=0.1, z_to=np.array([0.5, 0.5]))
    assert placed.pixel_scale[1] == pytest.approx(2 * placed.pixel_scale[0])
    assert placed.flux_factor.shape == placed.wavelength_factor.shape == (2,)


def test_the_band_moves_with_the_light():
    assert place(1.0, z_from=0.0485, z_to=0.5).wavelength_factor[0] == pytest.approx(1.5 / 1.0485)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"z_to": 0.0}, "z_to"),
        ({"z_to": np.nan}, "z_to"),
        ({"z_from": -0.1}, "z_from"),
        ({"z_from": 0.0}, "distance_from"),
        ({"distance_from": 10.0}, "distance_from"),
        ({"distance_from": -1.0, "z_from": 0.0}, "distance_from"),
        ({"cosmology": "Plank18"}, "Planck18"),
        ({"quantity": "f_mu"}, "f_nu"),
    ],
)
def test_what_cannot_be_placed_is_refused_by_name(changes, named):
    with pytest.raises(UsageError, match=named):
        place(1.0, **{"z_from": 0.1, "z_to": 1.0, **changes})


def test_a_pixel_without_size_is_refused():
    with pytest.raises(UsageError, match="pixel_scale_kpc"):
        place(0.0, z_from=0.1, z_to=1.0)
