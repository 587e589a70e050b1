"""Bands, redshifts and fields: where the steps of a match can begin."""

import numpy as np
import pytest
from astropy.cosmology import Planck18

from simreal.core.errors import NothingUsableError, UsageError
from simreal.match.flux.given import (
    Planes,
    check_given,
    in_common_bands,
    own_fields,
    placed,
    with_bands,
)
from simreal.match.recipe import Recipe
from tests.match.flux.scenes import flux_set


def numbered(n, bands, side=6):
    """Return images whose pixels are 10 times the image plus the band."""
    values = 10.0 * np.arange(n)[:, None] + np.arange(bands)
    return np.broadcast_to(values[:, :, None, None], (n, bands, side, side)).astype("f4")


def rng():
    return np.random.default_rng(0)


class TestGiven:
    def test_other_tracks_units_and_nothing_are_refused(self):
        good = flux_set("sim", numbered(2, 1))
        check_given(good)
        with pytest.raises(UsageError, match="nJy / pix"):
            check_given(good.replace(setup=good.setup.replace(unit="Jy")))
        with pytest.raises(UsageError, match="track 'rgb'"):
            check_given(good.replace(setup=good.setup.replace(track="rgb")))
        with pytest.raises(NothingUsableError, match="no image"):
            check_given(good.rows(np.zeros(2, bool)))


class TestBands:
    def test_everything_per_band_follows_the_bands(self):
        mask = np.zeros((2, 3, 6, 6), bool)
        mask[0, 2, 1, 1] = True
        psf = np.zeros((3, 3, 3))
        psf[:, 1, 1] = 1
        psf[2] = 1 / 9
        images = flux_set(
            "sim", numbered(2, 3), bands=("sdss-g", "sdss-r", "sdss-i"), mask=mask, psf=psf,
            psf_fwhm=np.array([[1.0, 2, 3], [4, 5, 6]]), noise=[7.0, 8, 9], gain=[1.0, 2, 3],
        )  # fmt: skip
        left = with_bands(images, ("sdss-i", "sdss-g"), ("sdss-i", "sdss-g"))
        assert left.images.read(np.array([1]))[0, :, 0, 0].tolist() == [12.0, 10.0]
        assert np.argwhere(left.mask).tolist() == [[0, 0, 1, 1]]
        assert left.setup.psf[0].max() == pytest.approx(1 / 9)
        assert left.setup.psf_fwhm.tolist() == [[3, 1], [6, 4]]
        assert left.setup.noise.tolist() == [9, 7]
        assert left.setup.gain.tolist() == [3, 1]
        assert left.history[-1].name == "bands"

    def test_pairs_are_found_by_name_and_by_wavelength_and_others_dropped(self):
        sim = flux_set("sim", numbered(2, 3), bands=("sdss-z", "sdss-r", "sdss-u"))
        # hsc-r and sdss-r are one band to 1 per cent; nothing in HSC is near sdss-u.
        obs = flux_set("obs", numbered(2, 2), bands=("hsc-g", "hsc-r"))
        ours, theirs, different = in_common_bands(sim, obs, Recipe())
        assert ours.setup.bands == theirs.setup.bands == ("hsc-r",)
        assert different == ("sdss-r against hsc-r",)
        assert ours.images.read(slice(0, 1)).max() == 1.0
        assert theirs.images.read(slice(0, 1)).max() == 1.0

    def test_the_same_bands_stay_and_are_not_called_different(self):
        sim = flux_set("sim", numbered(2, 2), bands=("sdss-g", "sdss-r"))
        obs = flux_set("obs", numbered(2, 2), bands=("sdss-g", "sdss-r"))
        ours, theirs, different = in_common_bands(sim, obs, Recipe())
        assert ours is sim
        assert theirs is obs
        assert different == ()

    def test_bands_far_apart_need_leave(self):
        sim = flux_set("sim", numbered(2, 1), bands=("acs-f814w",))
        obs = flux_set("obs", numbered(2, 2), bands=("nircam-f115w", "nircam-f200w"))
        with pytest.raises(UsageError, match="--allow bands"):
            in_common_bands(sim, obs, Recipe())
        ours, _, different = in_common_bands(sim, obs, Recipe(allow_bands=True))
        assert ours.setup.bands == ("nircam-f115w",)
        assert different == ("acs-f814w against nircam-f115w",)

    def test_planes_are_read_without_the_others(self):
        source = flux_set("sim", numbered(3, 3), bands=("a", "b", "c")).images
        shown = Planes(source, (2, 0))
        assert shown.shape == (3, 2, 6, 6)
        assert shown.read(slice(1, 2))[0, :, 0, 0].tolist() == [12.0, 10.0]


