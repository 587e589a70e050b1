"""SimMIM and MAE: what is hidden, what it costs, and that nothing is hidden from a vector."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ArraySource
from simreal.encode.backbones import new_network
from simreal.encode.backbones.small_vit import PATCH, SmallViT, patches, places
from simreal.encode.encoders import mae, simmim
from simreal.encode.objectives import mae as mae_objective
from simreal.encode.objectives import simmim as simmim_objective
from simreal.encode.settings import EncoderSettings
from simreal.encode.training_draws import Masks

SETTINGS = EncoderSettings(epochs=2, batch=6, threads=1, device="cpu")
OBJECTIVES = {"mae": mae_objective, "simmim": simmim_objective}


def images_of(seed, n=4, bands=2, size=(32, 32)):
    return torch.from_numpy(np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32))


def network_of(name="small-vit", bands=2, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_network(name, np.full(bands, 0.5), np.full(bands, 0.3), None)


def objective_of(name, network, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return OBJECTIVES[name].Objective(network, settings=SETTINGS)


@given(st.integers(1, 6), st.integers(2, 70), st.floats(0, 1))
def test_a_mask_hides_its_share_and_splits_the_patches(n, n_patches, share):
    masks = Masks(share)
    kept, hidden = masks.draw(n, n_patches)
    assert hidden.shape[1] == np.clip(round(share * n_patches), 1, n_patches - 1)
    both = torch.cat([kept, hidden], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(n_patches).expand(n, -1))


def test_masks_follow_from_key_and_step_and_are_resumed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, other = Masks(0.5), Masks(0.5)
    first, second = one.draw(5, 64)[1], one.draw(5, 64)[1]
    assert not torch.equal(first, second), "every step hides the same"
    assert not torch.equal(first[0], first[1]), "every image hides the same"
    other.load_state_dict({"key": one.key, "step": torch.ones(1, dtype=torch.int64)})
    assert torch.equal(other.draw(5, 64)[1], second)


def test_every_patch_is_hidden_equally_often():
    masks = Masks(0.75)
    hidden = torch.cat([masks.draw(100, 16)[1] for _ in range(20)])
    counts = torch.bincount(hidden.flatten(), minlength=16) / 2000
    # A share of 0.75 in 2,000 draws errs by 0.0097, four of which are 0.039.
    assert (counts - 0.75).abs().max() < 0.04


@pytest.mark.parametrize("name", ["small-vit", "small-residual"])
def test_no_patch_is_hidden_from_a_vector(name):
    # Any pixel of the image moves the vector, in evaluation: none is masked.
    network = network_of(name).eval()
    images = images_of(0, n=1).requires_grad_()
    network(images).pow(2).sum().backward()
    assert (images.grad.abs() > 0).all()


def test_a_transformer_refuses_a_mask_outside_training():
    network, images = network_of().eval(), images_of(0)
    kept = torch.arange(4).expand(4, -1)
    with pytest.raises(RuntimeError, match="hidden in training only"):
        network.tokens(images, kept)
    assert network.train().tokens(images, kept).shape == (4, 4, network.width)


@pytest.mark.parametrize("module", [mae, simmim], ids=["mae", "simmim"])
def test_encoding_sees_the_whole_image_every_time(module, monkeypatch):
    source = ArraySource(images_of(1, n=12).numpy())
    encoder = module.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    seen, drawn = [], []
    genuine = SmallViT.tokens

    def watched(self, standard, keep=None):
        seen.append(keep)
        return genuine(self, standard, keep)

    monkeypatch.setattr(SmallViT, "tokens", watched)
    monkeypatch.setattr(Masks, "draw", lambda *_: drawn.append(1))
    one, other = encoder.encode(source), encoder.encode(source)
    np.testing.assert_array_equal(one, other)
    assert not drawn, "a mask was drawn for a vector"
    assert all(keep is None for keep in seen)
    assert bool(seen) == (module is mae)


@given(st.integers(0, 2**31), st.sampled_from([(32, 32), (37, 45)]))
def test_patches_are_pixels_in_order(seed, size):
    images = images_of(seed, size=size)
    cut = patches(images)
    across = -(-size[1] // PATCH)
    for number in (0, 1, across):
        y, x = (number // across) * PATCH, (number % across) * PATCH
        expected = images[:, :, y : y + PATCH, x : x + PATCH].permute(0, 2, 3, 1).flatten(1)
        assert torch.equal(cut[:, number], expected)


def test_patches_equal_those_of_lightly():
    utils = pytest.importorskip("lightly.models.utils", reason="lightly is not installed")
    images = images_of(0, bands=3)
    assert torch.equal(patches(images), utils.patchify(images, PATCH))


def test_places_tell_every_patch_apart():
    table = places((6, 9), 64)
    distance = torch.cdist(table, table) + 99 * torch.eye(54)
    assert distance.min() > 0.5
    torch.testing.assert_close(table.norm(dim=1), torch.full((54,), 32**0.5))


def test_what_a_transformer_keeps_does_not_depend_on_what_it_does_not_see():
    network, images = network_of().train(), images_of(0, size=(32, 32))
    kept = torch.tensor([[0, 5, 6]]).expand(4, -1)
    other = images.clone()
    other[:, :, :8, 8:16] = 7.0  # patch 1
    torch.testing.assert_close(network.tokens(other, kept), network.tokens(images, kept))
    other[:, :, :8, :8] = 7.0  # patch 0
    assert not torch.allclose(network.tokens(other, kept), network.tokens(images, kept))


@pytest.mark.parametrize("size", [(32, 32), (37, 45)])
def test_simmim_costs_hidden_pixels_only(size):
    network = network_of("small-residual").eval()
    objective, images = objective_of("simmim", network), images_of(2, size=size)
    kept, _ = objective.masks.draw(4, -(-size[0] // 8) * -(-size[1] // 8))
    hidden = simmim_objective.painted(kept, size)
    assert hidden.shape == (4, 1, *size)
    objective.masks.step.zero_()
    before = objective(network, images).item()
    # What is painted over reaches the loss as the answer only: shifting it by one standard
    # deviation upwards, out of reach of the answers, costs exactly one more.
    objective.masks.step.zero_()
    far = objective(network, torch.where(hidden, images + 30.0, images)).item()
    objective.masks.step.zero_()
    farther = objective(network, torch.where(hidden, images + 30.3, images)).item()
    assert farther - far == pytest.approx(1.0, abs=1e-3)
    assert before < far


def test_mae_costs_hidden_patches_only():
    network = network_of().train()
    objective, images = objective_of("mae", network), images_of(2)
    _, hidden = objective.masks.draw(4, 16)
    out = torch.zeros(4, 16, dtype=torch.bool).scatter(1, hidden, True)
    pixels = out.view(4, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    losses = []
    for shift in (30.0, 60.0, 90.0):
        objective.masks.step.zero_()
        losses.append(objective(network, torch.where(pixels, images + shift, images)).item())
    # Squares of a + 100 k: second differences are 2 * 100^2 whatever the answers are.
    assert losses[0] - 2 * losses[1] + losses[2] == pytest.approx(2e4, rel=1e-3)


def test_the_losses_are_the_published_means():
    rng = np.random.default_rng(0)
    told, wanted = (torch.from_numpy(rng.standard_normal((3, 5, 7))) for _ in range(2))
    hidden = torch.tensor([[0, 2], [1, 4], [3, 4]])
    terms = [((told - wanted)[i, j] ** 2).mean().item() for i in range(3) for j in hidden[i]]
    found = mae_objective.reconstruction(told, wanted, hidden).item()
    assert found == pytest.approx(np.mean(terms), rel=1e-12)
    told, wanted = (torch.from_numpy(rng.standard_normal((3, 2, 4, 4))) for _ in range(2))
    mask = torch.from_numpy(rng.random((3, 1, 4, 4)) < 0.5)
    chosen = (told - wanted).abs()[mask.expand(-1, 2, -1, -1)]
    found = simmim_objective.masked_difference(told, wanted, mask).item()
    assert found == pytest.approx(chosen.mean().item(), rel=1e-12)


def test_backbones_an_objective_cannot_train_are_refused():
    source = ArraySource(images_of(1, n=12).numpy())
    for settings, text in (
        (SETTINGS.replace(backbone="small-residual"), "got 'small-residual', allowed .* small-vit"),
        (SETTINGS.replace(backbone="small-vt"), "unknown 'small-vt': did you mean 'small-vit'"),
        (SETTINGS.replace(dimension=50), "got 50, allowed .* a multiple of 16"),
    ):
        with pytest.raises(UsageError, match=text):
            mae.fit(source, np.arange(12), settings=settings, seed=0)


@pytest.mark.parametrize("backbone", ["small-vit", "small-residual"])
def test_simmim_trains_either_backbone(backbone):
    source = ArraySource(images_of(1, n=12).numpy())
    settings = SETTINGS.replace(backbone=backbone)
    encoder = simmim.fit(source, np.arange(12), settings=settings, seed=0)
    assert encoder.encode(source).shape == (12, 128)
    assert ("backbone" in encoder.card["recipe"]) == (backbone != "small-residual")


@pytest.mark.parametrize("module", [mae, simmim], ids=["mae", "simmim"])
def test_a_decoder_is_kept_and_changes_no_vector(module, tmp_path):
    # 37 x 45: no multiple of a patch or of a stride.
    source = ArraySource(images_of(1, n=12, size=(37, 45)).numpy())
    encoder = module.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    encoder.save(tmp_path)
    stored = module.load(tmp_path)
    np.testing.assert_array_equal(stored.encode(source), encoder.encode(source))
    first, again = (stored.reconstruct(source, rng=np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(first.pictures, again.pictures)
    other = stored.reconstruct(source, rng=np.random.default_rng(1))
    assert (other.hidden != first.hidden).any()
    hidden = np.broadcast_to(first.hidden, first.pictures.shape)
    np.testing.assert_array_equal(first.pictures[~hidden], source.array[~hidden])
    assert (first.pictures[hidden] != source.array[hidden]).mean() > 0.99


@pytest.mark.parametrize("module", [mae, simmim], ids=["mae", "simmim"])
def test_a_picture_knows_nothing_of_what_is_hidden(module):
    source = ArraySource(images_of(1, n=12).numpy())
    encoder = module.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    first = encoder.reconstruct(source, rng=np.random.default_rng(0))
    hidden = np.broadcast_to(first.hidden, first.pictures.shape)
    shown = np.where(hidden, 99.0, source.array).astype(np.float32)
    again = encoder.reconstruct(ArraySource(shown), rng=np.random.default_rng(0))
    np.testing.assert_allclose(again.pictures, first.pictures, atol=1e-5)


@pytest.mark.parametrize("module", [mae, simmim], ids=["mae", "simmim"])
def test_a_picture_costs_what_the_objective_says(module):
    source = ArraySource(images_of(1, n=12).numpy())
    encoder = module.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    found = encoder.reconstruct(source, rng=np.random.default_rng(0))
    network = encoder._with_decoder()
    objective = OBJECTIVES[encoder.name].Objective
    with torch.random.fork_rng(), torch.inference_mode():
        costly = objective(network, settings=SETTINGS)
        network.decoder.load_state_dict(encoder._with_decoder().decoder.state_dict())
        order = np.argsort(np.random.default_rng(0).random((12, 16)), axis=1)
        n_hidden = round(costly.masks.share * 16)
        kept = torch.from_numpy(np.sort(order[:, n_hidden:], axis=1))
        out = torch.from_numpy(np.sort(order[:, :n_hidden], axis=1))
        costly.masks.draw = lambda *_: (kept, out)
        network.eval()
        if module is mae:
            network.train()
        loss = costly(network, images_of(1, n=12)).item()
    hidden = np.broadcast_to(found.hidden, found.pictures.shape)
    scale = encoder.weights["scale"]
    away = ((found.pictures - source.array) / scale)[hidden]
    expected = (away**2).mean() if module is mae else np.abs(away).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_an_encoder_stored_without_its_decoder_says_so():
    source = ArraySource(images_of(1, n=12).numpy())
    encoder = mae.fit(source, np.arange(12), settings=SETTINGS, seed=0)
    plain = {k: v for k, v in encoder.weights.items() if not k.startswith("decoder.")}
    bare = mae.MaeEncoder(card=encoder.card, weights=plain, settings=SETTINGS)
    assert bare.encode(source).shape == (12, 128)
    with pytest.raises(NotComputableError, match="stored without its decoder"):
        bare.reconstruct(source, rng=np.random.default_rng(0))
