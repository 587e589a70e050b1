"""The public face of planting: sets and sides, leaks, and what a nuisance buys."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.table import QTable

from simreal.audit.contract import Side
from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Setup
from simreal.match.nuisances import NUISANCES
from simreal.match.nuisances import QUALITY as LAST_ENCODING
from simreal.testing import (
    QUALITY,
    exchanged,
    leak,
    leaks,
    nuisances,
    plant,
    plant_side,
    sensitivity,
)


def made(name, n=12, *, bands=("r", "g", "b"), seed=0, first=0, **changes):
    """Return a set of noisy discs on the 8-bit grid, with PSF and noise of every image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48] - 23.5
    scale = rng.uniform(3, 6, (n, 1, 1, 1))
    light = 0.2 + 0.7 * np.exp(-np.hypot(x, y) / scale)
    pixels = light + rng.normal(0, 0.02, (n, len(bands), 48, 48))
    ids = np.array([f"{k + first:04d}" for k in range(n)])
    setup = Setup(
        track="rgb", bands=bands, unit="display", psf_fwhm=np.full((n, len(bands)), 4.0),
        noise=np.full((n, len(bands)), 0.02),
    )  # fmt: skip
    return ImageSet(
        name=name, role="observed", sampling="random", ids=ids, groups=ids, setup=setup,
        images=(np.rint(np.clip(pixels, 0, 1) * 255) / 255).astype(np.float32),
        properties=QTable({"size": scale[:, 0, 0, 0]}), **changes,
    )  # fmt: skip


def empty_sky(stamps, seed=9):
    rng = np.random.default_rng(seed)
    shape = stamps.images.shape
    pixels = (np.rint(rng.normal(0.2, 0.02, shape) * 255) / 255).astype(np.float32)
    return stamps.replace(name=f"{stamps.name} sky", images=pixels)


def pair(n=12):
    sides = []
    for k, name in enumerate(("one", "other")):
        stamps = made(name, n, seed=k, first=100 * k)
        sides.append(Side(stamps=stamps, sky=empty_sky(stamps).rows(np.arange(n - 2))))
    return sides


def pixels(images):
    return images.images.read(slice(None))


def embedding(images):
    seen = pixels(images)
    vectors = np.stack([seen.mean((1, 2, 3)), seen[:, :, :6].std((1, 2, 3))], axis=1)
    return Embedding(
        name=images.name, sampling=images.sampling, vectors=vectors, ids=images.ids,
        groups=images.groups, setup=images.setup, encoder_digest="mean, rms",
        source_digest=images.digest,
    )  # fmt: skip


def test_it_imports_nothing_heavy():
    code = "import sys, simreal.testing; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_nuisances_are_those_of_the_registry():
    assert nuisances() == tuple(NUISANCES.values())
    assert QUALITY == LAST_ENCODING


def test_a_planted_set_says_so_in_its_history_and_nowhere_else():
    images = made("one")
    found = plant(images, "pedestal", 0.5, seed=3)
    assert found.history[-1].after == {"size": 0.5}
    assert found.history[-1].name == "plant pedestal"
    assert found.setup.differs_from(images.setup) == ()
    assert found.ids.tolist() == images.ids.tolist()
    # Half of the sky rms of the setup, and not of the border, on every image.
    base = plant(images, "pedestal", 0.0, seed=3)
    lifted = (pixels(found) - pixels(base)).mean((1, 2, 3))
    np.testing.assert_allclose(lifted, 0.01, atol=1e-3)


