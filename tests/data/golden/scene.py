"""Little galaxies with known pixels for the golden writers, and the card that they share."""

import itertools

import numpy as np

from simreal.core.cards import Calibration, Card, Credit, Files, View

SIZE = (20, 24)

_numbers = itertools.count()


def new_store(folder):
    """Return a store beside `folder` that no other set is read from."""
    return folder.parent / f"store-{next(_numbers)}.h5"


def planes(seed, n_bands, size=SIZE):
    """Return positive pixels (band, y, x) that differ between bands, corners and seeds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    blob = np.exp(-(((y - size[0] / 2) / 3) ** 2 + ((x - size[1] / 2 - 1) / 4) ** 2))
    gains = np.arange(1, n_bands + 1)[:, None, None]
    return gains * (blob + 0.01 * rng.random((n_bands, *size)))


def make_card(adapter, bands, calibration, *, options=None, view=None, files=None, **fields):
    """Return a card of the flux track that reads the folder ``files`` of the data folder."""
    return Card(
        name="golden",
        title="Golden files",
        role="simulated",
        track="flux",
        sampling="curated",
        sampling_note="made for the tests",
        files=Files(
            **{"adapter": adapter, "folder": "files", "options": options or {}, **(files or {})}
        ),
        view=View(
            **{
                "geometry": "random",
                "bands": tuple(bands),
                "unit": "nJy / pix",
                "display": "linear",
                "rendition": "idealised",
                **(view or {}),
            }
        ),
        calibration=Calibration(**calibration),
        credit=Credit(citation=(), licence="none", fetch="Make them."),
        **fields,
    )
