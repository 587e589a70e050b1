"""Stacks of Pan-STARRS 1 as its cutout server serves them, one file per band.

Their pixels are scaled with an inverse hyperbolic sine to fit 16 bits:
``counts = BOFFSET + 2 BSOFTEN sinh(value / 1.085736)``, over an exposure of ``EXPTIME`` seconds.
In counts per second the zero point is 25 (Waters et al. 2020, ApJS 251, 4). Options of the
card (``files.options``):

``path``, ``mask_path``
    Templates as for the adapter fits_stamps.
``filters``
    What each band is called in the path; by default the last word of its name.
``exclude``
    As for fits_stamps.
"""

import dataclasses
from pathlib import Path

import numpy as np

from simreal.core.cards import Card
from simreal.data._band_files import find_sources, part_of
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._fits import FITS_SUFFIXES, header_number
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._planes import Part, assembled, in_file
from simreal.data._quarantine import BadFileError

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("exclude", "filters", "mask_path", "path")

#: 2.5 log10(e) as the pipeline rounds it.
_POGSON = 1.085736


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read Pan-STARRS stacks into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Returns
    -------
    Ingested

    Raises
    ------
    UsageError
        If the folder is absent or the card does not fit the files.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    sources, rejected, notes = find_sources(card, short=True)
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=lambda source: _load(card, source),
        rejected=rejected,
        notes=notes,
    )


def _load(card: Card, source: Source) -> Frames:
    parts = {}
    for band in card.view.bands:
        with in_file(source.also[band], of=source.file):
            parts[band] = _linear(part_of(card, source, band))
    return assembled(card, parts)


def _linear(part: Part) -> Part:
    """Return a part in counts per second."""
    softening, seconds = (header_number(part.header, key) for key in ("BSOFTEN", "EXPTIME"))
    if softening <= 0 or seconds <= 0:
        raise BadFileError(
            "E_HEADER",
            f"got BSOFTEN = {softening:g} and EXPTIME = {seconds:g}, allowed are values above 0; "
            "fetch it again",
        )
    offset = header_number(part.header, "BOFFSET")
    values = part.pixels.astype(np.float64) / _POGSON
    # A value in the hundreds is no asinh of anything: the image has been made linear already.
    finite = np.abs(values[np.isfinite(values)])
    if finite.size and finite.max() > 50:
        raise BadFileError(
            "E_UNIT",
            f"got values up to {finite.max() * _POGSON:g}, allowed for an asinh-scaled stack are "
            "below 54; it is linear already: use the adapter fits_stamps",
        )
    counts = (offset + 2 * softening * np.sinh(values)) / seconds
    # BUNIT, if any, is of the scaled values.
    header = {key: value for key, value in part.header.items() if key != "BUNIT"}
    return dataclasses.replace(part, pixels=counts.astype(np.float32), header=header)
