"""Toy quasars: shares, colours from theory, noise of the stated depth, and bad cards."""

import numpy as np
import pytest

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.data.ingest import ingest
from simreal.data.toy_quasars.population import (
    BANDS,
    DWARF,
    GALAXY,
    QUASAR,
    Shares,
    draw_sources,
    dwarf_colours,
    galaxy_colours,
    quasar_colours,
    transmitted,
)
from simreal.data.toy_quasars.render import DEPTHS, PIXEL_SCALE, flux_of, noise_of_depth, render

CARD = load_card("toy-quasars")


def card(**options):
    files = CARD.files.model_copy(update={"options": {**CARD.files.options, **options}})
    return CARD.model_copy(update={"files": files})


def images_of(tmp_path, seed=0, **options):
    return ingest(card(**options), seed=seed, store=tmp_path / f"{seed}.h5").images


def test_shares_are_exact_and_of_every_class():
    kind = draw_sources(Shares(n_objects=500), name="x", seed=3).kind.tolist()
    assert (kind.count(QUASAR), kind.count(DWARF), kind.count(GALAXY)) == (10, 140, 350)


def test_a_power_law_without_a_line_or_hydrogen_has_the_colour_of_its_slope():
    # Below redshift zero's Lyman alpha there is no band: f_nu ~ nu^-1 falls by the ratio of the
    # mean 1 / nu of two boxes, here worked out for photons: mean of lambda over d ln(lambda).
    found = quasar_colours(np.array([0.0]), np.array([-1.0]), np.array([0.0]))[0]
    edges = np.array([(400, 550), (570, 715), (700, 855), (850, 1000), (950, 1065)], float)
    mean = (edges[:, 1] - edges[:, 0]) / np.log(edges[:, 1] / edges[:, 0])
    np.testing.assert_allclose(found, np.diff(2.5 * np.log10(mean)), atol=2e-3)


def test_hydrogen_follows_the_published_depths():
    # exp(-0.85) at redshift 4; at 5.5 both laws meet.
    assert transmitted(np.array([4.0]))[0] == pytest.approx(np.exp(-0.85))
    below, above = transmitted(np.array([5.5, 5.5 + 1e-9]))
    assert below == pytest.approx(above, rel=1e-6)


def test_quasars_drop_out_of_i_and_stay_flat_in_z_minus_y_where_dwarfs_do_not():
    redshift = np.linspace(5.9, 6.3, 9)
    colours = quasar_colours(redshift, np.full(9, -0.44), np.full(9, 35.0))
    assert (np.diff(colours[:, 2]) > 0).all(), "i - z grows as the break moves through i"
    assert colours[:, 2].min() > 1.5
    assert np.abs(colours[:, 3]).max() < dwarf_colours(np.arange(19))[:, 3].min()


def test_old_galaxies_are_redder_than_young_ones_in_every_colour():
    young, old = galaxy_colours(np.array([1.0, 1.0]), np.array([0.0, 1.0]))
    assert (old > young).all()


def test_light_and_noise_are_those_of_the_catalogue(tmp_path):
    sources = draw_sources(Shares(n_objects=40, quasars=0.5, brown_dwarfs=0.5), name="x", seed=0)
    images = render(sources, range(40), stamp=32, name="x", seed=0)
    total = images.sum(axis=(2, 3))
    wanted = flux_of(sources.magnitudes)
    noise = noise_of_depth() * 32
    # The Moffat wings leave less than 2 % outside 8.4 arcsec.
    away = (total - 0.99 * wanted) / np.hypot(noise, 0.01 * wanted)
    assert np.abs(away).max() < 5.0
    assert away.std() < 1.5


def test_depth_is_ten_times_the_noise_in_its_aperture():
    pixels = np.pi * 0.975**2 / PIXEL_SCALE**2
    np.testing.assert_allclose(flux_of(DEPTHS) / (noise_of_depth() * np.sqrt(pixels)), 10.0)


def test_a_collection_on_the_store(tmp_path):
    images = images_of(tmp_path, n_objects=64)
    assert images.images.shape == (64, len(BANDS), 32, 32)
    table = images.properties
    dwarfs = np.asarray(table["source_class"]) == DWARF
    assert (np.ma.getmaskarray(np.ma.MaskedArray(table["spectral_type"])) == ~dwarfs).all()
    assert (table["redshift"].mask == dwarfs).all()
    assert (table["half_light_radius"].value > 0).sum() == 64 - 1 - 18


def test_seeds_and_rows_are_independent(tmp_path):
    sources = draw_sources(Shares(n_objects=30), name="x", seed=1)
    whole = render(sources, range(30), stamp=32, name="x", seed=1)
    np.testing.assert_array_equal(
        render(sources, range(20, 30), stamp=32, name="x", seed=1), whole[20:]
    )
    one, other = (images_of(tmp_path, seed=seed, n_objects=8) for seed in (1, 2))
    assert not np.allclose(one.images.read(slice(None)), other.images.read(slice(None)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quasar": 0.1}, "unknown option 'quasar': did you mean 'quasars'"),
        ({"quasars": 0.9}, "1 or less together"),
        ({"quasars": -0.1}, "allowed is 0 to 1"),
        ({"n_objects": 2.5}, "allowed is a number"),
        ({"n_objects": 0}, "allowed is 1 to"),
    ],
)
def test_a_card_that_asks_for_what_there_is_not(tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        images_of(tmp_path, **options)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bands": ("g", "r")}, "got track 'flux', bands"),
        ({"pixel_scale": 0.3}, "view.pixel_scale is 0.3"),
        ({"field_of_view": 2.0}, "is 8 pixels"),
    ],
)
def test_a_view_that_cannot_be_rendered(tmp_path, changes, said):
    wrong = CARD.model_copy(update={"view": CARD.view.model_copy(update=changes)})
    with pytest.raises(UsageError, match=said):
        ingest(wrong, seed=0, store=tmp_path / "x.h5")


def test_a_column_that_is_not_there(tmp_path):
    about = CARD.properties["z_magnitude"].model_copy(update={"column": "y_magnitude"})
    wrong = CARD.model_copy(update={"properties": {"y": about}})
    with pytest.raises(UsageError, match="unknown column 'y_magnitude': did you mean"):
        ingest(wrong, seed=0, store=tmp_path / "x.h5")
