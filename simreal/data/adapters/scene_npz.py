"""Objects cut out of small scenes with a catalogue: ``.npz`` files as scarlet's users keep them.

Each file has ``images`` (band, y, x), ``filters`` with the name of every plane, ``psfs``
(band, k, k) and ``catalog`` with the columns ``x`` and ``y`` [pixel]; ``mask`` and ``variance`` may
be there. Every row of the catalogue becomes a stamp, and the objects of a scene share a group, for
they share its sky. Options of the card (``files.options``):

``width``
    Width of the stamps [pixel].
``filters``
    What each band is called in the file; by default the last word of its name.
``exclude``
    File name patterns to leave out.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.results import Rejection
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cutouts import cut
from simreal.data._files import FoundFile
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._numpy_files import load_npz
from simreal.data._open_files import kept_open
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, bad_pixels, file_names_of
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import files_of, own_id

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = (".npz",)
OPTIONS = ("exclude", "filters", "width")

Scene = Mapping[str, AnyArray]
Opened = Callable[[FoundFile], Scene]


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Cut the objects of scenes into the file `store`.

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
    width = card.files.options.get("width")
    if not isinstance(width, int) or width < 1:
        raise UsageError(
            f"{card.name}: files.options.width: got {width!r}, allowed is a number of pixels"
        )
    files, notes = files_of(card, SUFFIXES)
    with kept_open(_scene, limit=8) as get:
        sources: list[Source] = []
        rejected: list[Rejection] = []
        for file in files:
            stem = own_id(file, SUFFIXES)
            try:
                catalogue = get(file)["catalog"]
            except BadFileError as error:
                rejected.append(object_rejection(card, Source(id=stem, file=file), error))
                continue
            sources += [
                Source(id=f"{stem}-{row}", file=file, size=(width, width), row=row)
                for row in range(len(catalogue))
            ]
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, get(source.file), width),
            rejected=rejected,
            notes=notes,
        )


@contextmanager
def _scene(file: FoundFile) -> Iterator[Scene]:
    scene = load_npz(file)
    missing = [key for key in ("images", "filters", "catalog") if key not in scene]
    if missing:
        raise BadFileError(
            "E_KEY",
            f"has the arrays {', '.join(sorted(scene))}, allowed is {missing[0]!r} among them; "
            "save it with the scene",
        )
    images, names = scene["images"], scene["catalog"].dtype.names or ()
    if images.ndim != 3 or images.dtype.kind not in "fiu" or len(scene["filters"]) != len(images):
        raise BadFileError(
            "E_BANDS",
            f"got images of shape {images.shape} and {scene['filters'].size} filters, allowed are "
            "(band, y, x) and one filter for each band",
        )
    if not {"x", "y"} <= set(names):
        raise BadFileError(
            "E_KEY", f"has a catalogue with {', '.join(names) or 'no columns'}, allowed are x and y"
        )
    for key in ("mask", "variance"):
        if key in scene and scene[key].shape != images.shape:
            raise BadFileError(
                "E_SIZE",
                f"got a {key} of shape {scene[key].shape}, allowed is {images.shape} as the images",
            )
    yield scene


def _load(card: Card, source: Source, scene: Scene, width: int) -> Frames:
    calibration, row = calibration_of(card), source.row or 0
    y, x = (float(scene["catalog"][axis][row]) for axis in ("y", "x"))
    if not np.isfinite([y, x]).all():
        raise BadFileError(
            "E_MISSING", f"row {row} of the catalogue has x, y = {x}, {y}; correct it"
        )
    names = [str(name).lower() for name in scene["filters"].tolist()]
    flags, variance, psfs = (scene.get(key) for key in ("mask", "variance", "psfs"))
    parts = {}
    for band, name in file_names_of(card, short=True).items():
        if name.lower() not in names:
            continue
        i = names.index(name.lower())
        pixels = np.array(scene["images"][i], dtype=np.float32)
        bad = None if flags is None else bad_pixels(calibration, flags[i])
        if bad is not None:
            pixels[bad] = np.nan
        parts[band] = Part(
            pixels=cut(pixels, y, x, width),
            psf=None if psfs is None else psfs[i],
            noise=None if variance is None else float(np.sqrt(np.median(variance[i]))),
        )
    properties = {
        name: float(scene["catalog"][name][row])
        for name in scene["catalog"].dtype.names or ()
        if scene["catalog"][name].dtype.kind in "fiu"
    }
    return assembled(card, parts, properties=properties, group=own_id(source.file, SUFFIXES))
