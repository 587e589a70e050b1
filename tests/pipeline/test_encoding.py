"""What is kept for training, what is scored, and the declared bad mock."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.encode.run import save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.pipeline.encoding import (
    bad_mock,
    fit_or_load,
    for_training,
    parse_ceiling,
    split_stamps,
    stored_encoder,
)

SETTINGS = EncoderSettings(threads=1, device="cpu")


def images(name, n, *, role="observed", views=1, seed=0, size=32):
    rng = np.random.default_rng(seed)
    ids = np.array([f"{name}{i}" for i in range(n)])
    return ImageSet(
        name=name,
        role=role,
        sampling="random",
        images=ArraySource(rng.random((n, 3, size, size), dtype=np.float32)),
        ids=ids,
        groups=np.array([f"{name} group {i // views}" for i in range(n)]),
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display"),
    )


def test_training_groups_follow_from_name_and_seed_alone():
    groups = np.array([f"g{i}" for i in range(2000)])
    kept = for_training(groups, seed=3)
    # A fair coin for each of 2,000: three standard deviations are 67.
    assert abs(kept.sum() - 1000) < 67
    some = np.random.default_rng(0).permutation(2000)[:300]
    np.testing.assert_array_equal(for_training(groups[some], seed=3), kept[some])
    assert (for_training(groups, seed=4) != kept).mean() > 0.4


def test_a_frozen_split_keeps_views_together_and_loses_nothing():
    obs = images("o", 120, views=3)
    matched = {"sim": images("s", 20, role="simulated"), "obs": obs}
    stamps = split_stamps(matched, obs, frozen=True, seed=0)
    assert len(stamps.obs) + len(stamps.training) == 120
    assert not set(stamps.obs.groups) & set(stamps.training.groups)
    assert len(stamps.native_training) == len(stamps.training)
    assert split_stamps(matched, obs, frozen=False, seed=0).training is None


def test_a_stored_encoder_refuses_originals_it_has_seen(tmp_path):
    """The stamps differ, as those of another recipe would; the originals give it away."""
    native = images("o", 200)
    first = {"sim": images("s", 20, role="simulated"), "obs": native}
    seen = split_stamps(first, native, frozen=True, seed=0)
    encoder = fit_or_load("pca", seen, settings=SETTINGS, seed=0)
    save_encoder(encoder, tmp_path / "luminance")
    other = native.replace(images=ArraySource(1 - native.images.read(slice(None))))
    again = split_stamps({**first, "obs": other}, native, frozen=True, seed=0)
    assert fit_or_load(
        "pca", again, settings=SETTINGS, seed=0, stored=tmp_path / "luminance"
    ).digest == encoder.digest  # fmt: skip
    wrong = split_stamps({**first, "obs": other}, native, frozen=True, seed=1)
    with pytest.raises(NotComputableError, match=r"fitted on \d+ of these \d+ images"):
        fit_or_load("pca", wrong, settings=SETTINGS, seed=0, stored=tmp_path / "luminance")


def test_a_folder_without_an_encoder_is_one_line(tmp_path):
    assert stored_encoder(None, "luminance") is None
    with pytest.raises(UsageError, match=r"no encoder in .*luminance"):
        stored_encoder(str(tmp_path), "luminance")


def test_the_bad_mock_keeps_ids_and_pixel_values():
    obs = images("o", 12)
    mock = bad_mock("pixel-permuted", obs, seed=0)
    assert mock.ids.tolist() == obs.ids.tolist()
    before, after = obs.images.read(slice(None)), mock.images.read(slice(None))
    np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    assert not np.array_equal(before, after)
    assert bad_mock("psf=2", obs, seed=0).name == "psf=2 o"


@pytest.mark.parametrize(
    ("text", "words"), [("psff=2", "did you mean 'psf'"), ("psf=big", "severity 'big'")]
)
def test_an_unknown_bad_mock_is_one_line(text, words):
    with pytest.raises(UsageError, match=words):
        parse_ceiling(text)
