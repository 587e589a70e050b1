"""Principal components and pixels, against numpy and arithmetic."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource
from simreal.encode.encoder import effective_rank, group_weights
from simreal.encode.encoders import pca, pixels
from simreal.encode.settings import EncoderSettings


def svd_axes(images, weights, dimension):
    """The textbook answer: the singular vectors of the weighted, centred matrix."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    centred = (flat - weights @ flat) * np.sqrt(weights)[:, None]
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    return axes[:dimension], singular[:dimension] ** 2


@pytest.mark.parametrize("n", [20, 200], ids=["fewer images than pixels", "more"])
def test_the_axes_are_those_of_a_singular_value_decomposition(n):
    rng = np.random.default_rng(0)
    # Falling variances, so that every axis is well separated from the next.
    scale = 0.7 ** np.arange(96)
    images = (rng.standard_normal((n, 96)) * scale).reshape(n, 1, 8, 12).astype(np.float32)
    weights = group_weights(rng.integers(0, n // 2, n))
    _, axes, variance, total = pca.principal_axes(ArraySource(images), weights, 6, rng=rng)
    expected, expected_variance = svd_axes(images, weights, 6)
    # An eigenproblem of the product matrix squares the condition: 0.7^-12 * 1e-16 at worst.
    np.testing.assert_allclose(np.abs((axes * expected).sum(1)), 1, atol=1e-9)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-8)
    assert total == pytest.approx(svd_axes(images, weights, 96)[1].sum())


def test_the_range_finder_agrees_where_it_takes_over(monkeypatch):
    rng = np.random.default_rng(1)
    scale = 0.8 ** np.arange(144)
    images = (rng.standard_normal((300, 144)) * scale).reshape(300, 1, 12, 12).astype(np.float32)
    weights = np.full(300, 1 / 300)
    monkeypatch.setattr(pca, "EXACT", 10)
    _, axes, variance, _ = pca.principal_axes(ArraySource(images), weights, 5, rng=rng)
    expected, expected_variance = svd_axes(images, weights, 5)
    # Error of a power iteration: (0.8^2)^(16 * 6 * 2) at the sixteenth spare direction.
    np.testing.assert_allclose(np.abs((axes * expected).sum(1)), 1, atol=1e-9)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-9)


def test_views_of_one_object_count_once():
    rng = np.random.default_rng(2)
    images = rng.random((12, 1, 4, 4), dtype=np.float32)
    repeated = np.concatenate([images, images[:3], images[:3]])
    groups = np.concatenate([np.arange(12), np.arange(3), np.arange(3)])
    settings = EncoderSettings(dimension=4)
    once = pca.fit(ArraySource(images), np.arange(12), settings=settings, seed=0)
    thrice = pca.fit(ArraySource(repeated), groups, settings=settings, seed=0)
    np.testing.assert_allclose(thrice.weights["components"], once.weights["components"], atol=1e-5)


def test_the_dimension_stops_where_the_images_do():
    rng = np.random.default_rng(3)
    basis = rng.random((2, 1, 4, 4))
    images = np.einsum("nk,kbyx->nbyx", rng.random((30, 2)), basis).astype(np.float32)
    fitted = pca.fit(
        ArraySource(images), np.arange(30), settings=EncoderSettings(dimension=8), seed=0
    )
    # float32 pixels scatter by 6e-8 of their size about the plane they span.
    explained = fitted.card["explained_variance"]
    assert sum(explained[:2]) == pytest.approx(1, abs=1e-9)
    assert fitted.dimension == len(explained) <= 8


def test_images_all_alike_have_no_components():
    images = np.full((10, 1, 4, 4), 0.3, np.float32)
    with pytest.raises(NotComputableError, match="all images are the same"):
        pca.fit(ArraySource(images), np.arange(10), settings=EncoderSettings(), seed=0)


def test_too_few_objects_are_refused_however_many_views():
    images = np.random.default_rng(4).random((40, 1, 4, 4), dtype=np.float32)
    with pytest.raises(NotComputableError, match="needs 8 objects or more to be fitted, got 5"):
        pca.fit(ArraySource(images), np.arange(40) % 5, settings=EncoderSettings(), seed=0)


@given(st.integers(1, 40), st.integers(1, 40))
def test_area_matrices_average(n, cells):
    matrix = pixels.area_matrix(n, cells)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    # Every pixel gives away its whole area: the mean is kept.
    np.testing.assert_allclose(matrix.sum(axis=0), cells / n, rtol=1e-12)


def test_pixels_of_a_divisible_size_are_block_means():
    images = np.random.default_rng(5).random((3, 2, 32, 32), dtype=np.float32)
    encoder = pixels.fit(ArraySource(images), np.arange(3), settings=EncoderSettings(), seed=0)
    blocks = images.reshape(3, 2, 16, 2, 16, 2).mean(axis=(3, 5)).reshape(3, -1)
    np.testing.assert_allclose(encoder.encode(ArraySource(images)), blocks, atol=1e-6)
    small = pixels.fit(
        ArraySource(images), np.arange(3), settings=EncoderSettings(dimension=50), seed=0
    )
    assert small.dimension == 50


@given(st.integers(1, 8))
def test_the_effective_rank_of_an_isotropic_set_is_its_dimension(d):
    vectors = np.concatenate([np.eye(d), -np.eye(d)])
    assert effective_rank(vectors) == pytest.approx(d)
    assert effective_rank(np.ones((5, d))) == 0


def test_neither_needs_torch():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from simreal.core.images import ImageSet, Setup\n"
        "from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder\n"
        "ids = np.arange(10).astype(str)\n"
        "images = ImageSet(name='a', role='observed', sampling='random', ids=ids, groups=ids,\n"
        "    images=np.random.default_rng(0).random((10, 1, 32, 32)),\n"
        "    setup=Setup(track='rgb', bands=('r',), unit='display'))\n"
        "for name in ('pca', 'pixels'):\n"
        "    encoder = fit_encoder(name, [images], seed=0)\n"
        "    save_encoder(encoder, sys.argv[1])\n"
        "    print(len(embed(load_encoder(sys.argv[1]), images)))\n"
    )
    # The test of a subprocess is its own interpreter, so nothing is imported already.
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, folder], capture_output=True, text=True, check=False
        )
    assert (done.stdout, done.stderr) == ("10\n10\n", "")
