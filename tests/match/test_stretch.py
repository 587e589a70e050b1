import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.match.stretch import SKY_LEVEL, fixed_asinh, flux_of, per_image


def galaxies(n=4, bands=3, side=40, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    images = rng.normal(0, 1, (n, bands, side, side))
    return (images + 200 * np.exp(-np.hypot(x, y) / 4)).astype("f4")


def test_by_hand():
    # asinh(3) = 1.81845 of asinh(1000) = 7.60090, on .8 above .2.
    shown = fixed_asinh(np.full((1, 1, 1, 1), 6.0, "f4"), 2.0)
    assert shown[0, 0, 0, 0] == pytest.approx(0.2 + 0.8 * 1.81845 / 7.60090, abs=1e-5)
    assert fixed_asinh(np.zeros((1, 1, 1, 1), "f4"), 5.0)[0, 0, 0, 0] == pytest.approx(SKY_LEVEL)


def test_no_image_has_a_say_in_another_s_display():
    images = galaxies()
    alone = fixed_asinh(images[:1], 2.0)
    images[1:] *= 1000
    assert np.array_equal(fixed_asinh(images, 2.0)[:1], alone)


@given(st.floats(0.1, 100.0), st.floats(0.0, 0.5))
@settings(max_examples=20)
def test_display_rises_with_flux_and_can_be_undone(softening, sky_level):
    flux = np.linspace(-3 * softening, 900 * softening, 500, dtype="f4")[None, None, None]
    shown = fixed_asinh(flux, softening, sky_level=sky_level)
    assert (np.diff(shown) >= 0).all()
    inside = (shown > 0) & (shown < 1)
    back = flux_of(shown, softening, sky_level=sky_level)
    assert back[inside] == pytest.approx(flux[inside], rel=2e-4, abs=1e-4 * softening)


def test_bands_may_have_their_own_softening_and_images_not():
    images = galaxies()
    shown = fixed_asinh(images, [1.0, 2.0, 4.0])
    assert np.array_equal(shown[:, 1], fixed_asinh(images[:, 1:2], 2.0)[:, 0])
    with pytest.raises(UsageError, match="never per image"):
        fixed_asinh(images, np.ones((4, 3)))


@given(st.lists(st.floats(1e-3, 1e3), min_size=12, max_size=12), st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_per_image_is_blind_to_brightness_colour_and_sky(factors, sky):
    images = galaxies().astype("f8")
    changed = images * np.array(factors).reshape(4, 3, 1, 1)
    assert np.abs(per_image(changed) - per_image(images)).max() < 1e-5
    assert np.abs(per_image(images + sky) - per_image(images)).max() < 1e-4


def test_the_fixed_stretch_is_not_blind():
    images = galaxies()
    assert np.abs(fixed_asinh(2 * images, 2.0) - fixed_asinh(images, 2.0)).max() > 0.05


def test_per_image_tells_shapes_apart_and_ignores_what_is_masked():
    images = galaxies()
    mask = np.zeros(images.shape, bool)
    mask[:, :, :4] = True
    spoiled = np.where(mask, 1e6, images).astype("f4")
    clean, seen = per_image(np.where(mask, 0, images), mask=mask), per_image(spoiled, mask=mask)
    assert np.array_equal(clean, seen)
    assert (seen[mask] == np.float32(SKY_LEVEL)).all()
    wide = galaxies()[:, :, ::-1] + np.roll(galaxies(), 6, axis=3)
    assert np.abs(per_image(wide) - per_image(images)).max() > 0.1


def test_empty_and_wholly_masked_planes_are_sky():
    flat = np.full((1, 1, 8, 8), 3.0, "f4")
    assert per_image(flat) == pytest.approx(SKY_LEVEL)
    assert per_image(flat, mask=np.ones(flat.shape, bool)) == pytest.approx(SKY_LEVEL)


@pytest.mark.parametrize(
    "options", [{"softening": 0.0}, {"softening": np.nan}, {"softening": 1.0, "white": -1.0},
                {"softening": 1.0, "sky_level": 1.0}]
)  # fmt: skip
def test_what_is_no_stretch_is_refused(options):
    with pytest.raises(UsageError):
        fixed_asinh(galaxies(), **options)
