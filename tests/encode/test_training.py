"""The training loop: exact when repeated or resumed, blind to sides, loud when it fails."""

import numpy as np
import pytest
import torch

from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.encode.augment import load_preset
from simreal.encode.encoders import simclr
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import members_of, plan_epoch, runtime

SETTINGS = EncoderSettings(epochs=4, batch=8, threads=1, device="cpu", checkpoint_seconds=0)
GROUPS = np.repeat(np.arange(12), 2)


def pixels(n=24, bands=2, size=32, seed=0):
    return np.random.default_rng(seed).random((n, bands, size, size), dtype=np.float32)


def fit(settings=SETTINGS, source=None, groups=GROUPS, progress=None):
    source = ArraySource(pixels()) if source is None else source
    return simclr.fit(source, groups, settings=settings, seed=5, progress=progress)


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


@pytest.fixture(scope="module")
def whole():
    return fit()


class KilledError(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_resuming_ends_in_the_same_bits(epoch, whole, tmp_path):
    kept = SETTINGS.replace(checkpoints=tmp_path)

    def kill(label, done, total):
        if done == epoch:
            raise KilledError

    with pytest.raises(KilledError):
        fit(kept, progress=kill)
    seen = []
    again = fit(kept, progress=lambda label, done, total: seen.append(done))
    assert seen == list(range(epoch + 1, 5)), "it started over"
    assert again.digest == whole.digest
    assert again.card["loss"] == whole.card["loss"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_checkpoint_is_passed_over(whole, tmp_path):
    kept = SETTINGS.replace(checkpoints=tmp_path)
    fit(kept)
    older, newer = sorted(tmp_path.iterdir())
    content = bytearray(newer.read_bytes())
    content[-5] ^= 1
    newer.write_bytes(content)
    older.write_bytes(older.read_bytes()[:1000])
    assert fit(kept).digest == whole.digest


def test_checkpoints_of_other_images_or_settings_are_not_taken(tmp_path):
    kept = SETTINGS.replace(checkpoints=tmp_path)
    fit(kept)
    other = ArraySource(pixels(seed=9))
    assert fit(kept, source=other).digest == fit(source=other).digest
    cooler = SETTINGS.replace(temperature=0.5)
    assert fit(cooler.replace(checkpoints=tmp_path)).digest == fit(cooler).digest


def test_the_same_seed_gives_the_same_bits_and_leaves_the_callers_random_state(whole):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert fit().digest == whole.digest
    assert torch.equal(torch.rand(1), expected)


def test_another_seed_gives_another_encoder(whole):
    other = simclr.fit(ArraySource(pixels()), GROUPS, settings=SETTINGS, seed=6)
    assert other.digest != whole.digest


def test_naming_the_sides_the_other_way_round_gives_the_same_encoder():
    a, b = stamps("a", 1), stamps("b", 2)
    one = fit_encoder("simclr", [a, b], settings=SETTINGS, seed=1)
    other = fit_encoder("simclr", [b, a.replace(role="simulated")], settings=SETTINGS, seed=1)
    assert one.digest == other.digest


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_a_vector_does_not_depend_on_its_batch(whole, batch):
    source = ArraySource(pixels())
    vectors = whole.encode(source)
    np.testing.assert_allclose(whole.encode(source, batch=batch), vectors, atol=1e-6)


def test_order_goes_in_and_comes_out(whole):
    order = np.random.default_rng(0).permutation(24)
    vectors = whole.encode(ArraySource(pixels()))
    shuffled = whole.encode(ArraySource(pixels()[order]))
    np.testing.assert_allclose(shuffled, vectors[order], atol=1e-6)


def test_any_bands_and_any_size_from_32_pixels():
    settings = SETTINGS.replace(epochs=1, dimension=40)
    source = ArraySource(pixels(bands=5, size=32)[:, :, :, :])
    assert fit(settings, source=source).encode(source).shape == (24, 40)
    odd = ArraySource(np.random.default_rng(0).random((24, 1, 37, 45), dtype=np.float32))
    assert np.isfinite(fit(settings, source=odd).encode(odd)).all()
    with pytest.raises(NotComputableError, match="needs images of 32 pixels or more"):
        fit(source=ArraySource(pixels(size=31)))


def test_an_epoch_shows_one_image_of_every_object():
    preset, members = load_preset("galaxy-morphology"), members_of(GROUPS)
    seen = set()
    for epoch in range(20):
        plan = plan_epoch(members, preset, settings=SETTINGS, seed=0, epoch=epoch)
        assert sorted(plan.order) == list(range(12))
        assert GROUPS[plan.rows[:, 0]].tolist() == list(range(12))
        assert (plan.rows[:, 0] == plan.rows[:, 1]).all()
        seen |= set(plan.rows[:, 0].tolist())
    assert seen == set(range(24)), "some views are never shown"


def test_the_second_view_may_be_another_image_of_the_object():
    settings = SETTINGS.replace(second_view="group")
    members = members_of(np.append(GROUPS, 12))
    plan = plan_epoch(members, load_preset("galaxy-morphology"), settings=settings, seed=0, epoch=0)
    first, second = plan.rows.T
    assert (first[:12] != second[:12]).all()
    assert (first[:12] // 2 == second[:12] // 2).all()
    assert first[12] == second[12] == 24, "an object with one image pairs with itself"
    assert fit(settings).digest != fit().digest


def test_too_few_objects():
    with pytest.raises(NotComputableError, match="needs 8 objects or more"):
        fit(groups=GROUPS % 7)


def test_pixels_that_are_not_finite_are_refused():
    broken = pixels()
    broken[3, 1, 4, 4] = np.nan
    with pytest.raises(NotComputableError, match="not finite"):
        fit(source=ArraySource(broken))


def test_a_loss_that_is_not_finite_stops_the_training():
    wild = SETTINGS.replace(learning_rate=1e30)
    with pytest.raises(NotComputableError, match=r"the loss is .* at epoch .* of 4"):
        fit(wild)


def test_a_vector_that_is_not_finite_names_its_image(whole):
    images = stamps("c", 3)
    broken = images.images.array.copy()
    broken[7] = np.nan
    lazy = images.replace(images=Lazy(broken))
    with pytest.raises(NotComputableError, match="c: encoder 'simclr' gives image 'c7'"):
        embed(whole, lazy)


class Lazy:
    """A source whose pixels nobody has looked at, as on the store."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def read(self, rows):
        return self.array[rows]


def test_other_images_than_it_was_fitted_on_are_refused(whole):
    with pytest.raises(NotComputableError, match=r"\(2, 32, 32\), got \(3, 32, 32\)"):
        whole.encode(ArraySource(pixels(bands=3)))


def test_threads_are_set_for_the_call_only():
    before = torch.get_num_threads()
    with runtime(EncoderSettings(threads=before + 1, device="cpu")) as device:
        assert torch.get_num_threads() == before + 1
        assert device.type == "cpu"
    assert torch.get_num_threads() == before


def test_an_absent_device_is_named():
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    with (
        pytest.raises(NotComputableError, match=f"no device '{absent}'; available: .*cpu"),
        runtime(EncoderSettings(device=absent)),
    ):
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 1},
        {"temperature": 0.0},
        {"device": "tpu"},
        {"second_view": "other"},
        {"threads": 0},
        {"weight_decay": -1.0},
        {"checkpoint_seconds": -1.0},
    ],
)
def test_settings_outside_what_is_allowed(wrong):
    with pytest.raises(UsageError, match=f"encoder.{next(iter(wrong))}: got .*allowed"):
        EncoderSettings(**wrong)


def test_the_budget_decides_the_epochs():
    settings = EncoderSettings(image_passes=1000)
    assert settings.epochs_for(100) == 10
    assert settings.epochs_for(10_000) == 4
    assert settings.replace(epochs=7).epochs_for(100) == 7
