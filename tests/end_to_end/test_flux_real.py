"""Real JWST and HST galaxies through the flux match and the audit: nothing is made up here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simreal.core.cards import load_card
from simreal.data.ingest import ingest
from simreal.match.correlated_noise import blank_regions, draw, measured, white
from simreal.match.flux.noise import far_from_sources
from simreal.match.flux.run import match_flux
from simreal.match.recipe import Recipe
from simreal.match.stretch import fixed_asinh, flux_of, softening_of
from tests.match.flux.audits import audited, red, told

pytestmark = [pytest.mark.real, pytest.mark.slow]

FOLDERS = {"ceers": "ceers", "cosmos": "cosmos_galsim"}


@pytest.fixture(scope="module", params=FOLDERS)
def pair(request, tmp_path_factory):
    """Return the same real galaxies on both sides of a match at their own conditions."""
    base = os.environ.get("SIMREAL_DATA")
    if not base or not (Path(base) / FOLDERS[request.param]).is_dir():
        pytest.skip(f"needs real images: {FOLDERS[request.param]} absent under SIMREAL_DATA")
    card = load_card(request.param)
    store = tmp_path_factory.mktemp("real") / "set.h5"
    images = ingest(card, seed=0, store=store).images
    return match_flux(
        images.replace(name="again", role="simulated"), images,
        views=(card.view, card.view), recipe=Recipe(), seed=0,
    )  # fmt: skip


def pixels_of(images):
    return np.array(images.images.read(slice(None)))


def test_real_galaxies_at_their_own_conditions_are_not_red(pair):
    assert len(pair.sim) == len(pair.obs) >= 60
    assert not [check.name for check in pair.checks if check.passed is False]
    result = audited(pair.sim, pair.obs)
    assert not red(result), told(result)


def test_a_planted_half_pixel_shift_is_seen(pair):
    """Red on 77 CEERS stamps of three bands and 64 pixels.

    On 86 COSMOS stamps, 22 native pixels of one band with smooth noise, the number that it changes
    is outside its limit with all of its interval, which is not enough for red among some forty
    readings.
    """
    pixels = pixels_of(pair.sim)
    # Bilinear: the mean of a pixel and its left neighbour.
    moved = (pixels + np.roll(pixels, 1, axis=-1)) / 2
    moved[..., 0] = pixels[..., 0]
    result = audited(pair.sim.replace(images=moved), pair.obs)
    if pair.obs.name == "ceers":
        assert red(result), told(result)
        return
    named = {r.name: r for check in result.checks for r in check.readings}
    along = named["fine power along x over along y"]
    assert along.shown[2] < along.shown_limits[0] < 1, told(result)


def louder(images, share, *, shaped, seed=0):
    """Return stamps whose noise, as read off their empty sky, is louder by a share."""
    softening = softening_of(images.setup.display)
    flux = flux_of(pixels_of(images), softening)
    found = measured(flux, far_from_sources(blank_regions(flux)))
    spectrum = found if shaped else white(found.rms)
    extra = draw(spectrum, len(flux), flux.shape[-2:], np.random.default_rng(seed))
    made = flux + np.float32(np.sqrt((1 + share) ** 2 - 1)) * extra
    return images.replace(images=fixed_asinh(made, softening))


def test_noise_ten_per_cent_louder_is_red(pair):
    """White noise on drizzled pixels: its spectrum gives it away."""
    result = audited(louder(pair.sim, 0.10, shaped=False), pair.obs)
    assert red(result), told(result)


def test_noise_of_the_surveys_own_shape_needs_twenty_per_cent_at_this_n(pair):
    """Ten per cent read 1.07 +- 0.05 (CEERS) and 1.05 +- 0.07 (COSMOS): not clean, not red."""
    ten = audited(louder(pair.sim, 0.10, shaped=True), pair.obs)
    assert ten.verdict in ("underpowered", "confounded"), told(ten)
    twenty = audited(louder(pair.sim, 0.20, shaped=True), pair.obs)
    assert red(twenty), told(twenty)


def simreal(*arguments, cache):
    return subprocess.run(
        [sys.executable, "-m", "simreal", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "SIMREAL_CACHE": str(cache)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "arguments"),
    [
        (("cosmos_galsim", "ceers"), ("--sim", "cosmos", "--obs", "ceers", "--allow", "bands")),
        (("tng50_skirt_sdss",), ("--sim", "tng50-skirt-sdss", "--obs", "toy-survey")),
    ],
)
def test_small_real_samples_compare_and_claim_nothing(needs, arguments, real_data, tmp_path):
    real_data(*needs)
    found = simreal(
        "compare", *arguments, "--encoder", "pca", "--out", tmp_path / "run", cache=tmp_path / "c"
    )
    assert found.returncode in (0, 4), found.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["track"] == "flux"
    assert "no population claim" in (tmp_path / "run" / "report.html").read_text()
