"""Galaxies of HST in the layout of GalSim's RealGalaxy catalogues (Mandelbaum et al. 2012).

A FITS table names for every galaxy the file and HDU of its image and of its PSF, the pixel scale,
the variance of its noise and its magnitude. Options of the card (``files.options``):

``catalogue``
    File name of the table.
``tables``
    File names of further tables with a column IDENT, such as ``*_fits.fits``: their columns can
    be properties, too. Of a column that several tables have the first counts; column ``i`` of a
    vector is called ``name[i]``.
``filters``
    What each band is called in the column BAND.

Properties come from the columns of these tables by name, in any case.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.results import Rejection
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._files import FoundFile, existing_folder, found_files
from simreal.data._fits import FITS_SUFFIXES, Hdus, image_plane, opened_fits, table_columns
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._open_files import kept_open
from simreal.data._planes import Part, PixelScale, assembled, file_names_of, in_file
from simreal.data._quarantine import BadFileError

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("catalogue", "filters", "tables")

_NEEDED = (
    "IDENT", "BAND", "GAL_FILENAME", "GAL_HDU", "PSF_FILENAME", "PSF_HDU", "PIXEL_SCALE",
    "NOISE_VARIANCE",
)  # fmt: skip

Columns = Mapping[str, AnyArray]
Opened = Callable[[FoundFile], Hdus]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Catalogue:
    """The tables of a collection: columns by upper-case name, rows of the others by IDENT."""

    main: Columns
    further: tuple[tuple[Columns, Mapping[str, int]], ...]

    def values(self, row: int) -> dict[str, float | str]:
        """Return everything the tables say of one galaxy."""
        own = str(self.main["IDENT"][row])
        found: dict[str, float | str] = {}
        rows = [(self.main, row), *((c, at[own]) for c, at in self.further if own in at)]
        for columns, line in rows:
            for name, column in columns.items():
                value = np.atleast_1d(column[line])
                keys = [name] if len(value) == 1 else [f"{name}[{i}]" for i in range(len(value))]
                for key, each in zip(keys, value.tolist(), strict=True):
                    found.setdefault(key, each if isinstance(each, str) else float(each))
        return found


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read the galaxies of a RealGalaxy catalogue into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Returns
    -------
    Ingested
        With the PSF, the noise and the pixel scale of every galaxy.

    Raises
    ------
    UsageError
        If the folder or the catalogue is absent, or the card does not fit it.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    if len(card.view.bands) != 1:
        raise UsageError(
            f"{card.name}: got the bands {card.view.bands}, allowed for the adapter galsim_real "
            "is one; make a card for each"
        )
    files = {file.name: file for file in found_files(existing_folder(card), card.files.pattern)}
    with kept_open(opened_fits) as get:
        catalogue = _read_catalogue(card, files, get)
        sources, rejected = _sources(card, catalogue, files, get)
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, catalogue, get),
            rejected=rejected,
        )


def _read_catalogue(card: Card, files: Mapping[str, FoundFile], get: Opened) -> _Catalogue:
    options = card.files.options
    if "catalogue" not in options:
        raise UsageError(
            f"{card.name}: the adapter galsim_real needs files.options.catalogue, the file name "
            "of the table of galaxies"
        )
    main = _table(card, str(options["catalogue"]), _NEEDED, files, get)
    names = [str(name) for name in options.get("tables", ())]
    tables = [_table(card, name, ("IDENT",), files, get) for name in names]
    rows = [{str(own): i for i, own in enumerate(t["IDENT"].tolist())} for t in tables]
    return _Catalogue(main=main, further=tuple(zip(tables, rows, strict=True)))


def _table(
    card: Card, name: str, needed: tuple[str, ...], files: Mapping[str, FoundFile], get: Opened
) -> Columns:
    """Return the columns of a table; without it there is nothing to read at all."""
    if name not in files:
        raise UsageError(f"{card.name}: no table {name!r}: {did_you_mean(name, files)}")
    try:
        hdus = get(files[name])
        columns = {key.upper(): c for key, c in table_columns(hdus, _only_table(hdus)).items()}
    except BadFileError as error:
        raise UsageError(f"{card.name}: {name}: {error.reason}") from None
    missing = [key for key in needed if key not in columns]
    if missing:
        raise UsageError(
            f"{card.name}: {name}: no column {missing[0]!r}: {did_you_mean(missing[0], columns)}; "
            "allowed is a table in the layout of GalSim's RealGalaxyCatalog"
        )
    return columns


def _only_table(hdus: Hdus) -> int:
    tables = [unit.index for unit in hdus if unit.kind == "table"]
    if len(tables) != 1:
        raise BadFileError("E_HDU", f"has {hdus.listed}, allowed is one table; fetch it again")
    return tables[0]


def _sources(
    card: Card, catalogue: _Catalogue, files: Mapping[str, FoundFile], get: Opened
) -> tuple[list[Source], list[Rejection]]:
    main, sources, rejected = catalogue.main, [], []
    table = files[str(card.files.options["catalogue"])]
    for row, own in enumerate(main["IDENT"].tolist()):
        try:
            image, psf = _files_of(card, catalogue, files, row)
        except BadFileError as error:
            source = Source(id=str(own), file=table, row=row)
            rejected.append(object_rejection(card, source, error))
            continue
        size = _size(get, image, int(main["GAL_HDU"][row]))
        sources.append(Source(id=str(own), file=image, size=size, row=row, also={"psf": psf}))
    return sources, rejected


def _files_of(
    card: Card, catalogue: _Catalogue, files: Mapping[str, FoundFile], row: int
) -> tuple[FoundFile, FoundFile]:
    """Return the files with the image and the PSF of a row."""
    band = next(iter(file_names_of(card).values()))
    got = str(catalogue.main["BAND"][row])
    if got.upper() != band.upper():
        raise BadFileError(
            "E_BANDS",
            f"row {row} is of band {got!r}, allowed is {band!r}; correct files.options.filters or "
            "make a card for each band",
        )
    names = [str(catalogue.main[f"{kind}_FILENAME"][row]) for kind in ("GAL", "PSF")]
    for name in names:
        if name not in files:
            raise BadFileError(
                "E_READ",
                f"row {row} names {name!r}, allowed is a file of the folder; fetch it",
            )
    return files[names[0]], files[names[1]]


def _size(get: Opened, file: FoundFile, hdu: int) -> tuple[int, int] | None:
    try:
        shape = get(file)[hdu].shape
    except BadFileError:
        return None
    return (shape[0], shape[1]) if len(shape) == 2 else None


def _load(card: Card, source: Source, catalogue: _Catalogue, get: Opened) -> Frames:
    row, main, band = source.row or 0, catalogue.main, card.view.bands[0]
    hdu, psf_hdu = int(main["GAL_HDU"][row]), int(main["PSF_HDU"][row])
    pixels, header = image_plane(get(source.file), hdu)
    if pixels.ndim != 2:
        raise BadFileError(
            "E_BANDS", f"HDU {hdu} has shape {pixels.shape}, allowed is one plane; fetch it again"
        )
    with in_file(source.also["psf"], of=source.file):
        kernel = image_plane(get(source.also["psf"]), psf_hdu)[0]
    variance, arcsec = float(main["NOISE_VARIANCE"][row]), float(main["PIXEL_SCALE"][row])
    for name, value in (("NOISE_VARIANCE", variance), ("PIXEL_SCALE", arcsec)):
        if not (np.isfinite(value) and value > 0):
            raise BadFileError(
                "E_HEADER",
                f"row {row} of the catalogue has {name} = {value:g}, allowed is above 0",
            )
    # Catalogues keep the scale in single precision: 0.03 reads 0.02999999933.
    scale = PixelScale(arcsec=float(f"{arcsec:.6g}"))
    said = catalogue.values(row)
    wanted = {about.column for about in card.properties.values()}
    part = Part(pixels=pixels, header=header, psf=kernel, noise=math.sqrt(variance), scale=scale)
    return assembled(
        card,
        {band: part},
        properties={name: said[name.upper()] for name in wanted if name.upper() in said},
    )
