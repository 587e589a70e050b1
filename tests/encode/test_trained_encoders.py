"""One contract over every encoder that is trained: exact, resumable, and blind to sides."""

import functools

import numpy as np
import pytest
import torch

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.core.plugins import available, load
from simreal.encode.run import encoder_meta, fit_encoder
from simreal.encode.settings import EncoderSettings

PLACE = ("simreal.encode.encoders", "simreal.encoders")
TRAINED = [name for name in sorted(available(*PLACE)) if encoder_meta(name).trains]
SETTINGS = EncoderSettings(epochs=3, batch=8, threads=1, device="cpu", checkpoint_seconds=0)
GROUPS = np.repeat(np.arange(12), 2)

pytestmark = pytest.mark.parametrize("name", TRAINED)


def pixels(n=24, bands=2, size=(32, 32), seed=0):
    return np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32)


def fit(name, settings=SETTINGS, images=None, groups=GROUPS, progress=None):
    source = ArraySource(pixels() if images is None else images)
    return load(*PLACE, name).fit(source, groups, settings=settings, seed=5, progress=progress)


@functools.cache
def whole(name):
    return fit(name)


def stamps(name, seed):
    ids = np.array([f"{name}{i}" for i in range(12)])
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=pixels(12, seed=seed),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=("r", "g"), unit="display"),
    )


class KilledError(Exception):
    pass


def test_resuming_ends_in_the_same_bits(name, tmp_path):
    kept = SETTINGS.replace(checkpoints=tmp_path)
    for stop in (1, 2):  # the second is resumed from what the first left

        def kill(label, done, total, *, stop=stop):
            if done == stop:
                raise KilledError

        with pytest.raises(KilledError):
            fit(name, kept, progress=kill)
    seen = []
    again = fit(name, kept, progress=lambda label, done, total: seen.append(done))
    assert seen == [3], "it started over"
    assert again.digest == whole(name).digest
    assert again.card["loss"] == whole(name).card["loss"]


def test_the_callers_random_state_is_left_alone(name):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert fit(name).digest == whole(name).digest, "the caller's random state matters"
    assert torch.equal(torch.rand(1), expected)


def test_naming_the_sides_the_other_way_round_gives_the_same_encoder(name):
    a, b = stamps("a", 1), stamps("b", 2)
    one = fit_encoder(name, [a, b], settings=SETTINGS, seed=1)
    other = fit_encoder(name, [b, a.replace(role="simulated")], settings=SETTINGS, seed=1)
    assert one.digest == other.digest


def test_training_changes_the_weights_and_another_seed_others(name):
    one = whole(name)
    assert len(one.card["loss"]) == 3
    assert np.isfinite(one.card["loss"]).all()
    other = load(*PLACE, name).fit(ArraySource(pixels()), GROUPS, settings=SETTINGS, seed=6)
    assert other.digest != one.digest
    assert fit(name, SETTINGS.replace(learning_rate=1e-3)).digest != one.digest


def test_any_bands_and_sizes_that_no_stride_divides(name):
    settings = SETTINGS.replace(epochs=1)
    odd = pixels(bands=5, size=(37, 45))
    vectors = fit(name, settings, odd).encode(ArraySource(odd))
    assert np.isfinite(vectors).all()
    # Random pixels differ, and so do their vectors.
    assert (vectors.std(axis=0) > 0).any()


@pytest.mark.parametrize("batch", [1, 5])
def test_a_vector_does_not_depend_on_its_batch(name, batch):
    encoder, source = whole(name), ArraySource(pixels())
    np.testing.assert_allclose(
        encoder.encode(source, batch=batch), encoder.encode(source), atol=2e-6
    )


def test_a_batch_of_one_object_is_trained_on(name):
    # Eleven objects in six batches of two: the last holds one.
    encoder = fit(name, SETTINGS.replace(batch=2, epochs=2), groups=np.arange(24) % 11)
    assert np.isfinite(encoder.card["loss"]).all()


def test_what_cannot_be_fitted_is_refused_in_one_line(name):
    broken = pixels()
    broken[3, 1, 4, 4] = np.nan
    for settings, images, groups, text in (
        (SETTINGS, broken, GROUPS, "not finite"),
        (SETTINGS, pixels(size=(31, 40)), GROUPS, f"{name!r} needs images of 32 pixels"),
        (SETTINGS, pixels(), GROUPS % 7, f"{name!r} needs 8 objects or more"),
        (SETTINGS, np.full((24, 2, 32, 32), 0.3, np.float32), GROUPS, "image is the same"),
        (SETTINGS.replace(learning_rate=1e30), pixels(), GROUPS, "the loss is .* at epoch"),
    ):
        with pytest.raises(NotComputableError, match=text) as refused:
            fit(name, settings, images, groups)
        assert "\n" not in str(refused.value)


def test_the_dimension_may_be_chosen(name):
    encoder = fit(name, SETTINGS.replace(epochs=1, dimension=48))
    assert encoder.dimension == 48
    assert encoder.encode(ArraySource(pixels())).shape == (24, 48)
