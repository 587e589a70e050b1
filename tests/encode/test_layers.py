"""The separate layers: what each does to light and geometry, and nothing at zero strength."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource
from simreal.encode.augment import (
    Blur,
    Brightness,
    Colour,
    Contrast,
    Crop,
    Noise,
    Photometry,
    load_preset,
)
from simreal.encode.counts import Thinning
from simreal.encode.layers import (
    ColourDrop,
    CropAndResize,
    Cutout,
    Flip,
    QuarterTurns,
    Rotation,
    Sobel,
    Sometimes,
    Translation,
    WholeShift,
    Zoom,
)
from simreal.encode.survey import SurveySky

seeds = st.integers(0, 2**31)
sizes = st.sampled_from([(32, 32), (24, 33)])

#: Each example holds many images already.
few = settings(max_examples=10)

#: Every layer at a strength at which it must not do anything.
IDENTITIES = {
    "crop": Crop(share=0.0, reason=""),
    "translation": Translation(shift=0.0, reason=""),
    "whole shift": WholeShift(shift=0, reason=""),
    "rotation": Rotation(degrees=0.0, reason=""),
    "zoom": Zoom(zoom=1.0, reason=""),
    "crop and resize": CropAndResize(least_area=1.0, stretch=1.0, reason=""),
    "brightness": Photometry(mixes=(Brightness(strength=0.0, reason=""),)),
    "contrast": Photometry(mixes=(Contrast(strength=0.0, reason=""),)),
    "colour": Photometry(mixes=(Colour(saturation=0.0, gain=0.0, reason=""),)),
    "cutout": Cutout(side=0.0, reason=""),
    "noise": Noise(sigma=0.0, reason=""),
    "blur of none": Blur(sigma=1.0, share=0.0, reason=""),
    "thinning": Thinning(least=1.0, reason=""),
    "never": Sometimes(share=0.0, operation=Sobel(reason="")),
}


def images_of(seed, n=4, bands=2, size=(32, 32)):
    return torch.from_numpy(np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32))


def uniform_of(seed, n, draws):
    return torch.from_numpy(np.random.default_rng(seed).random((n, draws), dtype=np.float32))


def apply(operation, images, seed=0):
    return operation(images, uniform_of(seed, len(images), operation.draws))


def names_in(preset):
    found = []
    for operation in preset.operations:
        inner = operation.operation if isinstance(operation, Sometimes) else operation
        parts = inner.mixes if isinstance(inner, Photometry) else [inner]
        found += [type(part).__name__ for part in parts]
    return found


def test_the_seven_published_layers_are_a_preset():
    assert names_in(load_preset("seven-layers")) == [
        "Crop", "Flip", "Translation", "Rotation", "Zoom", "Contrast", "Brightness",
    ]  # fmt: skip


def test_the_list_of_the_simclr_paper_is_a_preset():
    # Crop and resize with flip, distortion of colour (jitter and drop), cutout, rotation,
    # noise, blur, Sobel: figure 4 of Chen et al. 2020.
    assert names_in(load_preset("simclr-paper")) == [
        "CropAndResize", "Flip", "Brightness", "Contrast", "Colour", "ColourDrop", "Blur",
        "Cutout", "QuarterTurns", "Noise", "Sobel",
    ]  # fmt: skip


@pytest.mark.parametrize("name", IDENTITIES)
def test_at_zero_strength_nothing_changes(name):
    images = torch.from_numpy(np.random.default_rng(0).poisson(9.0, (5, 3, 24, 33)).astype("f4"))
    # The grid of an interpolation is off by an ulp of its coordinate times the slope, < 30.
    torch.testing.assert_close(apply(IDENTITIES[name], images), images, atol=3e-4, rtol=0)


@few
@given(seeds, sizes)
def test_flips_move_pixels_and_all_four_occur(seed, size):
    images = images_of(seed, n=64, size=size)
    views = apply(Flip(reason=""), images, seed)
    axes = [(), (3,), (2,), (2, 3)]
    which = torch.stack([(views == images.flip(a)).flatten(1).all(1) for a in axes], 1)
    assert (which.sum(1) == 1).all()
    # 16 of 64 expected; fewer than 3 has a chance of 2e-6.
    assert (which.sum(0) >= 3).all()


@few
@given(seeds)
def test_quarter_turns_move_pixels_and_all_occur(seed):
    images = images_of(seed, n=64)
    views = apply(QuarterTurns(reason=""), images, seed)
    which = [(views == images.rot90(turn, (2, 3))).flatten(1).all(1) for turn in range(4)]
    which = torch.stack(which, 1)
    assert (which.sum(1) == 1).all()
    assert (which.sum(0) >= 3).all()
    oblong = images_of(seed, n=64, size=(20, 33))
    views = apply(QuarterTurns(reason=""), oblong, seed)
    same = (views == oblong).flatten(1).all(1)
    half = (views == oblong.rot90(2, (2, 3))).flatten(1).all(1)
    assert (same ^ half).all()
    assert same.any()
    assert half.any()


@few
@given(seeds, st.integers(0, 5), sizes)
def test_whole_shifts_are_rolls_with_mirrored_rims(seed, shift, size):
    images = images_of(seed, n=16, size=size)
    operation = WholeShift(shift=shift, reason="")
    uniform = uniform_of(seed, 16, 2)
    moves = np.floor(uniform.numpy() * (2 * shift + 1)).astype(int) - shift
    # numpy's symmetric padding is the definition of the mirror.
    wide = np.pad(images.numpy(), [(0, 0), (0, 0), (5, 5), (5, 5)], mode="symmetric")
    for image, view, (down, right) in zip(wide, operation(images, uniform), moves, strict=True):
        expected = image[:, 5 + down :, 5 + right :][:, : size[0], : size[1]]
        np.testing.assert_array_equal(view.numpy(), expected)
    assert {-shift, 0, shift} <= set(moves.ravel()) or shift > 2


def test_a_translation_moves_the_centroid_by_what_was_drawn():
    y, x = torch.meshgrid(*2 * [torch.arange(48) - 23.5], indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / (2 * 3.0**2)).expand(6, 1, 48, 48)
    uniform = uniform_of(3, 6, 2)
    views = Translation(shift=2.5, reason="")(blob, uniform)
    total = views.sum((1, 2, 3))
    torch.testing.assert_close(total, blob.sum((1, 2, 3)), rtol=1e-4, atol=0)
    for coordinate, draw in ((x, uniform[:, 0]), (y, uniform[:, 1])):
        centre = (views * coordinate).sum((1, 2, 3)) / total
        # Bilinear interpolation keeps a first moment; where a view looks is where light was.
        torch.testing.assert_close(centre, -(2 * draw - 1) * 2.5, atol=2e-3, rtol=0)


def moments(images):
    size = images.shape[-1]
    y, x = torch.meshgrid(*2 * [torch.arange(size) - (size - 1) / 2], indexing="ij")
    total = images.sum((1, 2, 3))
    return torch.stack([(images * m).sum((1, 2, 3)) / total for m in (x**2, y**2, x * y)]), total


def test_a_rotation_turns_the_axes_by_what_was_drawn_and_keeps_the_light():
    y, x = torch.meshgrid(*2 * [torch.arange(64) - 31.5], indexing="ij")
    bar = torch.exp(-(x**2) / (2 * 6.0**2) - y**2 / (2 * 3.0**2)).expand(8, 1, 64, 64)
    uniform = uniform_of(1, 8, 1)
    views = Rotation(degrees=60.0, reason="")(bar, uniform)
    (xx, yy, xy), total = moments(views)
    # A bilinear view errs by curvature times p (1 - p) / 2 at phase p of a pixel, 1 / 12 on
    # average; phases that lie alike leave at most mean |f''| / 12, for this bar 1.1 %.
    torch.testing.assert_close(total, bar.sum((1, 2, 3)), rtol=0.011, atol=0)
    found = 0.5 * torch.atan2(2 * xy, xx - yy)
    drawn = (2 * uniform[:, 0] - 1) * math.radians(60)
    torch.testing.assert_close(found.abs(), drawn.abs(), atol=0.01, rtol=0)
    # One sense throughout: no view is a mirror image.
    assert len(torch.unique(torch.sign(found * drawn))) == 1


def test_a_zoom_scales_sizes_and_keeps_brightness():
    y, x = torch.meshgrid(*2 * [torch.arange(64) - 31.5], indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / (2 * 5.0**2)).expand(8, 1, 64, 64)
    uniform = uniform_of(2, 8, 1)
    views = Zoom(zoom=1.3, reason="")(blob, uniform)
    factor = torch.exp((2 * uniform[:, 0] - 1) * math.log(1.3))
    (xx, yy, _), total = moments(views)
    # Bilinear interpolation adds at most 1 / 4 of the old pixels^2 an axis to 25.
    torch.testing.assert_close((xx + yy) / 2, 25 * factor**2, rtol=0.015, atol=0)
    # As above: mean |f''| / 12 of a Gaussian of 5 pixels is 0.65 %.
    torch.testing.assert_close(total, blob.sum((1, 2, 3)) * factor**2, rtol=0.0065, atol=0)
    torch.testing.assert_close(views.amax((1, 2, 3)), blob.amax((1, 2, 3)), rtol=0.02, atol=0)


@few
@given(seeds)
def test_crop_and_resize_shows_a_window_of_the_drawn_area_inside_the_frame(seed):
    size = 48
    rows, columns = torch.meshgrid(*2 * [torch.arange(size) + 0.5], indexing="ij")
    # Each pixel holds its own place, so that a view says where it looked.
    images = torch.stack([rows, columns]).expand(8, 2, size, size)
    operation = CropAndResize(least_area=0.1, stretch=4 / 3, reason="")
    uniform = uniform_of(seed, 8, 4)
    views = operation(images, uniform)
    step_down = (views[:, 0, -2] - views[:, 0, 1]).mean(1) / (size - 3)
    step_right = (views[:, 1, :, -2] - views[:, 1, :, 1]).mean(1) / (size - 3)
    area = 0.1 + 0.9 * uniform[:, 0]
    full = (step_down > 0.999) | (step_right > 0.999)  # cut where wider than the frame
    torch.testing.assert_close((step_down * step_right)[~full], area[~full], rtol=1e-3, atol=0)
    assert (step_down * step_right <= area * 1.001).all()
    assert views.min() >= 0.499
    assert views.max() <= size - 0.499


def test_colour_dropping_gives_grey_and_leaves_one_band():
    images = images_of(0, bands=3)
    views = apply(ColourDrop(reason=""), images)
    torch.testing.assert_close(views, images.mean(1, keepdim=True).expand_as(images))
    one = images[:, :1]
    assert torch.equal(apply(ColourDrop(reason=""), one), one)


@few
@given(seeds, st.floats(0.1, 0.9), sizes)
def test_cutout_paints_one_rectangle_with_the_mean(seed, side, size):
    images = images_of(seed, size=size)
    views = apply(Cutout(side=side, reason=""), images, seed)
    hole = (views != images).any(1)
    for mask, image, view in zip(hole, images, views, strict=True):
        rows, columns = torch.nonzero(mask.any(1)), torch.nonzero(mask.any(0))
        assert len(rows) == round(side * size[0])
        assert len(columns) == round(side * size[1])
        assert mask.sum() == len(rows) * len(columns)
        for plane, out in zip(image, view, strict=True):
            assert torch.allclose(out[mask], plane.mean())


@few
@given(seeds, sizes)
def test_sobel_is_the_gradient_of_a_plane_and_scipys_elsewhere(seed, size):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=2)
    y, x = np.mgrid[: size[0], : size[1]]
    plane = torch.from_numpy((a * y + b * x)[None, None].astype("f4"))
    found = apply(Sobel(reason=""), plane)[..., 1:-1, 1:-1]
    steepness = torch.full_like(found, float(np.hypot(a, b)))
    torch.testing.assert_close(found, steepness, atol=1e-4, rtol=1e-4)
    images = images_of(seed, n=1, bands=1, size=size)
    picture = images[0, 0].double().numpy()
    slopes = [ndimage.sobel(picture, axis, mode="nearest") / 8 for axis in (0, 1)]
    expected = np.hypot(*slopes)
    np.testing.assert_allclose(apply(Sobel(reason=""), images)[0, 0], expected, atol=1e-6)
    assert apply(Sobel(reason=""), torch.full((2, 1, *size), 3.0)).abs().max() == 0


@few
@given(seeds)
def test_sometimes_is_sometimes(seed):
    images = images_of(seed, n=40)
    operation = Sometimes(share=0.5, operation=ColourDrop(reason="because"))
    uniform = uniform_of(seed, 40, operation.draws)
    views = operation(images, uniform)
    changed = (views != images).flatten(1).any(1)
    assert torch.equal(changed, uniform[:, 0] < 0.5)
    assert operation.reason == "because"


def test_sometimes_measures_the_pool_where_its_operation_must():
    images = images_of(1, n=30)
    fitted = Sometimes(share=1.0, operation=SurveySky(reason="")).fitted(
        ArraySource(images.numpy())
    )
    assert fitted.operation.levels is not None
    assert (apply(fitted, images) != images).any()


def test_colour_jitter_composes_and_a_preset_can_name_each_layer():
    for preset in ("seven-layers", "simclr-paper", "xray-counts"):
        loaded = load_preset(preset)
        assert len(loaded.describe()) == len(loaded.operations)
        assert all(len(operation.reason) > 40 for operation in loaded.operations)


def poisson(mean, n=200, seed=0, size=32):
    drawn = np.random.default_rng(seed).poisson(mean, (n, 1, size, size))
    return torch.from_numpy(drawn.astype(np.float32))


def test_thinning_is_binomial_with_the_chance_of_the_image():
    counts = torch.full((50, 1, 32, 32), 40.0)
    operation = Thinning(least=0.3, reason="")
    uniform = uniform_of(0, 50, operation.draws)
    views = operation(counts, uniform)
    chance = (0.3 + 0.7 * uniform[:, 0]).double()
    mean = views.double().mean((1, 2, 3))
    # 1,024 draws of Binomial(40, p): the mean errs by sqrt(40 p q / 1024), < 0.1; five of these.
    assert ((mean - 40 * chance).abs() < 5 * (40 * chance * (1 - chance) / 1024).sqrt()).all()
    variance = views.double().var((1, 2, 3))
    # A variance errs by sqrt(2 / 1023) = 4.4 %.
    torch.testing.assert_close(variance, 40 * chance * (1 - chance), rtol=0.22, atol=0)


@pytest.mark.parametrize("mean", [0.2, 3.0, 200.0])
def test_thinned_poisson_counts_are_poisson_and_independent_of_what_was_taken(mean):
    counts = poisson(mean)
    operation = Thinning(least=0.5, reason="")
    uniform = uniform_of(7, len(counts), 3)
    uniform[:, 0] = 0.2  # one chance, 0.6, for all
    kept = operation(counts, uniform)
    assert (kept == kept.round()).all()
    assert (kept >= 0).all()
    assert (kept <= counts).all()
    kept, taken = kept.double().flatten(), (counts - kept).double().flatten()
    n = len(kept)
    assert kept.mean().item() == pytest.approx(0.6 * mean, abs=5 * math.sqrt(0.6 * mean / n))
    # The variance of a Poisson count equals its mean; that of scaled counts would be 0.6 of it.
    spread = math.sqrt((2 + 1 / (0.6 * mean)) / n)
    assert kept.var().item() / kept.mean().item() == pytest.approx(1, abs=6 * spread)
    correlation = float(np.corrcoef(kept, taken)[0, 1])
    assert abs(correlation) < 5 / math.sqrt(n)


def test_views_of_counts_are_counts_and_keep_every_photon_but_the_thinned():
    counts = poisson(4.0, n=40)
    preset = load_preset("xray-counts").fitted(ArraySource(counts.numpy()))
    views = preset(counts, uniform_of(1, 40, preset.draws))
    assert (views == views.round()).all()
    # Without thinning: pixels only move, but for two rows and columns of mirrored rim.
    moved, start = counts, 3
    for operation in preset.operations[1:]:
        moved = operation(moved, uniform_of(2, 40, 8)[:, start : start + operation.draws])
        start += operation.draws
    inside = slice(2, -2)
    for image, view in zip(counts, moved, strict=True):
        assert abs(float(view.sum() - image.sum())) < 0.2 * float(image.sum())
        assert torch.isin(view[..., inside, inside], image).all()


def test_what_is_not_counts_is_refused():
    preset = load_preset("xray-counts")
    for wrong, shown in ((2.5, "2.5"), (-1.0, "-1"), (2.0**25, "3.35544e\\+07")):
        images = np.full((3, 1, 8, 8), 2.0, np.float32)
        images[1, 0, 3, 3] = wrong
        with pytest.raises(NotComputableError, match=f"a pixel of {shown}, allowed are whole"):
            preset.fitted(ArraySource(images))
