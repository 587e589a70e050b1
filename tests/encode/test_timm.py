"""Networks of timm: every arrangement of features, any size, and what is said where it is absent.

Most of it on stand-ins with timm's interface, as importing timm takes seconds; its own networks
are run with the other backbones under ``pytest -m slow tests/encode/test_backbones.py``.
"""

import importlib
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ArraySource
from simreal.encode.backbones import describe, family, new_network, stored_network, width_of
from simreal.encode.backbones.timm_network import own_width
from simreal.encode.encoders import mae, simclr
from simreal.encode.settings import EncoderSettings

WIDTH = 12


class Network(nn.Module):
    """A patch embedding of stride 8, as a map, with channels last, or as tokens."""

    def __init__(self, in_chans, arrangement, *, only=None, width=WIDTH):
        super().__init__()
        self.num_features, self.arrangement, self.only = width, arrangement, only
        self.stem = nn.Conv2d(in_chans, width, 8, 8)
        self.head = nn.Linear(width, width)
        if arrangement == "tokens":
            self.num_prefix_tokens = 1

    def forward_features(self, images):
        assert self.only in (None, images.shape[2]), f"height doesn't match ({self.only})"
        found = self.stem(images)
        if self.arrangement == "last":
            return found.permute(0, 2, 3, 1)
        if self.arrangement == "tokens":
            tokens = found.flatten(2).transpose(1, 2)
            # A prefix that would spoil the mean if it entered.
            return torch.cat([torch.full_like(tokens[:, :1], 1e6), tokens], dim=1)
        return found


def make(name, *, pretrained, num_classes, in_chans, **more):
    assert not pretrained, "weights would be downloaded"
    assert num_classes == 0
    if more and name != "tokens":
        raise TypeError(f"got an unexpected keyword argument {next(iter(more))!r}")
    only = 224 if name == "fixed" else None
    return Network(in_chans, name, only=only, width=16 if name == "newer" else WIDTH)


@pytest.fixture
def timm(monkeypatch):
    stand_in = types.SimpleNamespace(
        list_models=lambda: ["first", "last", "tokens", "fixed"], create_model=make
    )
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    own_width.cache_clear()
    yield stand_in
    own_width.cache_clear()


def network_of(name, bands=2, width=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_network(f"timm:{name}", np.full(bands, 0.5), np.full(bands, 0.3), width).eval()


@pytest.mark.parametrize("name", ["first", "last", "tokens"])
@pytest.mark.parametrize(("bands", "size"), [(1, (32, 32)), (5, (37, 45))])
def test_every_arrangement_gives_a_map_and_its_mean(name, bands, size, timm):
    network = network_of(name, bands)
    images = torch.from_numpy(np.random.default_rng(0).random((3, bands, *size), dtype=np.float32))
    grid = tuple(-(-side // 8) for side in size)
    maps = network.maps(network.standardised(images))
    assert maps.shape == (3, WIDTH, *grid)
    assert network.stride == 8
    # Every corner patch is where it is in the image, whatever the arrangement.
    stem = network.network.stem
    corner = stem(network.standardised(images)[:, :, :8, :8])[..., 0, 0]
    torch.testing.assert_close(maps[..., 0, 0], corner, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network(images), maps.mean((2, 3)))


def test_what_acts_after_the_pooling_is_no_weight_of_ours(timm):
    assert not any("head" in key for key in network_of("first").state_dict())


def test_another_width_is_a_linear_map(timm):
    network = network_of("first", width=7)
    images = torch.rand(2, 2, 40, 40, generator=torch.Generator().manual_seed(0))
    assert network(images).shape == (2, 7)
    weights = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    again = stored_network(weights, "timm:first", 7).eval()
    torch.testing.assert_close(again(images), network(images))


def test_names_widths_and_recipes(timm):
    assert width_of("timm:tokens") == WIDTH
    assert family("timm:tokens") == "timm:NAME"
    assert describe("timm:tokens") == "timm tokens, width 12"
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    own_width.cache_clear()
    width_of("timm:first")
    assert torch.equal(torch.rand(1), expected), "the caller's random state was used"


def test_it_is_trained_by_a_general_objective_and_refused_by_others(timm):
    source = ArraySource(np.random.default_rng(0).random((12, 2, 32, 32), dtype=np.float32))
    settings = EncoderSettings(epochs=1, batch=6, threads=1, device="cpu", backbone="timm:first")
    encoder = simclr.fit(source, np.arange(12), settings=settings, seed=0)
    assert encoder.dimension == WIDTH
    assert encoder.card["recipe"]["backbone"] == "timm:first"
    assert np.isfinite(encoder.encode(source)).all()
    with pytest.raises(UsageError, match="allowed with the encoder 'mae': small-vit"):
        mae.fit(source, np.arange(12), settings=settings, seed=0)


def test_wrong_names_are_refused_before_anything_is_fetched(timm):
    with pytest.raises(UsageError, match="timm has no network 'token': did you mean 'tokens'"):
        network_of("token")
    # Names of pretrained weights and of a hub are no architectures.
    for name in ("hf_hub:somebody/network", "first.in1k", ""):
        with pytest.raises(UsageError, match="timm has no network"):
            network_of(name)


def test_a_network_for_one_size_is_refused(timm):
    with pytest.raises(UsageError, match=r"takes no image of 64 pixels \(height doesn't match"):
        network_of("fixed")


def test_another_version_of_timm_is_named(timm):
    weights = {key: tensor.numpy() for key, tensor in network_of("first").state_dict().items()}
    timm.create_model = lambda _, **how: make("newer", **how)
    with pytest.raises(StorageError, match="builds another network than the one that was stored"):
        stored_network(weights, "timm:first", WIDTH)


def test_absent_timm_is_one_line(monkeypatch):
    genuine = importlib.import_module

    def absent(name, *rest):
        if name == "timm":
            raise ImportError(name)
        return genuine(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NotComputableError, match=r"'timm:resnet18' needs timm.*simreal\[timm\]"):
        network_of("resnet18")
