"""The backbones: any bands and size, exact again after storing, indifferent where averaged."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ArraySource
from simreal.encode.backbones import (
    ANY_OF_TIMM,
    GENERAL,
    describe,
    new_network,
    stored_network,
    width_of,
)
from simreal.encode.backbones.averaged import Averaged
from simreal.encode.encoders import simclr
from simreal.encode.run import load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings

SETTINGS = EncoderSettings(epochs=1, batch=6, threads=1, device="cpu")
SMALL = ["small-residual", "small-vit"]


#: Networks of timm in one arrangement each: a map that rounds up, one that rounds down, tokens.
OF_TIMM = ["timm:test_resnet", "timm:test_convnext", "timm:test_vit"]


@pytest.fixture(
    params=[
        *(name for name in GENERAL if name != ANY_OF_TIMM),
        *(pytest.param(name, marks=pytest.mark.slow) for name in OF_TIMM),
    ]
)
def name(request):
    if request.param.startswith("timm:"):
        pytest.importorskip("timm", reason="timm is not installed")
    if request.param.startswith("resnet"):
        pytest.importorskip("torchvision", reason="torchvision is not installed")
    return request.param


def pixels(n=12, bands=2, size=(32, 32), seed=0):
    return np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32)


def network_of(name, bands=2, width=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_network(name, np.full(bands, 0.5), np.full(bands, 0.3), width)


def fit(settings, images=None):
    source = ArraySource(pixels() if images is None else images)
    return simclr.fit(source, np.arange(12), settings=settings, seed=0)


@pytest.mark.parametrize(("bands", "size"), [(1, (32, 32)), (5, (37, 45)), (3, (64, 64))])
def test_any_bands_and_size(name, bands, size):
    network = network_of(name, bands).eval()
    images = torch.from_numpy(pixels(2, bands, size))
    features = network(images)
    assert features.shape == (2, network.width) == (2, width_of(name))
    maps = network.maps(network.standardised(images))
    grid = tuple(-(-side // network.stride) for side in size)
    assert maps.shape == (2, network.width, *grid)
    torch.testing.assert_close(maps.mean((2, 3)), features)


def test_another_width_and_back_from_its_weights(name):
    network = network_of(name, width=48).eval()
    images = torch.from_numpy(pixels(3))
    assert network(images).shape == (3, 48)
    weights = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again = stored_network(weights, name, 48).eval()
    assert torch.equal(torch.rand(1), expected), "the caller's random state was used"
    torch.testing.assert_close(again(images), network(images), atol=3e-5, rtol=1e-4)


def test_bands_are_standardised_by_the_pool(name):
    network, images = network_of(name).eval(), torch.from_numpy(pixels(2))
    network.mean.copy_(torch.tensor([0.5, 0.1])[:, None, None])
    network.scale.copy_(torch.tensor([0.3, 2.0])[:, None, None])
    standard = (images - network.mean) / network.scale
    plain = network.maps(standard).mean((2, 3))
    torch.testing.assert_close(network(images), plain)


def test_it_trains_is_stored_and_known_by_its_recipe(name, tmp_path):
    encoder = fit(SETTINGS.replace(backbone=name))
    save_encoder(encoder, tmp_path)
    again = load_encoder(tmp_path)
    source = ArraySource(pixels())
    for key, array in encoder.weights.items():
        np.testing.assert_array_equal(again.weights[key], array)
    # Equal weights; two passes through them agree to single precision, not to the bit, on
    # processors whose kernels add in an order that depends on where a tensor lies in memory.
    np.testing.assert_allclose(again.encode(source), encoder.encode(source), rtol=1e-4, atol=3e-5)
    assert encoder.dimension == width_of(name)
    assert encoder.card["recipe"]["network"] == describe(name)
    assert encoder.card["recipe"].get("backbone", "small-residual") == name
    trained, fresh = encoder.weights, network_of(name).state_dict()
    assert trained.keys() == fresh.keys()


def test_the_default_is_what_it_was_before_there_was_a_choice():
    plain, named = fit(SETTINGS), fit(SETTINGS.replace(backbone="small-residual"))
    assert plain.digest == named.digest
    assert not {"backbone", "averaged"} & set(plain.card["recipe"])
    assert plain.card["recipe"]["network"] == "small residual, widths (16, 32, 64, 128)"


def turned(images):
    square = images.shape[2] == images.shape[3]
    sides = (images, images[..., ::-1])
    return [np.rot90(s, k, (2, 3)).copy() for s in sides for k in (range(4) if square else (0, 2))]


@pytest.mark.parametrize("backbone", SMALL)
@pytest.mark.parametrize("size", [(32, 32), (36, 45)])
def test_an_averaged_vector_knows_neither_turns_nor_mirrors(backbone, size):
    images = pixels(size=size)
    settings = SETTINGS.replace(backbone=backbone)
    plain = fit(settings, images)
    averaged = fit(settings.replace(averaged=True), images)
    # Training is the same; the recipe, and so the encoder, is not.
    for key, weight in plain.weights.items():
        np.testing.assert_array_equal(averaged.weights[key], weight)
    assert averaged.digest != plain.digest
    versions = turned(images)
    assert len(versions) == (8 if size[0] == size[1] else 4)
    vectors = [averaged.encode(ArraySource(version)) for version in versions]
    for other in vectors[1:]:
        np.testing.assert_allclose(other, vectors[0], atol=2e-5)
    # It is the mean of what the plain one says of them, which do differ.
    apart = np.stack([plain.encode(ArraySource(version)) for version in versions])
    np.testing.assert_allclose(vectors[0], apart.mean(0), atol=2e-5)
    assert np.abs(apart - apart.mean(0)).max() > 1e-3


def test_averaging_survives_the_disk(tmp_path):
    encoder = fit(SETTINGS.replace(averaged=True))
    save_encoder(encoder, tmp_path)
    source = ArraySource(pixels())
    np.testing.assert_array_equal(load_encoder(tmp_path).encode(source), encoder.encode(source))


def test_averaging_is_a_mean_of_eight():
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 1] = 8.0
    # A network that reads one pixel: of the eight versions one shows it the bright one.
    features = Averaged(lambda images: images[:, :, 0, 1])(corner)
    assert features.item() == 1.0


def test_absent_torchvision_is_named(monkeypatch):
    genuine = importlib.import_module

    def absent(name, *rest):
        if name.startswith("torchvision"):
            raise ImportError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NotComputableError, match=r"'resnet18' needs torchvision.*pip install"):
        fit(SETTINGS.replace(backbone="resnet18"))


def test_libraries_of_extras_are_imported_only_where_they_are_used():
    code = (
        "import sys, simreal.encode.trained_network, simreal.encode.encoders.simclr\n"
        "import simreal.encode.encoders.morphology_statmorph, simreal.encode.encoders.file\n"
        "extras = {'torchvision', 'timm', 'statmorph', 'photutils', 'pyarrow', 'h5py'}\n"
        "sys.exit(' '.join(extras & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(UsageError, match="unknown 'resnet1': did you mean 'resnet18'"):
        fit(SETTINGS.replace(backbone="resnet1"))
