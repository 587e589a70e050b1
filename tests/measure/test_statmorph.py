"""Fitted morphology against profiles drawn with GalSim, and what becomes of failing fits."""

import importlib

import numpy as np
import pytest

from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource
from simreal.encode.encoder import group_weights
from simreal.encode.encoders import morphology, morphology_statmorph
from simreal.encode.run import load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.measure import morphology_fits
from simreal.measure.morphology import central_galaxies, feature_names
from simreal.measure.morphology_fits import FEATURES, Fits, fit_morphology, fit_stamp

pytest.importorskip("statmorph", reason="statmorph is not installed")

NOISE = 0.002
SERSIC = [FEATURES.index(name) for name in ("sersic_n", "sersic_radius", "sersic_ellipticity")]


def profile(n, *, axis_ratio=0.6, radius=6.0, size=64, psf=None, seed=0):
    """A noisy Sérsic profile, sampled at the centres of pixels as the fitted model is."""
    import galsim

    drawn = galsim.Sersic(n=n, half_light_radius=radius, flux=60.0)
    drawn = drawn.shear(q=axis_ratio, beta=40 * galsim.degrees)
    if psf is not None:
        drawn = galsim.Convolve(drawn, galsim.Gaussian(fwhm=psf))
    image = drawn.drawImage(nx=size, ny=size, scale=1, method="no_pixel").array
    return (image + np.random.default_rng(seed).normal(0, NOISE, image.shape)).astype("f4")


def kernel(fwhm):
    import galsim

    drawn = galsim.Gaussian(fwhm=fwhm).drawImage(nx=25, ny=25, scale=1, method="no_pixel")
    return drawn.array / drawn.array.sum()


def as_source(*images):
    return ArraySource(np.stack(images)[:, None])


