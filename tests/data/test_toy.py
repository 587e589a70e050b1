"""The toy adapter: cards, determinism, groups, properties and what a card may ask for."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from simreal.core.cards import read_card
from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.adapters import toy

CATALOGUES = Path(__file__).resolve().parents[2] / "catalogues"
NAMES = ("toy-survey", "toy-twin", "toy-sim", "toy-ideal")


def card_of(name, view=None, **options):
    card = read_card(CATALOGUES / f"{name}.toml")
    view = dict(view or {})
    if "views" in options:
        view.setdefault("views_per_object", options["views"])
    files = card.files.model_copy(update={"options": {**card.files.options, **options}})
    return card.model_copy(update={"files": files, "view": card.view.model_copy(update=view)})


def images_of(name, tmp_path, *, seed=1, view=None, **options):
    n = options.pop("n_galaxies", 8)
    card = card_of(name, view=view, n_galaxies=n, **options)
    return toy.read(card, seed=seed, store=tmp_path / "set.h5").images


def pixels(image_set):
    return image_set.images.read(slice(None))


@pytest.mark.parametrize("name", NAMES)
def test_every_card_renders(name, tmp_path):
    images = images_of(name, tmp_path, n_galaxies=6)
    views = card_of(name).view.views_per_object
    assert len(images) == 6 * views
    assert images.n_groups == 6
    block = pixels(images)
    assert block.dtype == np.float32
    assert 0.0 <= block.min() < block.max() <= 1.0
    assert images.setup.unit == "display"
    assert images.setup.frame == "native"
    field = images.images.shape[-1] * images.setup.pixel_scale
    assert field == pytest.approx(card_of(name).view.field_of_view)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    a = images_of("toy-twin", tmp_path)
    b = images_of("toy-twin", tmp_path / "again")
    assert a.digest == b.digest


@pytest.mark.parametrize("change", [{"seed": 2}, {"stream": "another"}])
def test_another_seed_or_stream_shares_no_image(change, tmp_path):
    a = pixels(images_of("toy-survey", tmp_path))
    b = pixels(images_of("toy-survey", tmp_path / "other", **change))
    assert not any(np.array_equal(one, other) for one in a for other in b)


def test_the_first_images_do_not_depend_on_how_many_follow(tmp_path):
    few = images_of("toy-twin", tmp_path / "few", n_galaxies=5)
    # 40 x 2 images span several blocks of rendering and noise
    many = images_of("toy-twin", tmp_path / "many", n_galaxies=40)
    n = len(few)
    np.testing.assert_array_equal(pixels(few), many.images.read(slice(0, n)))
    assert few.ids.tolist() == many.ids[:n].tolist()
    first, same = (p["inclination"][:n] for p in (few.properties, many.properties))
    np.testing.assert_array_equal(first, same)
    np.testing.assert_array_equal(
        property_values(few.properties, "sfr")[1], property_values(many.properties, "sfr")[1][:n]
    )


def test_survey_and_twin_differ_in_name_stream_and_views_alone():
    survey, twin = card_of("toy-survey"), card_of("toy-twin")
    own = {"n_galaxies", "views"}
    for key in (set(survey.files.options) | set(twin.files.options)) - own:
        assert survey.files.options[key] == twin.files.options[key]
    for field in ("bands", "unit", "display", "rendition", "field_of_view", "pixel_scale"):
        assert getattr(survey.view, field) == getattr(twin.view, field)


def test_twin_and_survey_have_the_same_pixel_statistics(tmp_path):
    survey = images_of("toy-survey", tmp_path / "a", n_galaxies=96)
    twin = images_of("toy-twin", tmp_path / "b", n_galaxies=96, views=1)
    assert survey.setup.differs_from(twin.setup) == ()
    from scipy.stats import ks_2samp

    for summary in (
        lambda x: x[:, :, 40:56, 40:56].mean((1, 2, 3)),
        lambda x: x[:, :, :12, :12].std((1, 2, 3)),
        lambda x: x[:, 0].mean((1, 2)) - x[:, 2].mean((1, 2)),
    ):
        # fixed seed; 3 tests at 0.1 %
        assert ks_2samp(summary(pixels(survey)), summary(pixels(twin))).pvalue > 1e-3


def test_views_share_the_galaxy_and_nothing_else(tmp_path):
    images = images_of("toy-twin", tmp_path, n_galaxies=10)
    table = images.properties
    first, second = np.arange(0, 20, 2), np.arange(1, 20, 2)
    assert (images.groups[first] == images.groups[second]).all()
    for name in ("stellar_mass", "half_light_radius", "redshift", "morphology_class"):
        assert (table[name][first] == table[name][second]).all()
    for name in ("inclination", "seeing"):
        assert (table[name][first] != table[name][second]).all()


def test_properties_carry_units_and_masks(tmp_path):
    images = images_of("toy-survey", tmp_path, n_galaxies=40, missing_sfr=0.5)
    units = {"stellar_mass": "solMass", "half_light_radius": "arcsec", "inclination": "deg"}
    for name, unit in units.items():
        _, valid, found = property_values(images.properties, name)
        assert found == unit
        assert valid.all()
    _, valid, _ = property_values(images.properties, "sfr")
    assert 5 < valid.sum() < 35
    assert set(images.properties.colnames) == set(card_of("toy-survey").properties)


def test_a_missing_rate_is_missing_for_every_view(tmp_path):
    images = images_of("toy-twin", tmp_path, n_galaxies=20, missing_sfr=0.5)
    _, valid, _ = property_values(images.properties, "sfr")
    assert (valid[::2] == valid[1::2]).all()
    assert valid.any()
    assert not valid.all()


def test_setup_states_seeing_and_noise_of_every_image(tmp_path):
    images = images_of("toy-survey", tmp_path, n_galaxies=6)
    seeing = images.properties["seeing"].to_value("arcsec")
    np.testing.assert_allclose(images.setup.psf_fwhm[:, 1] * 0.396, seeing)
    assert images.setup.noise.shape == (6, 3)


def test_the_simulation_has_its_defects(tmp_path):
    sim = images_of("toy-sim", tmp_path, n_galaxies=60)
    missing = card_of("toy-sim").files.options["missing_class"]
    assert missing not in sim.properties["morphology_class"]
    history = sim.history[-1]
    assert missing in history.note
    assert "sizes x" in history.note


def test_the_same_stream_with_a_defect_shows_the_same_galaxies(tmp_path):
    plain = images_of("toy-twin", tmp_path / "a", n_galaxies=6)
    large = images_of("toy-twin", tmp_path / "b", n_galaxies=6, size_factor=1.4)
    ratio = large.properties["half_light_radius"] / plain.properties["half_light_radius"]
    np.testing.assert_allclose(ratio, 1.4)
    # same neighbours: the corner of the sky differs only by the galaxy's faint wings
    corner = np.abs(pixels(plain)[..., :8, :8] - pixels(large)[..., :8, :8])
    assert np.median(corner) < 2 / 255


def test_ideal_images_are_those_of_the_twin_without_telescope(tmp_path):
    ideal = pixels(images_of("toy-ideal", tmp_path, n_galaxies=8))
    corner = ideal[..., :20, :20]
    # no noise: a smooth corner takes few of the 256 levels
    assert np.median(corner.std(axis=(2, 3))) < 1.5 / 255
    assert ideal.max() > 0.5


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        ({}, {"size_facto": 1.2}, "did you mean 'size_factor'"),
        ({"views_per_object": 3}, {"views": 2}, "views_per_object is 3"),
        ({"bands": ("i", "r", "g")}, {}, "bands"),
        ({"display": "linear"}, {}, "lupton-asinh-v1"),
        ({"pixel_scale": None}, {}, "pixel_scale"),
        ({"field_of_view_unit": "kpc"}, {}, "arcsec"),
        ({"field_of_view": 10.0}, {}, "32 to 512"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(view, options, message, tmp_path):
    with pytest.raises(UsageError, match=message) as caught:
        images_of("toy-survey", tmp_path, view=view, **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"column": "stellar_mas"}, "did you mean 'stellar_mass'"), ({"unit": "kg"}, "Msun")],
)
def test_a_wrong_property_is_refused(changes, message, tmp_path):
    card = card_of("toy-survey")
    wrong = card.properties["stellar_mass"].model_copy(update=changes)
    card = card.model_copy(update={"properties": {"stellar_mass": wrong}})
    with pytest.raises(UsageError, match=message):
        toy.read(card, seed=1, store=tmp_path / "x.h5")


def test_columns_offered_and_cards_agree():
    for name in NAMES:
        card = card_of(name)
        assert {column.column for column in card.properties.values()} == set(toy._COLUMNS)
    assert dataclasses.is_dataclass(toy.META)
    assert toy.META.synthetic
