"""Toy collections in nJy per pixel with a nuisance on one side, and stamps cut without matching."""

import numpy as np

from simreal.data.ingest import card_for, in_track, ingest
from simreal.match.flux.run import SOFTENING
from simreal.match.pixels import resample
from simreal.match.stretch import fixed_asinh, named

#: Side of the stamps that are cut without matching.
CUT = 64


def card(name, *, n, view=None, **options):
    """Return a toy card on the flux track with one view of n galaxies and other `options`."""
    role = "observed" if name == "toy-survey" else "simulated"
    found = card_for(name, role=role)
    files = found.files.model_copy(
        update={"options": {**found.files.options, "n_galaxies": n, "views": 1, **options}}
    )
    seen = found.view.model_copy(update={"views_per_object": 1, **(view or {})})
    return in_track(found.model_copy(update={"files": files, "view": seen}), "flux")


def read(made, *, seed, folder):
    return ingest(made, seed=seed, store=folder / f"{made.name}-{seed}.h5").images


def changed(images, pixels, **setup):
    """Return the set with other pixels, which its setup does or does not say."""
    return images.replace(
        images=np.asarray(pixels, np.float32), setup=images.setup.replace(**setup)
    )


def pixels_of(images):
    return np.array(images.images.read(slice(None)))


def cut_only(sim, obs):
    """Return stamps cut around the middle of both sides and stretched alike: nothing matched."""
    softening = SOFTENING * np.median(obs.setup.noise, axis=0)
    return tuple(_cut(images, softening) for images in (sim, obs))


def _cut(images, softening):
    block = pixels_of(images)
    middle = np.full(len(block), (block.shape[-1] - 1) / 2)
    stamps = resample(
        block, x=middle, y=middle, width=np.full(len(block), float(CUT)), n_out=CUT, conserve="flux"
    )
    setup = images.setup.replace(
        unit="display", display=named(softening), frame="angular", frame_width=float(CUT)
    )
    return images.replace(images=fixed_asinh(stamps, softening), mask=None, setup=setup)


def shifted(pixels, by):
    """Return images moved by `by` pixels to the right through their Fourier transform."""
    waves = np.fft.rfft(pixels, axis=-1)
    phase = np.exp(-2j * np.pi * by * np.fft.rfftfreq(pixels.shape[-1]))
    return np.fft.irfft(waves * phase, pixels.shape[-1], axis=-1).astype(np.float32)
