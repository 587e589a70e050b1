"""Neighbours go by one rule on either side; the galaxy itself stays whole."""

import numpy as np

from simreal.match.flux.neighbours import filled, neighbour_mask
from tests.match.flux.scenes import psf, shown, sky

SIDE, SCALE = 64, 0.3


def scene(*others, seed=0):
    """Return a galaxy in the centre with stars at `others` [pixel] from it."""
    image = 4e3 * shown(psf(1.8), side=SIDE, scale=SCALE)
    for offset in others:
        image += 2e3 * shown(psf(0.9), side=SIDE, scale=SCALE, offset=offset)
    return (image + sky(image.shape, 1.0, seed=seed)).astype("f4")[None, None]


def masked(image):
    return neighbour_mask(image, np.ones((1, 1)), np.array([5.0]))[0]


def test_a_neighbour_is_covered_and_the_galaxy_is_not():
    found = masked(scene((20, 0)))
    assert found[31:33, 51:53].all()
    assert not found[26:38, 26:38].any()
    assert found.mean() < 0.1


def test_an_isolated_galaxy_loses_nothing():
    assert not masked(scene()).any()


def test_the_rule_knows_no_side():
    # The same pixels give the same mask, whoever they belong to and in whatever company.
    alone, other = scene((20, 5)), scene((-15, 10), seed=1)
    pair = neighbour_mask(np.concatenate([other, alone]), np.ones((2, 1)), np.full(2, 5.0))
    np.testing.assert_array_equal(pair[1], masked(alone))


def test_units_of_the_noise_decide():
    image = scene((20, 0))
    np.testing.assert_array_equal(
        neighbour_mask(7 * image, np.full((1, 1), 7.0), np.array([5.0]))[0], masked(image)
    )


def test_filling_changes_what_is_masked_and_nothing_else():
    stamps = np.arange(2 * 2 * 9, dtype="f4").reshape(2, 2, 3, 3)
    where = np.zeros((2, 3, 3), bool)
    where[1, 0, 2] = True
    out = filled(stamps, where, np.full_like(stamps, -1))
    assert (out == -1).sum() == 2
    assert out[1, 0, 0, 2] == out[1, 1, 0, 2] == -1
    np.testing.assert_array_equal(out[0], stamps[0])
