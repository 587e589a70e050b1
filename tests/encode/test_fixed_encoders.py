"""Encoders that learn nothing: measured morphology and random convolutions."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource
from simreal.encode.encoders import morphology, random_convolution
from simreal.encode.settings import EncoderSettings
from simreal.measure.morphology import feature_names
from simreal.measure.morphology import morphology as measure

SETTINGS = EncoderSettings(threads=1, device="cpu")


def galaxies(n=30, *, bands=1, size=32, seed=0):
    """Return noisy discs of many sizes (n, band, y, x)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    scale, ratio = rng.uniform(2, 5, (n, 1, 1, 1)), rng.uniform(0.4, 1, (n, 1, 1, 1))
    light = rng.uniform(0.3, 0.9, (n, bands, 1, 1)) * np.exp(-np.hypot(x, y / ratio) / scale)
    return (light + rng.normal(0, 0.02, light.shape)).astype(np.float32)


@given(st.integers(1, 60).map(lambda n: 2 * n - 1))
def test_equal_weights_give_the_ordinary_median(n):
    values = np.random.default_rng(n).normal(size=(n, 3))
    found = morphology.weighted_quantile(values, np.full(n, 1 / n), 0.5)
    np.testing.assert_array_equal(found, np.median(values, axis=0))


def test_views_of_one_object_count_once():
    images = galaxies(31)
    repeated = np.concatenate([images, images[:5], images[:5]])
    groups = np.concatenate([np.arange(31), np.arange(5), np.arange(5)])
    once = morphology.fit(ArraySource(images), np.arange(31), settings=SETTINGS, seed=0)
    thrice = morphology.fit(ArraySource(repeated), groups, settings=SETTINGS, seed=0)
    for name in ("centre", "scale"):
        np.testing.assert_allclose(thrice.weights[name], once.weights[name], rtol=1e-6)


def test_most_numbers_lie_within_a_few_units_and_failures_do_not_run_away():
    images = galaxies(200)
    encoder = morphology.fit(ArraySource(images), np.arange(200), settings=SETTINGS, seed=0)
    vectors = encoder.encode(ArraySource(images))
    # Half of the pool lies within 0.6745 of the centre, or more where tails are heavy; of
    # neighbours these stamps have none.
    inside = (np.abs(vectors) < 0.68).mean(axis=0)
    inside = inside[np.array(feature_names(1)) != "neighbour_light"]
    assert 0.48 < inside.min() < inside.max() < 0.7
    wild = np.concatenate([np.zeros((1, 1, 32, 32)), np.full((1, 1, 32, 32), 1e4)])
    wild[1, 0, 5:9, 5:9] = -1e4
    # 3 arcsinh(z / 3) of a billion robust standard deviations is 61.
    assert np.abs(encoder.encode(ArraySource(wild.astype(np.float32)))).max() < 61


def test_entries_are_the_named_measurements():
    images = galaxies(20, bands=3)
    encoder = morphology.fit(ArraySource(images), np.arange(20), settings=SETTINGS, seed=0)
    assert encoder.card["recipe"]["features"] == list(feature_names(3))
    standard = 3 * np.sinh(encoder.encode(ArraySource(images)).astype(np.float64) / 3)
    back = standard * encoder.weights["scale"] + encoder.weights["centre"]
    np.testing.assert_allclose(back, measure(images), rtol=1e-4, atol=1e-4)


def test_a_pool_of_one_picture_has_a_scale():
    images = np.repeat(galaxies(1), 10, axis=0)
    encoder = morphology.fit(ArraySource(images), np.arange(10), settings=SETTINGS, seed=0)
    assert not encoder.encode(ArraySource(images)).any()
    assert (encoder.weights["scale"] == 1).all()


def test_random_weights_are_the_same_for_every_seed_and_pool():
    one = random_convolution.fit(
        ArraySource(galaxies(20)), np.arange(20), settings=SETTINGS, seed=0
    )
    other = random_convolution.fit(
        ArraySource(galaxies(20, seed=9)), np.arange(20), settings=SETTINGS, seed=5
    )
    differing = [n for n in one.weights if not np.array_equal(one.weights[n], other.weights[n])]
    assert sorted(differing) == ["mean", "scale"]
    same = random_convolution.fit(
        ArraySource(galaxies(20)), np.arange(20), settings=SETTINGS, seed=5
    )
    assert same.digest == one.digest
    assert one.dimension == 128
    assert one.card["effective_rank"] > 2


def test_random_weights_leave_the_callers_generator_alone():
    import torch

    state = torch.random.get_rng_state()
    random_convolution.fit(ArraySource(galaxies(10)), np.arange(10), settings=SETTINGS, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("module", "size"), [(morphology, 15), (random_convolution, 31)], ids=["morphology", "random"]
)
def test_too_few_objects_and_too_small_images_are_refused(module, size):
    with pytest.raises(NotComputableError, match="needs 8 objects or more to be fitted, got 5"):
        module.fit(ArraySource(galaxies(20)), np.arange(20) % 5, settings=SETTINGS, seed=0)
    with pytest.raises(NotComputableError, match="match with a larger stamp"):
        module.fit(ArraySource(galaxies(20, size=size)), np.arange(20), settings=SETTINGS, seed=0)


def test_morphology_does_not_need_torch():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from simreal.core.images import ImageSet, Setup\n"
        "from simreal.encode.frozen import check_disjoint, fit_frozen\n"
        "ids = np.arange(10).astype(str)\n"
        "images = ImageSet(name='a', role='observed', sampling='random', ids=ids, groups=ids,\n"
        "    images=np.random.default_rng(0).random((10, 1, 32, 32)),\n"
        "    setup=Setup(track='rgb', bands=('r',), unit='display'))\n"
        "print(fit_frozen('morphology', images).dimension)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{len(feature_names(1))}\n", "")
