import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from simreal.core.errors import UsageError
from simreal.match import convolution
from simreal.match.convolution import convolve_each, convolve_masked, extended, white_gain

SCIPY = {"reflect": "reflect", "zero": "constant", "wrap": "wrap"}


def one_by_one(images, kernels, edges):
    out = np.empty(images.shape)
    for i, b in np.ndindex(*images.shape[:2]):
        kernel = kernels[i if len(kernels) > 1 else 0, b if kernels.shape[1] > 1 else 0]
        out[i, b] = ndimage.convolve(images[i, b], kernel, mode=SCIPY[edges])
    return out


@pytest.mark.parametrize("edges", SCIPY)
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize(("n", "bands", "k"), [(3, 2, 5), (1, 2, 9), (3, 1, 1), (1, 1, 21)])
@pytest.mark.parametrize("shape", [(20, 31), (7, 16)])
def test_it_is_the_direct_sum(edges, even, n, bands, k, shape):
    rng = np.random.default_rng(k)
    images, kernels = rng.random((3, 2, *shape)), rng.random((n, bands, k, k))
    if even:
        kernels += kernels[..., ::-1]
        kernels += kernels[..., ::-1, :]
    assert convolve_each(images, kernels, edges=edges) == pytest.approx(
        one_by_one(images, kernels, edges), abs=1e-11 * kernels.sum((2, 3)).max()
    )


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.random((7, 2, 16, 16), dtype="f4")
    kernels = rng.random((7, 1, 5, 5))
    whole = convolve_each(images, kernels)
    monkeypatch.setattr(convolution, "BLOCK_PIXELS", 1)
    assert np.array_equal(whole, convolve_each(images, kernels))
    assert whole.dtype == np.float32


@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 0.3), even=st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_constant_stays_one_whatever_is_missing(seed, share, even):
    rng = np.random.default_rng(seed)
    mask = rng.random((2, 1, 15, 18)) < share
    kernel = rng.random((1, 1, 5, 5))
    kernel = np.ones_like(kernel) if even else kernel
    out, missing = convolve_masked(
        np.full(mask.shape, 7.0), kernel / kernel.sum(), mask=mask, least_weight=0.2
    )
    assert out[~missing] == pytest.approx(7.0, abs=1e-9)
    assert not out[missing].any()
    assert (missing | ~mask).all()


def test_missing_pixels_have_no_say():
    rng = np.random.default_rng(1)
    images, mask = rng.random((3, 2, 20, 20)), rng.random((3, 2, 20, 20)) < 0.1
    mask[1] = False
    kernel = np.full((1, 1, 5, 5), 1 / 25)
    out, missing = convolve_masked(images, kernel, mask=mask)
    poisoned, _ = convolve_masked(np.where(mask, np.nan, images), kernel, mask=mask)
    assert np.array_equal(out, poisoned)
    assert np.array_equal(out[1], convolve_each(images, kernel)[1])
    weights = one_by_one((~mask).astype(float), kernel, "reflect")
    direct = one_by_one(np.where(mask, 0, images), kernel, "reflect") / weights
    assert out[~missing] == pytest.approx(direct[~missing], abs=1e-9)
    assert np.array_equal(out, convolve_each(images, kernel, mask=mask))


def test_an_island_of_good_pixels_is_missing_afterwards():
    mask = np.ones((1, 1, 11, 11), bool)
    mask[0, 0, 5, 5] = False
    out, missing = convolve_masked(np.ones(mask.shape), np.full((1, 1, 3, 3), 1 / 9), mask=mask)
    assert missing.all()
    assert not out.any()


def test_negative_lobes_of_a_matching_kernel_do_not_blow_up_beside_a_hole():
    kernel = np.full((1, 1, 5, 5), -0.02)
    kernel[0, 0, 2, 2] = 1.48
    mask = np.zeros((1, 1, 12, 12), bool)
    mask[..., :5] = True
    out, missing = convolve_masked(np.full(mask.shape, 3.0), kernel, mask=mask)
    assert out[~missing] == pytest.approx(3.0)
    assert not missing[..., 6:].any()


def test_an_extended_field_is_its_own_mirror():
    assert extended(np.arange(3.0)[None, None, None], 2)[0, 0, 2].tolist() == [1, 0, 0, 1, 2, 2, 1]


def test_white_noise_gains_as_its_kernel_says():
    rng = np.random.default_rng(2)
    kernel = rng.random((1, 1, 5, 5))
    noise = convolve_each(rng.standard_normal((40, 1, 64, 64)), kernel, edges="wrap")
    assert noise.std() == pytest.approx(white_gain(kernel)[0, 0], rel=0.02)


@pytest.mark.parametrize(
    ("images", "kernels"),
    [
        ((2, 1, 8, 8), (2, 1, 4, 4)),
        ((2, 1, 8, 8), (3, 1, 3, 3)),
        ((2, 2, 8, 8), (2, 3, 3, 3)),
        ((2, 1, 8, 8), (3, 3)),
        ((2, 1, 8, 8), (1, 1, 3, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(images, kernels):
    with pytest.raises(UsageError, match="convolution: got"):
        convolve_each(np.zeros(images), np.zeros(kernels))


def test_unknown_edges_and_masks_of_another_shape_are_refused():
    image, kernel = np.zeros((1, 1, 8, 8)), np.ones((1, 1, 3, 3))
    with pytest.raises(UsageError, match="allowed: reflect, zero, wrap"):
        convolve_each(image, kernel, edges="mirror")
    with pytest.raises(UsageError, match="mask: got shape"):
        convolve_masked(image, kernel, mask=np.zeros((1, 1, 8, 9), bool))
