"""Stamps with one FITS file per band and object, as survey teams cut them.

Where an object's files are is a template: ``files.options.path = "{filter}/s_{filter}_{id}.fits"``.
Options of the card (``files.options``):

``path``
    Template of the path inside the folder; ``{id}`` is the object, ``{filter}`` the band's name
    in the files. With one band ``{filter}`` may be left out.
``filters``
    What each band is called in the files, where that is not its name in ``view.bands``.
``mask_path``, ``variance_path``, ``psf_path``
    Templates of further files, alike.
``hdu``, ``mask_hdu``, ``variance_hdu``, ``psf_hdu``
    Number or name of the HDU; a mask, variance or PSF without a path of its own is looked for
    in the image's file. ``hdu`` may be left out where a file has one image.
``missing_value``
    A pixel value that means "not observed".
``zero_points``, ``wavelengths``
    Per band: AB magnitude of one unit where it is not the same for all, and pivot wavelength
    [Angstrom] for units per wavelength.
``exclude``
    File name patterns to leave out.
"""

from pathlib import Path

from simreal.core.cards import Card
from simreal.data._band_files import find_sources, load
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._fits import FITS_SUFFIXES
from simreal.data._frames import check_options, read_frames

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES

OPTIONS = (
    "exclude", "filters", "hdu", "mask_hdu", "mask_path", "missing_value", "path", "psf_hdu",
    "psf_path", "variance_hdu", "variance_path", "wavelengths", "zero_points",
)  # fmt: skip


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read stamps of one file per band into the file `store`.

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
    sources, rejected, notes = find_sources(card)
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=lambda source: load(card, source),
        rejected=rejected,
        notes=notes,
    )
