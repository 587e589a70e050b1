"""The augmentation presets: laws of all, and what each one must leave alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.images import ArraySource
from simreal.core.plugins import available
from simreal.encode.augment import Crop, Photometry, Placement, load_preset
from simreal.encode.encoders import simclr
from simreal.encode.settings import EncoderSettings
from simreal.encode.survey import Seeing, SurveySky, sky_of

PRESETS = sorted(
    name.replace("_", "-")
    for name in available("simreal.encode.augmentations", "simreal.augmentations")
)
seeds = st.integers(0, 2**31)


def images_of(seed, n=3, bands=2, size=(32, 40)):
    return torch.from_numpy(np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32))


def counts_of(seed, n=3, bands=2, size=(32, 40)):
    """Pixels that every preset takes: whole numbers."""
    drawn = np.random.default_rng(seed).poisson(9.0, (n, bands, *size))
    return torch.from_numpy(drawn.astype(np.float32))


def uniform_of(seed, n, draws):
    return torch.from_numpy(np.random.default_rng(seed).random((n, draws), dtype=np.float32))


def fitted(name, bands=2):
    return load_preset(name).fitted(ArraySource(counts_of(99, n=30, bands=bands).numpy()))


def test_the_presets_are_these():
    assert PRESETS == [
        "colour-aware",
        "galaxy-morphology",
        "geometric",
        "point-source",
        "seven-layers",
        "simclr-paper",
        "size-aware",
        "survey-realistic",
        "xray-counts",
    ]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("bands", [1, 5])
def test_shape_finiteness_and_a_view_that_differs(name, bands):
    preset, images = fitted(name, bands), counts_of(1, bands=bands)
    before = images.clone()
    views = preset(images, uniform_of(2, 3, preset.draws))
    assert views.shape == images.shape
    assert torch.isfinite(views).all()
    assert torch.equal(images, before), "an argument was written into"
    assert (views != images).flatten(1).any(1).all()


@pytest.mark.parametrize("name", PRESETS)
def test_an_image_meets_its_own_numbers_whatever_the_batch(name):
    preset, images = fitted(name), counts_of(3, n=6)
    uniform = uniform_of(4, 6, preset.draws)
    together = preset(images, uniform)
    apart = torch.cat([preset(images[i : i + 1], uniform[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(apart, together, atol=2e-5, rtol=1e-6)


@pytest.mark.parametrize("name", PRESETS)
def test_every_operation_gives_its_reason(name):
    preset = load_preset(name)
    assert preset.name == name
    for operation in preset.operations:
        parts = operation.mixes if isinstance(operation, Photometry) else [operation]
        assert all(len(part.reason) > 40 for part in parts)


def test_each_is_chosen_by_name_and_trains_another_encoder():
    source, digests = ArraySource(counts_of(0, n=12).numpy()), set()
    for name in PRESETS:
        settings = EncoderSettings(epochs=2, batch=6, threads=1, device="cpu", augmentation=name)
        encoder = simclr.fit(source, np.arange(12), settings=settings, seed=0)
        assert encoder.card["recipe"]["augmentation"] == load_preset(name).describe()
        digests.add(encoder.digest)
    assert len(digests) == len(PRESETS)


@given(seeds)
def test_colour_aware_keeps_every_colour(seed):
    # Bands in a fixed ratio stay in it through everything but the noise, which is left out.
    one = images_of(seed, bands=1)
    images = torch.cat([one, 0.5 * one, 2.0 * one], dim=1)
    uniform = uniform_of(seed, 3, load_preset("colour-aware").draws)
    start = 0
    for operation in load_preset("colour-aware").operations[:-1]:
        images = operation(images, uniform[:, start : start + operation.draws])
        start += operation.draws
    torch.testing.assert_close(images[:, 1], 0.5 * images[:, 0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(images[:, 2], 2.0 * images[:, 0], atol=1e-6, rtol=1e-5)


def test_galaxy_morphology_does_not_keep_colours_so_the_test_above_can_fail():
    one = images_of(0, bands=1)
    images = torch.cat([one, 0.5 * one], dim=1)
    colours = load_preset("galaxy-morphology").operations[1]
    changed = colours(images, uniform_of(0, 3, colours.draws))
    assert (changed[:, 1] - 0.5 * changed[:, 0]).abs().max() > 0.01


def second_moment(images):
    size = images.shape[-1]
    y, x = torch.meshgrid(*2 * [torch.arange(size) - (size - 1) / 2], indexing="ij")
    total = images.sum((1, 2, 3))
    cx, cy = ((images * c).sum((1, 2, 3)) / total for c in (x, y))
    return (images * (x**2 + y**2)).sum((1, 2, 3)) / total - cx**2 - cy**2


@pytest.mark.parametrize("name", ["size-aware", "point-source", "galaxy-morphology"])
def test_size_is_kept_where_size_is_signal(name):
    y, x = torch.meshgrid(*2 * [torch.arange(64) - 31.5], indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / (2 * 4.0**2)).expand(40, 1, 64, 64)
    preset, start, views = load_preset(name), 0, blob
    uniform = uniform_of(5, 40, preset.draws)
    for operation in preset.operations:
        if isinstance(operation, (Placement, Crop)):
            views = operation(views, uniform[:, start : start + operation.draws])
        start += operation.draws
    # Bilinear interpolation widens each axis by at most 1 / 4 pixel^2 of 16.
    ratio = second_moment(views) / second_moment(blob)
    assert ((ratio - 1).abs() < 0.02).all() == (name != "galaxy-morphology")


@given(seeds, st.floats(0.01, 0.5))
def test_a_crop_leaves_the_window_alone_and_mirrors_it_outside(seed, share):
    images = images_of(seed, n=4, size=(32, 40))
    views = Crop(share=share, reason="")(images, uniform_of(seed, 4, 4))
    for image, view in zip(images, views, strict=True):
        same = (image == view).all(0)
        rows, columns = same.float().mean(1) > 0.4, same.float().mean(0) > 0.4
        # The window is a run of rows times a run of columns of at least the share kept.
        assert rows.sum() >= np.floor(32 * (1 - share)) - 1
        assert columns.sum() >= np.floor(40 * (1 - share)) - 1
        assert same[rows][:, columns].all()
        # No pixel is invented.
        assert torch.isin(view, image).all()


def test_a_crop_of_nothing_is_the_image():
    images = images_of(0)
    zeros = torch.zeros(3, 4)
    assert torch.equal(Crop(share=0.25, reason="")(images, zeros), images)


def sky_images(n, seed, depth, level):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, 2, 64, 64)) * depth[:, None, None, None]
    y, x = np.mgrid[:64, :64] - 31.5
    galaxy = np.exp(-(x**2 + y**2) / (2 * 6.0**2))
    return torch.from_numpy((galaxy + noise + level[:, None, None, None]).astype(np.float32))


def test_the_sky_is_measured_in_the_darker_corners():
    depth, level = np.full(50, 0.1), np.full(50, 0.4)
    images = sky_images(50, 0, depth, level)
    images[:, :, :8, :8] += 5  # a neighbour in a corner
    found, width = sky_of(images)
    # A median of 128 pixels errs by 1.25 * 0.1 / sqrt(128) = 0.011 each, its mean by 0.0011.
    assert found.mean().item() == pytest.approx(0.4, abs=0.005)
    # A median deviation of 128 pixels errs by 1.17 / sqrt(128) = 10 %, its mean over 100 by 1 %.
    assert width.mean().item() == pytest.approx(0.1, rel=0.04)


def test_views_have_the_sky_of_the_pool():
    rng = np.random.default_rng(1)
    n = 400
    shallow = rng.random(n) < 0.5
    pool = sky_images(n, 2, np.where(shallow, 0.2, 0.05), np.where(shallow, 0.3, 0.0))
    operation = SurveySky(reason="").fitted(ArraySource(pool.numpy()))
    deep = sky_images(n, 3, np.full(n, 0.05), np.full(n, 0.0))
    views = operation(deep, uniform_of(4, n, operation.draws))
    level, width = sky_of(views)
    # Half of the views of a deep image look shallow now; a share of 400 errs by 0.025.
    assert (width[:, 0] > 0.12).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (level[:, 0] > 0.15).float().mean().item() == pytest.approx(0.5, abs=0.1)
    # Bands share the depth drawn.
    assert ((width[:, 0] > 0.12) == (width[:, 1] > 0.12)).float().mean() > 0.97
    # What is shallow already gets no noise.
    loud = sky_images(n, 5, np.full(n, 1.0), np.full(n, 0.0))
    louder = operation(loud, uniform_of(6, n, operation.draws))
    assert sky_of(louder)[1].mean().item() == pytest.approx(sky_of(loud)[1].mean().item(), rel=0.02)


def test_an_operation_that_has_measured_nothing_changes_nothing():
    images = images_of(0)
    assert torch.equal(SurveySky(reason="")(images, uniform_of(0, 3, 4)), images)
    preset = load_preset("galaxy-morphology")
    assert preset.fitted(ArraySource(images.numpy())) == preset


def test_seeing_is_log_normal():
    point = torch.zeros(2000, 1, 17, 17)
    point[..., 8, 8] = 1
    seeing = Seeing(median=0.45, scatter=0.2, reason="")
    peak = seeing(point, uniform_of(0, 2000, 1))[:, 0, 8, 8]
    # The blur of the median width leaves this in the middle: five taps of a Gaussian.
    taps = np.exp(-0.5 * (np.arange(-2, 3) / 0.45) ** 2)
    assert peak.median().item() == pytest.approx((1 / taps.sum()) ** 2, rel=0.02)
    # One standard deviation up in the logarithm: 0.45 * e^0.2.
    wide = np.exp(-0.5 * (np.arange(-2, 3) / (0.45 * np.exp(0.2))) ** 2)
    assert torch.quantile(peak, 0.1587).item() == pytest.approx((1 / wide.sum()) ** 2, rel=0.04)
