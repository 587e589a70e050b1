"""The toy population: fractions, relations, defects, and that twin and survey are one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.data.toy_universe.options import CLASS_FRACTIONS, ToyOptions, parse_options
from simreal.data.toy_universe.population import (
    LAWS,
    MAGNITUDE_LIMITS,
    RADIUS_LIMITS,
    composite_radius,
    draw_population,
    mass_to_light,
)

N = 1200


@pytest.fixture(scope="module")
def survey():
    return draw_population(ToyOptions(n_galaxies=N), name="toy-survey", seed=5)


@pytest.fixture(scope="module")
def twin():
    return draw_population(ToyOptions(n_galaxies=N), name="toy-twin", seed=5)


@pytest.fixture(scope="module")
def defective():
    options = ToyOptions(n_galaxies=N, missing_class="elliptical", size_factor=1.35)
    return draw_population(options, name="toy-sim", seed=5)


def values(galaxies, name):
    return np.array([getattr(galaxy, name) for galaxy in galaxies])


def test_class_fractions_are_those_stated(survey):
    found = values(survey, "morphology")
    for name, fraction in CLASS_FRACTIONS.items():
        # 4 binomial standard deviations: false alarm below 4e-4 over five classes
        margin = 4.0 * np.sqrt(fraction * (1.0 - fraction) / N)
        assert abs((found == name).mean() - fraction) < margin, name


def test_fractions_sum_to_one_and_every_class_has_a_law():
    assert sum(CLASS_FRACTIONS.values()) == pytest.approx(1.0)
    assert set(CLASS_FRACTIONS) == set(LAWS)


@pytest.mark.parametrize(
    "name", ["radius", "magnitude", "log_mass", "log_sfr", "redshift", "bulge_to_total", "youth"]
)
def test_twin_equals_survey_in_distribution(survey, twin, name):
    from scipy.stats import ks_2samp

    a, b = values(survey, name), values(twin, name)
    assert not np.array_equal(a, b)
    # A fixed seed: at 1e-3 each the chance that one of seven fails under the null is 0.7 %.
    assert ks_2samp(a, b).pvalue > 1e-3


def test_the_test_above_sees_the_size_defect(survey, defective):
    from scipy.stats import ks_2samp

    assert ks_2samp(values(survey, "radius"), values(defective, "radius")).pvalue < 1e-6


def test_missing_class_is_missing_and_the_others_keep_their_proportions(defective):
    found = values(defective, "morphology")
    assert not (found == "elliptical").any()
    for name, fraction in CLASS_FRACTIONS.items():
        if name != "elliptical":
            expected = fraction / (1.0 - CLASS_FRACTIONS["elliptical"])
            margin = 4.0 * np.sqrt(expected * (1.0 - expected) / N)
            assert abs((found == name).mean() - expected) < margin, name


def test_size_factor_scales_every_length_and_nothing_else():
    plain = draw_population(ToyOptions(n_galaxies=40), name="x", seed=2)
    large = draw_population(ToyOptions(n_galaxies=40, size_factor=1.5), name="x", seed=2)
    for name in ("radius", "disc_radius", "bulge_radius"):
        np.testing.assert_allclose(values(large, name), 1.5 * values(plain, name), rtol=1e-12)
    for name in ("magnitude", "log_sfr", "bulge_to_total", "morphology", "pitch"):
        assert values(large, name).tolist() == values(plain, name).tolist()


def test_everything_is_inside_the_survey_limits(survey):
    radius, magnitude = values(survey, "radius"), values(survey, "magnitude")
    assert RADIUS_LIMITS[0] <= radius.min() <= radius.max() <= RADIUS_LIMITS[1]
    assert MAGNITUDE_LIMITS[0] <= magnitude.min() <= magnitude.max() <= MAGNITUDE_LIMITS[1]


def test_relations_between_properties(survey):
    late = np.isin(values(survey, "morphology"), ["spiral", "clumpy", "merger"])
    youth, bulge = values(survey, "youth"), values(survey, "bulge_to_total")
    assert youth[late].min() > np.median(youth[~late])
    assert bulge[late].max() <= 0.5 < bulge[values(survey, "morphology") == "elliptical"].min()
    # A young population is brighter at the same mass.
    assert mass_to_light(1.0) < mass_to_light(0.0)


def test_light_is_shared_out_and_never_negative(survey):
    for galaxy in survey:
        second = 0.0 if galaxy.companion is None else galaxy.companion[4]
        share = galaxy.knots[:, 4].sum() + galaxy.tail[:, 4].sum() + second
        assert 0.0 <= share < 0.95
        assert 0.0 <= galaxy.arm_fraction * (1 - galaxy.bar_fraction) + galaxy.bar_fraction < 1.0


@settings(max_examples=30, deadline=None)
@given(first=st.integers(1, 6), more=st.integers(0, 6), seed=st.integers(0, 2**32), name=st.text())
def test_the_first_galaxies_do_not_depend_on_how_many_follow(first, more, seed, name):
    few = draw_population(ToyOptions(n_galaxies=first), name=name, seed=seed)
    many = draw_population(ToyOptions(n_galaxies=first + more), name=name, seed=seed)
    for a, b in zip(few, many, strict=False):
        assert (a.radius, a.morphology, a.magnitude) == (b.radius, b.morphology, b.magnitude)
        np.testing.assert_array_equal(a.knots, b.knots)


def test_seeds_and_names_give_independent_galaxies():
    base = values(draw_population(ToyOptions(n_galaxies=20), name="x", seed=1), "radius")
    for name, seed in (("x", 2), ("y", 1)):
        other = values(draw_population(ToyOptions(n_galaxies=20), name=name, seed=seed), "radius")
        assert not np.isin(base, other).any()


@settings(max_examples=50, deadline=None)
@given(
    bulge=st.floats(0.0, 1.0),
    index=st.sampled_from([1.0, 2.0, 4.0]),
    size=st.floats(0.1, 1.0),
)
def test_composite_radius_holds_half_of_the_light(bulge, index, size):
    from scipy.special import gammainc, gammaincinv

    radius = composite_radius(bulge, index, size)
    in_bulge = gammainc(2 * index, gammaincinv(2 * index, 0.5) * (radius / size) ** (1 / index))
    in_disc = gammainc(2.0, gammaincinv(2.0, 0.5) * radius)
    # bisection to 2**-40 of the bracket
    assert bulge * in_bulge + (1.0 - bulge) * in_disc == pytest.approx(0.5, abs=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_facto": 1.2}, "did you mean 'size_factor'"),
        ({"size_factor": 9.0}, "allowed is 0.2 to 2.0"),
        ({"size_factor": float("nan")}, "allowed is 0.2 to 2.0"),
        ({"n_galaxies": 2.5}, "a whole number"),
        ({"n_galaxies": 0}, "allowed is 1 to"),
        ({"views": True}, "a whole number"),
        ({"sky_rms": "dark"}, "a number"),
        ({"missing_class": "spirals"}, "did you mean 'spiral'"),
        ({"psf": "mofat"}, "did you mean 'moffat'"),
        ({"psf": 3}, "a text"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_options(options)
    assert "\n" not in str(caught.value)