# Rodriguez-Gomez et al. (2019) recover n = 2.5 as 2.48 and an ellipticity of .5 as .50 in
# their worked example; 5 % and .02 allow for the sky that our own corners give.
def test_a_known_profile_is_recovered():
    fits = fit_morphology(as_source(profile(1.0), profile(2.5, axis_ratio=0.8)))
    assert fits.flag.tolist() == [0, 0]
    assert fits.flag_sersic.tolist() == [0, 0]
    n, radius, ellipticity = fits.values[:, SERSIC].T
    np.testing.assert_allclose(n, [1.0, 2.5], rtol=0.05)
    np.testing.assert_allclose(ellipticity, [0.4, 0.2], atol=0.02)
    # GalSim's shear keeps the area, statmorph's radius is the major axis: 6 / sqrt(q).
    np.testing.assert_allclose(radius, 6 / np.sqrt([0.6, 0.8]), rtol=0.05)
    shape = fits.values[:, FEATURES.index("ellipticity")]
    # That of moments is of light in pixels, not of the model: rounder, never flatter.
    assert ((shape > 0.6 * ellipticity) & (shape < 1.05 * ellipticity)).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [0.7, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("axis_ratio", [0.4, 0.9])
def test_many_known_profiles_are_recovered_with_and_without_a_psf(n, axis_ratio):
    # The outskirts of n = 3 reach into the corners that give the sky.
    allowed = 0.05 if n < 3 else 0.12
    plain = fit_morphology(as_source(profile(n, axis_ratio=axis_ratio, size=96)))
    assert plain.values[0, SERSIC[0]] == pytest.approx(n, rel=allowed)
    assert plain.values[0, SERSIC[2]] == pytest.approx(1 - axis_ratio, abs=0.02)
    blurred = as_source(profile(n, axis_ratio=axis_ratio, size=96, psf=3.0))
    known = fit_morphology(blurred, psf=kernel(3.0))
    assert known.values[0, SERSIC[0]] == pytest.approx(n, rel=allowed + 0.08)
    # What the encoder sees is the profile after the PSF: shallower in the centre.
    seen = fit_morphology(blurred)
    assert seen.values[0, SERSIC[0]] < known.values[0, SERSIC[0]]


@pytest.mark.slow
def test_processes_change_no_number():
    images = [
        profile(n, size=40, radius=4.0, seed=k) for k, n in enumerate(np.linspace(0.7, 2, 70))
    ]
    here = fit_morphology(as_source(*images))
    steps = []
    there = fit_morphology(
        as_source(*images), workers=2, progress=lambda _, done, total: steps.append((done, total))
    )
    np.testing.assert_array_equal(there.values, here.values)
    np.testing.assert_array_equal(there.flag, here.flag)
    assert steps[-1] == (70, 70)
    assert len(steps) == 9


def test_a_stamp_has_its_numbers_whatever_was_drawn_before_and_leaves_the_state_alone():
    image = as_source(profile(1.0, size=40, radius=4.0))
    np.random.seed(1)  # noqa: NPY002
    one = fit_morphology(image)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(fit_morphology(image).values, one.values)


def test_what_cannot_be_measured_is_flagged_and_masked_and_kept():
    blank = np.zeros((40, 40), np.float32)
    fits = fit_morphology(as_source(blank, blank + 1))
    assert fits.values.shape == (2, len(FEATURES))
    assert (fits.flag >= 2).all()
    assert not fits.valid[:, 3:].any()


@pytest.mark.parametrize("error", [AssertionError, ZeroDivisionError, IndexError])
def test_a_fit_that_raises_is_a_flag(error, monkeypatch):
    def failing(*_, **__):
        raise error("inside statmorph")

    monkeypatch.setattr(importlib.import_module("statmorph"), "SourceMorphology", failing)
    galaxy = central_galaxies(profile(1.0, size=32)[None, None])
    values, flag, flag_sersic = fit_stamp(galaxy.light[0], galaxy.segment[0], NOISE)
    assert np.isnan(values).all()
    assert (flag, flag_sersic) == (4, 4)


class Measured:
    """What statmorph returns, as far as it is read."""

    flag, flag_sersic = 0, 0
    sersic_n, sersic_rhalf, sersic_ellip = 2.0, 8.0, 0.3
    ellipticity_asymmetry, multimode, intensity = 0.25, 0.1, 0.2
    deviation, shape_asymmetry, outer_asymmetry = 0.01, 0.3, -99.0

    def __init__(self, *_, **__):
        pass


@pytest.mark.parametrize(
    ("flag", "flag_sersic", "kept"),
    [(0, 0, 8), (1, 0, 8), (1, 1, 5), (2, 0, 3), (2, 1, 0), (4, 4, 0)],
)
def test_flags_mask_what_they_speak_of_and_nothing_else(flag, flag_sersic, kept, monkeypatch):
    measured = type("M", (Measured,), {"flag": flag, "flag_sersic": flag_sersic})
    monkeypatch.setattr(importlib.import_module("statmorph"), "SourceMorphology", measured)
    light = np.ones((8, 8))
    values, *flags = fit_stamp(light, light > 0, 1.0)
    assert flags == [flag, flag_sersic]
    assert np.isfinite(values).sum() == kept
    # -99 is statmorph's word for no number, whatever the flag.
    assert np.isnan(values[FEATURES.index("outer_asymmetry")])


def noise_images(n=12, seed=0, size=32):
    return np.random.default_rng(seed).random((n, 2, size, size), dtype=np.float32)


def made_up(source, **_):
    """Fits that follow from the pixels, every third of them bad."""
    pixels = np.asarray(source.read(slice(None)), dtype=np.float64)
    values = 1.0 + np.stack([pixels[:, 0, 0, k] for k in range(len(FEATURES))], axis=1)
    flag = (pixels[:, 1, 0, 0] < 0.33).astype(np.int64) * 2
    values[flag == 2, 3:] = np.nan
    return Fits(values=values, flag=flag, flag_sersic=np.zeros_like(flag))


@pytest.fixture
def fast_fits(monkeypatch):
    calls = []

    def counted(source, **how):
        calls.append(source.shape[0])
        return made_up(source, **how)

    monkeypatch.setattr(morphology_statmorph, "fit_morphology", counted)
    return calls


def fitted(images, **changes):
    groups, settings = np.arange(len(images)), EncoderSettings(threads=1, **changes)
    return morphology_statmorph.fit(ArraySource(images), groups, settings=settings, seed=0)


def test_the_encoder_holds_all_of_morphology_then_fits_then_flags(fast_fits, tmp_path):
    images = noise_images()
    encoder = fitted(images)
    vectors = encoder.encode(ArraySource(images))
    names = encoder.card["recipe"]["features"]
    assert names == [*feature_names(2), *FEATURES, "flag", "flag_sersic"]
    assert vectors.shape == (12, len(names))
    assert np.isfinite(vectors).all()
    plain = morphology.fit(ArraySource(images), np.arange(12), settings=EncoderSettings(), seed=0)
    first = plain.encode(ArraySource(images))
    np.testing.assert_allclose(vectors[:, : first.shape[1]], first, atol=1e-6)
    bad = images[:, 1, 0, 0] < 0.33
    assert 0 < bad.sum() < 12
    shapes = vectors[:, first.shape[1] + 3 : -2]
    assert (shapes[bad] == 0).all()
    assert (shapes[~bad] != 0).mean() > 0.8
    np.testing.assert_array_equal(vectors[:, -2], bad)
    assert encoder.card["masked"]["ellipticity"] == bad.sum()
    assert encoder.card["masked"]["sersic_n"] == 0
    # What was fitted once is not fitted again, but what is new is.
    assert fast_fits == [12]
    encoder.encode(ArraySource(noise_images(5, seed=1)))
    assert fast_fits == [12, 5]
    save_encoder(encoder, tmp_path)
    again = load_encoder(tmp_path)
    assert again.digest == encoder.digest
    np.testing.assert_array_equal(again.encode(ArraySource(images)), vectors)


def test_masked_numbers_do_not_move_the_scale_of_the_pool(fast_fits):
    images = noise_images(40)
    encoder = fitted(images)
    rows = made_up(ArraySource(images))
    column = FEATURES.index("ellipticity")
    good = rows.valid[:, column]
    weights = group_weights(np.arange(40))[good]
    centre, scale = morphology.robust_scale(
        rows.values[good, column : column + 1], weights / weights.sum()
    )
    place = len(feature_names(2)) + column
    assert encoder.weights["centre"][place] == centre[0]
    assert encoder.weights["scale"][place] == scale[0]


def test_too_small_stamps_are_refused(fast_fits):
    with pytest.raises(NotComputableError, match="needs images of 24 pixels or more"):
        fitted(noise_images(size=20))
    assert not fast_fits


def test_absent_statmorph_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NotComputableError, match=r"needs statmorph.*simreal\[statmorph\]"):
        fit_morphology(as_source(profile(1.0, size=32)))


def test_a_dead_process_is_one_line(monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    def dead(*_, **__):
        raise BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(morphology_fits, "ProcessPoolExecutor", dead)
    with pytest.raises(NotComputableError, match=r"died.*one thread"):
        fit_morphology(ArraySource(noise_images(64)), workers=2)
