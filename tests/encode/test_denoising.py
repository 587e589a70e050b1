"""The denoising autoencoder: mask, similarity, noise and loss by hand, and what it learns."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from simreal.core.images import ArraySource
from simreal.encode.backbones import new_network
from simreal.encode.encoders import denoising
from simreal.encode.foreground import foreground, mean_where, otsu, similarity
from simreal.encode.objectives.denoising import (
    COUNTS,
    READ_NOISE,
    Objective,
    noisy,
    picture_loss,
)
from simreal.encode.objectives.simclr import nt_xent
from simreal.encode.run import load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings

SETTINGS = EncoderSettings(epochs=2, batch=6, threads=1, device="cpu")
seeds = st.integers(0, 2**31)


def galaxies(n, seed=0, bands=1, size=32):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = np.empty((n, bands, size, size), np.float32)
    for image in images:
        width, cy, cx = rng.uniform(3, 5), *rng.uniform(-2, 2, 2)
        image[:] = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    return images


def random_images(seed, n=3, bands=2, size=(32, 40)):
    return torch.from_numpy(np.random.default_rng(seed).random((n, bands, *size)))


@given(seeds)
def test_otsu_parts_best_of_all_edges(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 300), rng.normal(5, 2, 100)])
    edges = np.linspace(values.min(), values.max(), 65)
    place = np.clip(((values - edges[0]) / (edges[1] - edges[0])).astype(int), 0, 63)
    scores = []
    for k in range(63):
        low = place <= k
        # Empty bins between two classes part nothing further.
        apart = place[low].mean() - place[~low].mean()
        scores.append(low.mean() * (~low).mean() * apart**2)
    found = otsu(torch.from_numpy(values)[None]).item()
    chosen = round((found - edges[0]) / (edges[1] - edges[0])) - 1
    assert scores[chosen] == pytest.approx(max(scores), rel=1e-6)


@given(seeds)
def test_the_mask_is_opened_closed_and_grown(seed):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.random((40, 40)), 2)
    tensor = torch.from_numpy(image)[None, None]
    bright = image > otsu(tensor.flatten(1)).item()
    square = np.ones((3, 3), bool)
    # Outside the stamp is neither light nor dark: it takes part in no decision.
    shrunk = ndimage.binary_erosion(bright, square, border_value=1)
    closed = ndimage.binary_dilation(ndimage.binary_dilation(shrunk, square), square)
    expected = ndimage.binary_dilation(
        ndimage.binary_erosion(closed, square, border_value=1), square
    )
    np.testing.assert_array_equal(foreground(tensor)[0, 0].numpy(), expected)


def test_the_mask_is_the_galaxy_and_an_empty_stamp_has_none():
    images = torch.from_numpy(galaxies(6, bands=2))
    mask = foreground(images)
    assert mask.shape == (6, 1, 32, 32)
    assert mask[:, 0, 15, 15].all()
    assert not mask[:, 0, :3, :3].any()
    assert not foreground(torch.full((2, 3, 32, 32), 0.4)).any()


@pytest.mark.parametrize(("seed", "span"), [(0, 1.0), (1, 0.3), (2, 20.0)])
def test_similarity_is_that_of_torchmetrics_at_every_pixel(seed, span):
    functional = pytest.importorskip("torchmetrics.functional.image")
    one, other = random_images(seed), random_images(seed + 1)
    mine = similarity(one, other, torch.full((3,), span, dtype=torch.float64))
    assert mine.shape == one.shape
    for k in range(3):
        _, theirs = functional.structural_similarity_index_measure(
            one[k : k + 1], other[k : k + 1], data_range=span, return_full_image=True
        )
        inside = (..., slice(5, -5), slice(5, -5))
        torch.testing.assert_close(mine[k][inside], theirs[0][inside], atol=1e-6, rtol=1e-5)


def test_an_image_is_like_itself_and_a_mean_is_over_the_mask_only():
    images = random_images(0)
    span = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(similarity(images, images, span), torch.ones_like(images))
    chosen = torch.zeros(3, 1, 32, 40, dtype=torch.bool)
    chosen[1, :, 4:6, 7] = True
    expected = images[1, :, 4:6, 7].mean()
    torch.testing.assert_close(mean_where(images, chosen), expected)
    assert mean_where(images, torch.zeros_like(chosen)).item() == 0


def test_a_zeroed_background_does_not_raise_the_similarity():
    # What system E publishes: zero both backgrounds, and most of the stamp is alike for free.
    images = torch.from_numpy(galaxies(4)).double()
    wrong, mask = images.flip(3) * 0.3 + 0.2, foreground(images)
    span = torch.ones(4, dtype=torch.float64)
    inside = mean_where(similarity(wrong, images, span), mask)
    everywhere = similarity(wrong * mask, images * mask, span).mean()
    assert everywhere > inside + 0.1


def test_noise_has_the_moments_of_counts_and_reading():
    flat = torch.zeros(1, 1, 256, 256)
    flat[..., 64:192, 64:192] = 2.0  # two standard deviations above the sky of the corners
    found = noisy(flat, np.random.default_rng(0)) - flat
    inside, outside = found[..., 64:192, 64:192], found[..., :32, :32]
    # 16,384 pixels: a width is known to 1 / sqrt(2 * 16384) = 0.55 %; the corner's 1,024 to 2.2 %.
    assert inside.std().item() == pytest.approx((2 / COUNTS + READ_NOISE**2) ** 0.5, rel=0.025)
    assert outside.std().item() == pytest.approx(READ_NOISE, rel=0.1)
    assert abs(inside.mean().item()) < 4 * 0.224 / 128


def test_the_background_pays_for_steps_and_light_and_the_galaxy_for_structure():
    wanted = torch.from_numpy(galaxies(1)).double()
    wanted = torch.where(wanted > 0.05, wanted, 0.0)
    galaxy = foreground(wanted)
    base = picture_loss(wanted, wanted).item()
    # One bright pixel far from the galaxy and its window: two steps down and two across over
    # the pairs there are, and a quarter of its light over the pixels there are.
    spot = wanted.clone()
    spot[..., 2, 2] = 1.0
    dark = ~galaxy[0, 0]
    pairs = [(dark[1:] & dark[:-1]).sum().item(), (dark[:, 1:] & dark[:, :-1]).sum().item()]
    extra = 0.3 * (2 / pairs[0] + 2 / pairs[1] + 0.25 / dark.sum().item())
    assert picture_loss(spot, wanted).item() - base == pytest.approx(extra, rel=1e-6)
    # Darker than the sky is not paid for.
    deep = wanted.clone()
    deep[..., 2, 2] = -1.0
    extra = 0.3 * (2 / pairs[0] + 2 / pairs[1])
    assert picture_loss(deep, wanted).item() - base == pytest.approx(extra, rel=1e-6)


def test_the_clean_of_one_view_is_contrasted_with_the_noisy_of_the_other():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = new_network("small-unet", np.array([0.2]), np.array([0.3])).eval()
        objective = Objective(network, settings=SETTINGS)
    views = torch.from_numpy(galaxies(8))
    clean = network.standardised(views)
    noised = noisy(clean, objective.draws.rng("noise"))
    objective.draws.step.zero_()

    def told(images):
        return objective.projector(network.maps(images).mean((2, 3)))

    first, second = told(clean).chunk(2)
    noisy_first, noisy_second = told(noised).chunk(2)
    contrast = nt_xent(first, noisy_second, temperature=0.2)
    contrast = (contrast + nt_xent(noisy_first, second, temperature=0.2)) / 2
    picture = network.picture(noised, network.levels(noised))
    expected = contrast + picture_loss(picture, clean)
    torch.testing.assert_close(objective(network, views), expected, atol=1e-5, rtol=1e-5)


def test_the_decoder_is_stored_and_takes_any_size(tmp_path):
    odd = np.random.default_rng(0).random((12, 2, 37, 45), dtype=np.float32)
    source = ArraySource(odd)
    encoder = denoising.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    clean = encoder.denoise(source)
    assert clean.shape == odd.shape
    assert np.isfinite(clean).all()
    save_encoder(encoder, tmp_path)
    again = load_encoder(tmp_path)
    np.testing.assert_array_equal(again.denoise(source), clean)
    one = ArraySource(odd[3:4])
    np.testing.assert_allclose(again.denoise(one), clean[3:4], atol=1e-5)


def test_its_views_are_geometric_unless_asked_otherwise():
    source = ArraySource(galaxies(12))
    plain = denoising.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    assert ["Placement" in o["operation"] for o in plain.card["recipe"]["augmentation"]] == [True]
    other = SETTINGS.replace(augmentation="galaxy-morphology")
    asked = denoising.fit(source, np.arange(12), settings=other, seed=0)
    assert len(asked.card["recipe"]["augmentation"]) == 4


@pytest.mark.slow  # half a minute of training
def test_it_takes_noise_away():
    settings = EncoderSettings(image_passes=4000, batch=32, threads=1, device="cpu")
    truth = galaxies(250)
    encoder = denoising.fit(ArraySource(truth[:200]), np.arange(200), settings=settings, seed=0)
    noise = np.random.default_rng(1).normal(0, 0.04, truth[200:].shape).astype(np.float32)
    clean = encoder.denoise(ArraySource(truth[200:] + noise))
    # Of galaxies it has not seen, inside the mask, where the error of the noise is 0.04.
    mask = foreground(torch.from_numpy(truth[200:])).numpy()
    error = np.sqrt(((clean - truth[200:]) ** 2)[mask].mean())
    assert error < 0.03
