"""Toy quasars: a search for quasars at redshift six, rendered on the spot with GalSim."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.cards import Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import Step
from simreal.data._contract import AdapterMeta, Ingested, setup_of
from simreal.data.store import Description, StoreWriter
from simreal.data.toy_quasars.population import (
    BANDS,
    Shares,
    Sources,
    class_counts,
    draw_sources,
)
from simreal.data.toy_quasars.render import PIXEL_SCALE, SEEING, noise_of_depth, render

if TYPE_CHECKING:
    from astropy.table import QTable

META = AdapterMeta(synthetic=True, version=1)

_BLOCK = 64
_UNITS = {
    "source_class": "", "spectral_type": "", "redshift": "", "z_magnitude": "mag",
    "half_light_radius": "arcsec",
}  # fmt: skip


def read(card: Card, *, seed: int, store: Path) -> Ingested:
    """Render the collection of `card` under `seed` into the file `store`.

    Raises
    ------
    UsageError
        If the card asks for something that is not there.
    """
    shares, stamp = _options(card), _stamp(card)
    _check_columns(card)
    sources = draw_sources(shares, name=card.name, seed=seed)
    with StoreWriter(store, dtype="float32") as writer:
        for start in range(0, len(sources), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(sources)))
            writer.append(render(sources, rows, stamp=stamp, name=card.name, seed=seed))
        return Ingested(images=writer.finish(_describe(card, sources)))


def _options(card: Card) -> Shares:
    known = {"n_objects": int, "quasars": float, "brown_dwarfs": float}
    for name, value in card.files.options.items():
        if name not in known:
            raise UsageError(f"{card.name}: unknown option {name!r}: {did_you_mean(name, known)}")
        allowed = (int, float) if known[name] is float else (int,)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise UsageError(f"{card.name}: {name}: got {value!r}, allowed is a number")
    return Shares(**card.files.options)


def _stamp(card: Card) -> int:
    view = card.view
    if card.track != "flux" or view.bands != BANDS or view.unit != "nJy / pix":
        raise UsageError(
            f"{card.name}: got track {card.track!r}, bands {view.bands} and unit {view.unit!r}, "
            f"allowed are 'flux', {BANDS} and 'nJy / pix'"
        )
    if view.pixel_scale != PIXEL_SCALE or view.field_of_view_unit != "arcsec":
        raise UsageError(
            f"{card.name}: view.pixel_scale is {view.pixel_scale} and its field in "
            f"{view.field_of_view_unit}, allowed are {PIXEL_SCALE} and arcsec"
        )
    stamp = round((view.field_of_view or 0.0) / PIXEL_SCALE)
    if stamp % 2 or not 16 <= stamp <= 128:
        raise UsageError(
            f"{card.name}: view.field_of_view is {stamp} pixels, allowed is an even number from "
            "16 to 128"
        )
    return stamp


def _check_columns(card: Card) -> None:
    for name, about in card.properties.items():
        if about.column not in _UNITS:
            raise UsageError(
                f"{card.name}: properties.{name}: unknown column {about.column!r}: "
                f"{did_you_mean(about.column, _UNITS)}"
            )
        if about.unit != _UNITS[about.column]:
            raise UsageError(
                f"{card.name}: properties.{name}: unit is {about.unit!r}, allowed is "
                f"{_UNITS[about.column]!r}"
            )


def _describe(card: Card, sources: Sources) -> Description:
    ids = np.array([f"{card.name}-{row:05d}" for row in range(len(sources))])
    counts = class_counts(sources.kind)
    return Description(
        name=card.name,
        role=card.role,
        sampling=card.sampling,
        ids=ids,
        groups=ids,
        setup=setup_of(card).replace(
            psf_fwhm=np.full(len(BANDS), SEEING / PIXEL_SCALE), noise=noise_of_depth()
        ),
        properties=_properties(card, sources),
        history=(
            Step(
                name="render",
                after={name: float(count) for name, count in counts.items()},
                note="toy quasars: one PSF in all bands, white noise",
            ),
        ),
    )


def _properties(card: Card, sources: Sources) -> "QTable":
    from astropy.table import MaskedColumn, QTable
    from astropy.units import Unit
    from astropy.utils.masked import Masked

    columns: dict[str, Any] = {
        "source_class": sources.kind,
        "spectral_type": MaskedColumn(sources.spectral_type, mask=sources.spectral_type == ""),
        "redshift": Masked(sources.redshift * Unit(""), mask=np.isnan(sources.redshift)),
        "z_magnitude": sources.magnitudes[:, BANDS.index("des-z")] * Unit("mag"),
        "half_light_radius": sources.radius * Unit("arcsec"),
    }
    table = QTable()
    for name, about in card.properties.items():
        table[name] = columns[about.column]
    return table
