"""Missing bands are masked, not invented, on both sides alike or not at all."""

import numpy as np
import pytest
import torch

from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, Setup
from simreal.encode.augment import Blur, Colour, Noise, Photometry, Preset, load_preset
from simreal.encode.backbones import new_network
from simreal.encode.pool import check_presence, missing_bands, pixels_of, pool_sets
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.survey import SurveySky
from simreal.encode.train import pooled_constants

SETTINGS = EncoderSettings(epochs=2, batch=8, threads=1, device="cpu")
BANDS = ("g", "r", "i")
NETWORKS = ["simclr", "nnclr", "vicreg", "random_convolution"]


def stamps(name="a", n=12, *, lacking=(), band=1, seed=0, filling=np.nan, scale=1.0):
    """Images of three bands, of which the rows `lacking` have no `band`."""
    pixels = scale * np.random.default_rng(seed).random((n, 3, 32, 32)).astype("f4")
    mask = np.zeros(pixels.shape, bool)
    mask[list(lacking), band] = True
    pixels[mask] = filling
    ids = np.array([f"{name}{k}" for k in range(n)])
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=pixels,
        mask=mask if len(lacking) else None,
        ids=ids,
        groups=ids,
        setup=Setup(track="flux", bands=BANDS, unit="nJy"),
    )


def both(filling=np.nan):
    return [
        stamps("a", lacking=[1, 4, 7], filling=filling),
        stamps("b", lacking=[0, 5, 9], seed=1, filling=filling),
    ]