class TestPlacement:
    def near_by(self, n=4, **setup):
        return flux_set(
            "sim", np.ones((n, 1, 6, 6)), physical_scale=0.5, redshift=0.05, noise=[2.0], **setup
        )

    def test_a_named_redshift_by_hand(self):
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2)
        found = placed(self.near_by(), like=obs, recipe=Recipe(redshift=0.5), rng=rng())
        # F_nu of the same light: (1 + z) / D_L^2.
        ratio = Planck18.luminosity_distance(0.05) / Planck18.luminosity_distance(0.5)
        flux = (1.5 / 1.05) * float(ratio) ** 2
        assert found.images.read(slice(0, 4))[:, 0, 0, 0] == pytest.approx([flux] * 4, rel=1e-3)
        angle = 0.5 * Planck18.arcsec_per_kpc_proper(0.5).value
        np.testing.assert_allclose(found.setup.pixel_scale, angle, rtol=1e-3)
        np.testing.assert_allclose(found.setup.noise, 2.0 * flux, rtol=1e-3)
        assert found.setup.redshift.tolist() == [0.5] * 4
        assert found.history[-1].name == "placement"

    def test_redshifts_are_drawn_from_the_other_side_one_per_object(self):
        sim = self.near_by(n=60).replace(groups=np.repeat([f"g{k}" for k in range(20)], 3))
        seen = np.array([0.1, 0.2, 0.4])
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2, redshift=seen)
        found = placed(sim, like=obs, recipe=Recipe(), rng=rng()).setup.redshift
        assert set(found.tolist()) == set(seen.tolist())
        assert all(len(set(found[sim.groups == g].tolist())) == 1 for g in set(sim.groups))

    def test_nothing_to_draw_from_names_the_option(self):
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2)
        with pytest.raises(UsageError, match="--redshift Z"):
            placed(self.near_by(), like=obs, recipe=Recipe(), rng=rng())

    def test_no_scale_and_no_distance_are_refused(self):
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2)
        bare = flux_set("sim", np.ones((2, 1, 6, 6)))
        with pytest.raises(UsageError, match=r"calibration\.pixel_scale"):
            placed(bare, like=obs, recipe=Recipe(), rng=rng())
        there = flux_set("sim", np.ones((2, 1, 6, 6)), physical_scale=0.5)
        with pytest.raises(UsageError, match=r"calibration\.redshift"):
            placed(there, like=obs, recipe=Recipe(redshift=0.1), rng=rng())

    def test_what_has_an_angular_scale_stays_where_it_is(self):
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2, redshift=0.1)
        found = placed(obs, like=obs, recipe=Recipe(redshift=3.0), rng=rng())
        assert found.images is obs.images
        kpc = 0.2 / Planck18.arcsec_per_kpc_proper(0.1).value
        assert found.setup.physical_scale == pytest.approx(kpc, rel=1e-3)

    def test_the_photons_behind_a_flux_are_as_many_as_before(self):
        obs = flux_set("obs", np.ones((3, 1, 6, 6)), pixel_scale=0.2)
        sim = self.near_by(gain=[10.0])
        found = placed(sim, like=obs, recipe=Recipe(redshift=0.5), rng=rng())
        flux = found.images.read(slice(0, 1)).item(0)
        np.testing.assert_allclose(np.atleast_2d(found.setup.gain)[0] * flux, 10.0, rtol=1e-6)


class TestFields:
    def test_padding_is_not_the_field_and_holes_are(self):
        mask = np.ones((3, 2, 10, 12), bool)
        mask[0] = False
        mask[1, :, 2:8, 3:11] = False
        mask[1, :, 4, 5] = True
        # One band reaches farther than the other: a pixel good in either is in the field.
        mask[2, 0, 2:8, 3:9] = False
        mask[2, 1, 3:9, 3:9] = False
        images = flux_set("obs", np.zeros((3, 2, 10, 12)), bands=("r", "i"), mask=mask)
        assert own_fields(images).tolist() == [[0, 10, 0, 12], [2, 8, 3, 11], [2, 9, 3, 9]]

    def test_without_a_mask_the_field_is_all(self):
        images = flux_set("obs", np.zeros((2, 1, 10, 12)))
        assert own_fields(images).tolist() == [[0, 10, 0, 12]] * 2

    def test_an_image_without_a_field_is_refused(self):
        images = flux_set("obs", np.zeros((1, 1, 8, 8)), mask=np.ones((1, 1, 8, 8), bool))
        with pytest.raises(UsageError, match="masked all over"):
            own_fields(images)
