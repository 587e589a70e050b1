"""One contract over every encoder: same images in, same vectors out, no side seen."""

import inspect

import numpy as np
import pytest

from simreal.core.images import ImageSet, Setup
from simreal.core.plugins import available, load
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings

#: `file` computes nothing: it knows the images its vectors were matched to by id and refuses
#: any other, such as those this suite makes up (tests/encode/test_file_encoder.py).
EXEMPT = {"file"}
#: Half a second a stamp.
SLOW = {"morphology_statmorph"}
ENCODERS = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in sorted(set(available("simreal.encode.encoders", "simreal.encoders")) - EXEMPT)
]
SETTINGS = EncoderSettings(image_passes=64, threads=1, device="cpu")


def stamps(name, n=24, bands=("red", "green"), size=32, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.array([f"{name}{i}" for i in range(n)])
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=rng.random((n, len(bands), size, size)),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=bands, unit="display"),
    )


@pytest.fixture(scope="module", params=ENCODERS)
def fitted(request):
    return fit_encoder(request.param, [stamps("a"), stamps("b", seed=1)], settings=SETTINGS, seed=3)


def test_the_signature_has_no_place_for_a_side(fitted):
    module = load("simreal.encode.encoders", "simreal.encoders", fitted.name)
    parameters = set(inspect.signature(module.fit).parameters)
    assert parameters == {"source", "groups", "settings", "seed", "progress"}


def test_one_finite_vector_per_image(fitted):
    images = stamps("c", n=10, seed=2)
    embedding = embed(fitted, images)
    assert embedding.vectors.shape == (10, fitted.dimension)
    assert embedding.ids.tolist() == images.ids.tolist()
    assert embedding.encoder_digest == fitted.digest
    assert embedding.source_digest == images.digest


def test_a_vector_depends_on_its_image_alone(fitted):
    images = stamps("c", n=10, seed=2)
    whole = embed(fitted, images).vectors
    alone = embed(fitted, images.rows([7, 2])).vectors
    np.testing.assert_allclose(alone, whole[[7, 2]], atol=1e-5)


def test_the_same_seed_gives_the_same_encoder(fitted):
    again = fit_encoder(fitted.name, [stamps("a"), stamps("b", seed=1)], settings=SETTINGS, seed=3)
    assert again.digest == fitted.digest


def test_it_survives_the_disk(fitted, tmp_path):
    save_encoder(fitted, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert again.digest == fitted.digest
    images = stamps("c", n=5, seed=2)
    np.testing.assert_array_equal(embed(again, images).vectors, embed(fitted, images).vectors)