def test_missing_bands_follow_their_image_into_the_pool():
    sets = both()
    pool = pool_sets(sets)
    missing = missing_bands(pool)
    assert missing.sum(0).tolist() == [0, 6, 0]
    np.testing.assert_array_equal(np.isnan(pool.read(slice(None))).all((2, 3)), missing)
    assert np.isfinite(pool.read(slice(None))[~missing]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_lies_under_the_mask_is_never_seen(name, tmp_path):
    encoders = [fit_encoder(name, both(f), settings=SETTINGS, seed=2) for f in (np.nan, 7.0)]
    assert encoders[0].digest == encoders[1].digest
    assert encoders[0].card["missing_bands"] is True
    vectors = [embed(encoders[0], both(filling)[0]).vectors for filling in (np.nan, -3.0, 1e6)]
    assert np.isfinite(vectors[0]).all()
    for other in vectors[1:]:
        np.testing.assert_array_equal(other, vectors[0])
    save_encoder(encoders[0], tmp_path)
    again = embed(load_encoder(tmp_path), both()[0]).vectors
    np.testing.assert_allclose(again, vectors[0], atol=1e-5)


def test_missing_is_no_brightness_of_any_kind():
    encoder = fit_encoder("simclr", both(), settings=SETTINGS, seed=2)
    missing = embed(encoder, both()[0].rows([1])).vectors[0]
    mean = float(encoder.weights["mean"][1].item())
    for level in (0.0, mean, 1.0):
        # The same image whose band is there, flat at some level: also at that of the pool.
        pixels = both()[0].images.read(np.array([1])).copy()
        pixels[:, 1] = level
        flat = both()[0].rows([1]).replace(images=pixels, mask=None)
        assert np.abs(embed(encoder, flat).vectors[0] - missing).max() > 1e-3


def test_constants_are_of_the_bands_that_are_there():
    one, other = both()
    pool = pool_sets([one, other])
    mean, scale = pooled_constants(pool, np.full(24, 1 / 24))
    pixels = np.ma.masked_invalid(
        np.concatenate([s.images.read(slice(None)) for s in (one, other)]).astype("f8")
    )
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(scale, pixels.std(axis=(0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("name", ["small-residual", "small-vit"])
def test_a_second_plane_per_band_says_missing_and_the_first_says_nothing(name):
    mean, scale = np.array([0.5, 2.0, 0.0]), np.array([1.0, 0.5, 3.0])
    network = new_network(name, mean, scale, presence=True).eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[2, 1] = torch.nan
    planes = network.standardised(images)
    assert planes.shape == (4, 6, 32, 32)
    assert (planes[2, 1] == 0).all()
    told = planes[:, 3:].amax((2, 3))
    assert told.nonzero().tolist() == [[2, 1]]
    assert (planes[2, 4] == 1).all()
    torch.testing.assert_close(planes[:, 0], images[:, 0] - 0.5)
    # A band that is wrong in places only is no missing band: it spoils the vector, loudly.
    images[0, 0, 3, 3] = torch.nan
    assert torch.isnan(network(images)[0]).any()
    assert torch.isfinite(network(images)[1:]).all()


def test_networks_of_whole_images_are_what_they_were():
    # The weights of an encoder that has seen no missing band know nothing of the matter.
    whole = [stamps("a"), stamps("b", seed=1)]
    masked = [s.replace(mask=np.zeros(s.images.shape, bool)) for s in whole]
    encoders = [fit_encoder("simclr", sets, settings=SETTINGS, seed=2) for sets in (whole, masked)]
    assert encoders[0].digest == encoders[1].digest
    assert "missing_bands" not in encoders[0].card
    assert "presence" not in encoders[0].weights
    assert encoders[0].weights["stem.weight"].shape[1] == 3


@pytest.mark.parametrize("name", ["galaxy-morphology", "colour-aware", "point-source"])
def test_a_view_lacks_what_its_image_lacks(name):
    preset = load_preset(name)
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(6, preset.draws, generator=torch.Generator().manual_seed(1))
    expected = preset(images, uniform)
    images[2, 1] = torch.nan
    before = images.clone()
    views = preset(images, uniform)
    torch.testing.assert_close(images, before, equal_nan=True, atol=0, rtol=0)
    missing = torch.isnan(views)
    assert missing[2, 1].all()
    assert missing.sum() == 32 * 32
    torch.testing.assert_close(views[[0, 1, 3, 4, 5]], expected[[0, 1, 3, 4, 5]])


def test_a_missing_band_takes_no_part_in_a_mixture_of_bands():
    mix = Photometry(mixes=(Colour(saturation=0.5, gain=0.0, reason=""),))
    preset = Preset(name="mix", operations=(mix,))
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(3, preset.draws, generator=torch.Generator().manual_seed(1))
    images[:, 1] = torch.nan
    two = images[:, [0, 2]]
    saturation = 1 + (2 * uniform[:, :1, None, None] - 1) * 0.5
    grey = two.mean(1, keepdim=True)
    expected = saturation * two + (1 - saturation) * grey
    torch.testing.assert_close(preset(images, uniform)[:, [0, 2]], expected, atol=1e-6, rtol=0)


def test_the_sky_of_the_pool_is_that_of_the_bands_that_are_there():
    sets = both()
    sky = SurveySky(reason="").fitted(pixels_of(sets[0]))
    kept = [k for k in range(12) if k not in (1, 4, 7)]
    other = SurveySky(reason="").fitted(sets[0].rows(kept).images)
    np.testing.assert_allclose(sky.levels[:, 1], other.levels[:, 1], atol=1e-6)
    assert np.isfinite(sky.widths).all()


def test_an_operation_meets_no_missing_band():
    seen = []

    class Watching(Blur):
        def __call__(self, images, uniform):
            seen.append(bool(torch.isfinite(images).all()))
            return images

    preset = Preset(
        name="w", operations=(Watching(sigma=1.0, share=1.0, reason=""), Noise(sigma=1, reason=""))
    )
    images = torch.rand(2, 3, 32, 32)
    images[1, 0] = torch.nan
    preset(images, torch.rand(2, preset.draws))
    assert seen == [True]


def test_sets_that_lack_a_band_unequally_are_refused():
    # One has it throughout, however rarely the other lacks it.
    one, other = stamps("a", n=200, lacking=[3]), stamps("b", n=200, seed=1)
    for pair in ([one, other], [other, one]):
        with pytest.raises(NotComputableError, match=r"band 'r' is missing in .* tells the sides"):
            pool_sets(pair)
    # 20 of 200 against 60 of 200: 5 standard errors of .04.
    few, many = (stamps(n, n=200, lacking=range(k), seed=k) for n, k in (("a", 20), ("b", 60)))
    with pytest.raises(NotComputableError, match="in 10 % of 'a' and 30 % of 'b'"):
        check_presence([few, many])
    # 20 against 26 of 200 is chance; 20 against another band's 20 is not.
    check_presence([few, stamps("b", n=200, lacking=range(26), seed=3)])
    with pytest.raises(NotComputableError, match="band 'g' is missing in 0 %"):
        check_presence([few, stamps("b", n=200, lacking=range(20), band=0, seed=3)])


def test_an_image_without_any_band_is_named():
    empty = stamps("a", n=12)
    mask = np.zeros(empty.images.shape, bool)
    mask[5] = True
    with pytest.raises(NotComputableError, match=r"image 'a5' has no band at all \(1 such"):
        pool_sets([empty.replace(mask=mask)])


@pytest.mark.parametrize("name", ["pca", "pixels", "morphology", "simmim", "mae", "denoising"])
def test_encoders_that_cannot_tell_missing_from_faint_are_shown_none(name):
    with pytest.raises(NotComputableError, match=rf"'a1' has no band 'r' \(3 .*encoder '{name}'"):
        fit_encoder(name, both(), settings=SETTINGS)


def test_an_encoder_fitted_on_whole_images_refuses_others_but_not_the_other_way_round():
    whole = fit_encoder("random_convolution", [stamps("a")], settings=SETTINGS)
    with pytest.raises(NotComputableError, match="'a1' has no band 'r'"):
        embed(whole, both()[0])
    fitted = fit_encoder("random_convolution", both(), settings=SETTINGS)
    assert np.isfinite(embed(fitted, stamps("c", seed=4)).vectors).all()