def test_a_seed_is_the_same_bits_and_another_is_not():
    images = made("one")
    one, same, other = (plant(images, "white_noise", 0.3, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(pixels(one), pixels(same))
    assert (pixels(one) != pixels(other)).any()


def test_masked_images_are_refused():
    images = made("one")
    masked = images.replace(mask=np.ones(images.images.shape, bool))
    with pytest.raises(NotComputableError, match="one: got masked pixels"):
        plant(masked, "psf", 0.1, seed=0)
    with pytest.raises(NotComputableError, match="give its patches as sky"):
        plant(images, "noise", 0.1, seed=0)


def test_a_planted_side_has_the_nuisance_on_its_sky_and_no_embedding():
    side = pair()[0]
    side = Side(stamps=side.stamps, sky=side.sky, embedding=embedding(side.stamps))
    loud, quiet = (plant_side(side, "noise", size, seed=5, quality=None) for size in (0.5, 0.0))
    assert loud.embedding is None
    growth = pixels(loud.sky).std() / pixels(quiet.sky).std()
    assert growth == pytest.approx(1.5, rel=0.02)
    added_sky, added = (
        pixels(getattr(loud, name)) - pixels(getattr(quiet, name)) for name in ("sky", "stamps")
    )
    alike = np.corrcoef(added_sky.ravel(), added[: len(added_sky)].ravel())[0, 1]
    assert abs(alike) < 0.1


def test_the_exchanged_sides_are_all_the_objects_dealt_anew():
    one, other = pair()
    first, second = exchanged(one, other, seed=0)
    ids = [set(side.stamps.ids) for side in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    assert ids[0] | ids[1] == {*one.stamps.ids, *other.stamps.ids}
    assert 0 < len(ids[0] & {*one.stamps.ids}) < 12
    for side in (first, second):
        assert len(side.stamps) == 12
        assert side.stamps.ids.tolist() == sorted(side.stamps.ids)
        assert {*side.sky.ids} <= {*side.stamps.ids}
        for given in (one, other):
            both = np.isin(side.stamps.ids, given.stamps.ids)
            rows = np.searchsorted(given.stamps.ids, side.stamps.ids[both])
            np.testing.assert_array_equal(pixels(side.stamps)[both], pixels(given.stamps)[rows])
            np.testing.assert_array_equal(
                side.stamps.properties["size"][both], given.stamps.properties["size"][rows]
            )
    assert len(first.sky) + len(second.sky) == 20
    again, _ = exchanged(one, other, seed=0)
    assert again.stamps.digest == first.stamps.digest
    another, _ = exchanged(one, other, seed=1)
    assert another.stamps.digest != first.stamps.digest


def test_sets_without_sky_are_exchanged_too_and_no_more_than_there_are():
    one, other = made("one"), made("other", first=100)
    first, second = exchanged(one, other, seed=0, n=5)
    assert isinstance(first, ImageSet)
    assert (len(first), len(second)) == (5, 5)
    assert first.setup.noise.shape == (5, 3)
    with pytest.raises(NotComputableError, match="got n = 13 groups a side, allowed is 1 to 12"):
        exchanged(one, other, seed=0, n=13)


def test_embeddings_of_one_encoder_go_with_their_objects():
    sides = [
        Side(stamps=side.stamps, sky=side.sky, embedding=embedding(side.stamps)) for side in pair()
    ]
    first, _ = exchanged(*sides, seed=0)
    np.testing.assert_allclose(first.embedding.vectors, embedding(first.stamps).vectors, rtol=1e-5)


def test_a_side_normalised_by_its_own_numbers_has_its_own_grey_levels():
    one, other = pair()
    first, second = leak(one, other, "per_side_normalisation")
    levels = [np.unique(pixels(side.stamps)) for side in (first, second)]
    shared = np.intersect1d(*levels)
    assert len(shared) < 0.1 * len(levels[0])
    assert {*first.stamps.ids} == {*one.stamps.ids}
    np.testing.assert_array_equal(pixels(first.sky), pixels(one.sky))
    assert pixels(first.stamps).max() == 1


@pytest.mark.parametrize(
    ("name", "kind"), [("per_side_jpeg", "jpeg"), ("resampled_twice", "resampling")]
)
def test_one_side_is_encoded_lower_or_resampled_once_more(name, kind):
    one, other = pair()
    first, second = leak(one, other, name, seed=4)
    assert first.stamps.history[-1].name == second.stamps.history[-1].name == f"plant {kind}"
    assert first.stamps.history[-1].after["size"] > 0
    assert second.stamps.history[-1].after["size"] == 0
    np.testing.assert_array_equal(pixels(first.sky), pixels(one.sky))

    def roughness(stamps):
        """Power at half a cycle per pixel along x, which both take away."""
        fine = np.diff(pixels(stamps)[:, :, :8], n=2, axis=3)
        return fine.std()

    assert roughness(first.stamps) < 0.9 * roughness(second.stamps)


def test_file_order_cuts_the_files_where_they_stand():
    one, other = pair()
    mixed = exchanged(one, other, seed=0)
    first, second = leak(*mixed, "file_order")
    assert max(first.stamps.ids) < min(second.stamps.ids)
    assert {*first.stamps.ids} == {*one.stamps.ids}


def test_half_precision_leaves_the_grid_on_one_side():
    one, other = made("one"), made("other", first=100)
    first, second = leak(one, other, "dtype")
    away = [np.abs(pixels(x) * 255 - np.rint(pixels(x) * 255)).max() for x in (first, second)]
    # Half precision has 11 bits: at 128 grey levels and above a value is off by up to 1 / 16.
    assert 0.02 < away[0] < 0.07
    assert away[1] < 1e-4


def test_every_leak_has_a_meaning_and_an_unknown_one_is_refused():
    assert all(len(meaning) > 20 for meaning in leaks().values())
    with pytest.raises(UsageError, match="unknown leak 'dtypes': did you mean 'dtype'"):
        leak(*pair(), "dtypes")


SETTINGS = InferenceSettings(n_permutations=99, n_floor_splits=50, n_subsamples=50, power=False)


def distance(obs, sim):
    found = compare_embeddings(obs, sim, metrics=["mmd", "energy"], settings=SETTINGS, seed=0)
    return found.comparisons


def test_what_a_nuisance_buys_grows_with_it_and_nothing_buys_nothing():
    observed = made("survey", 180)
    sizes = {"pedestal": [0.5, 4.0]}
    rows = sensitivity(observed, embedding, distance, kinds=["pedestal", "noise"], sizes=sizes)
    keys = [(row.kind, row.size, row.metric) for row in rows]
    assert keys[:2] == [("none", 0.0, "mmd"), ("none", 0.0, "energy")]
    assert keys[2:6] == [
        ("pedestal", size, metric) for size in (0.5, 4.0) for metric in ("mmd", "energy")
    ]
    none, large = rows[0], rows[4]
    assert none.p_value > 0.05
    assert large.value > large.floor.high
    assert large.p_value <= 0.05
    assert large.value > rows[2].value
    assert large.floor.n == 60
    assert large.low <= large.value <= large.high
    # Noise of the survey needs its sky: said, not left out.
    unknown = [row for row in rows if row.kind == "noise"]
    assert len(unknown) == 6
    assert all(row.value is None and "sky" in row.reason for row in unknown)


def test_unknown_kinds_are_refused_before_anything_is_embedded():
    def never(_):
        pytest.fail("embedded")

    with pytest.raises(UsageError, match="unknown nuisance 'sharpening'"):
        sensitivity(made("survey"), never, distance, kinds=["sharpening"])
    with pytest.raises(UsageError, match="unknown nuisance 'pfs'"):
        sensitivity(made("survey"), never, distance, kinds=["psf"], sizes={"pfs": [1.0]})
