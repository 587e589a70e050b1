"""Nuisances planted on one side of two samples of one toy population, and matched away.

Each is red where stamps are compared without the match, and is not after it.
"""

import numpy as np
import pytest

from simreal.match.flux.run import match_flux
from simreal.match.recipe import Recipe
from tests.match.flux.audits import audited, red, told
from tests.match.flux.toys import card, changed, cut_only, pixels_of, read, shifted

pytestmark = pytest.mark.slow

N = 240
SEED = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(scope="module")
def survey(folder):
    made = card("toy-survey", n=N)
    return made, read(made, seed=SEED, folder=folder)


def twin(folder, name, *, view=None, **options):
    made = card("toy-twin", n=N, view=view, **options)
    place = folder / name
    place.mkdir(exist_ok=True)
    return made, read(made, seed=SEED, folder=place)


def broader(folder):
    return twin(folder, "psf", seeing=1.6)


def louder(folder):
    return twin(folder, "noise", sky_rms=0.035)


def finer(folder):
    return twin(folder, "scale", view={"pixel_scale": 0.264, "field_of_view": 38.016})


def pedestal(folder):
    made, images = twin(folder, "bare")
    half = 0.5 * np.median(images.setup.noise, axis=0)
    return made, changed(images, pixels_of(images) + half[:, None, None])


def moved(folder):
    made, images = twin(folder, "bare")
    return made, changed(images, shifted(pixels_of(images), 0.5))


def bare(folder):
    return twin(folder, "bare")


#: What is planted, and the check that has to see it; a check may see more.
PLANTED = {
    broader: "psf",
    louder: "sky_statistics",
    finer: "psf",
    pedestal: "sky_statistics",
    moved: "nuisance_probes",
}


def matched(pair, survey):
    (ours, sim), (theirs, obs) = pair, survey
    return match_flux(sim, obs, views=(ours.view, theirs.view), recipe=Recipe(), seed=SEED)


def test_one_population_is_not_red_either_way(folder, survey):
    """Without this, what follows would prove nothing."""
    pair = bare(folder)
    result = audited(*cut_only(pair[1], survey[1]))
    assert not red(result), told(result)
    found = matched(pair, survey)
    assert not [check.name for check in found.checks if check.passed is False]
    result = audited(found.sim, found.obs)
    assert not red(result), told(result)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda each: each.__name__)
def test_what_is_planted_on_one_side_is_matched_away(plant, folder, survey):
    pair = plant(folder)
    before = audited(*cut_only(pair[1], survey[1]))
    assert PLANTED[plant] in red(before), told(before)
    found = matched(pair, survey)
    assert not [check.name for check in found.checks if check.passed is False]
    after = audited(found.sim, found.obs)
    assert not red(after), told(after)
