"""Objects detected in large images and cut out of them.

On the flux track an image is a FITS mosaic per band, all on one pixel grid; on the rgb track it is
one display composite (PNG, JPEG or TIFF), such as the Hubble Deep Field. Objects are found with sep
(Barbary 2016, JOSS 1, 58; Bertin & Arnouts 1996) above a modelled background; the pixels that are
cut out are those of the file, background and all. Options of the card (``files.options``):

``width``
    Width of the stamps [pixel]. An object whose stamp would leave the image is left out.
``path``, ``filters``
    Flux: template of the mosaics' path as for the adapter fits_stamps, ``{id}`` being the field.
``detect``
    Flux: the band to detect in; by default the first of the card.
``snr``, ``min_area``
    Detection: threshold per pixel in units of the background's scatter (5), and the smallest number
    of connected pixels (10).
``tile``
    Objects in one tile of this width [pixel] share a group, for they share sky and may overlap; by
    default four stamps wide.
``hdu``, ``missing_value``, ``zero_points``, ``exclude``
    As for fits_stamps.

Whether an object is a star, an artefact or part of another is for the user to judge.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.images import Step
from simreal.core.results import Rejection
from simreal.data._band_files import find_sources
from simreal.data._contract import AdapterMeta, Ingested, setup_of
from simreal.data._cutouts import corner, cut, scatter
from simreal.data._decode import decode
from simreal.data._files import IMAGE_SUFFIXES, FoundFile, existing_folder
from simreal.data._fits import FITS_SUFFIXES, Header, opened_fits
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._open_files import kept_open
from simreal.data._outcome import nothing_usable
from simreal.data._planes import Part, assembled, image_of, in_file
from simreal.data._quarantine import BadFileError, opened
from simreal.data._repeats import merged_groups
from simreal.data._single_files import files_of, own_id
from simreal.data.store import Description, StoreWriter

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = (*FITS_SUFFIXES, *IMAGE_SUFFIXES)
OPTIONS = (
    "detect", "exclude", "filters", "hdu", "min_area", "missing_value", "path", "snr", "tile",
    "width", "zero_points",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How objects are found and cut: all in pixels but `snr`."""

    width: int
    tile: int
    snr: float
    min_area: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Object(Source):
    """A detected object."""

    y: float
    x: float
    group: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mosaic:
    planes: Mapping[str, tuple[Float32Array, Header]]
    noise: Mapping[str, float]


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Detect objects in large images and cut them out into the file `store`.

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
        If no object is found.
    """
    check_options(card, OPTIONS, tracks=("flux", "rgb"))
    detection = _detection(card)
    if card.track == "rgb":
        return _read_composites(card, detection, store)
    return _read_mosaics(card, detection, store)


def detected(
    image: Float32Array, detection: Detection, bad: BoolArray | None = None
) -> tuple[list[tuple[float, float]], int]:
    """Return the positions ``(y, x)`` of objects, and how many lie too near the edge.

    Parameters
    ----------
    image : array (y, x)
    detection : Detection
    bad : array of bool (y, x), optional

    Raises
    ------
    BadFileError
        ``E_DETECT`` if the image has no scatter or more objects than can be told apart.

    Examples
    --------
    >>> image = np.random.default_rng(1).normal(0, 0.01, (128, 128)).astype(np.float32)
    >>> image[60:64, 80:84] += 100
    >>> how = Detection(width=16, tile=64, snr=5.0, min_area=5)
    >>> detected(image, how)
    ([(61.5, 81.5)], 0)
    """
    import sep

    plain = np.ascontiguousarray(image, dtype=np.float32)
    try:
        background = sep.Background(plain, mask=bad)
        found = sep.extract(
            plain - background.back(), detection.snr, err=background.globalrms,
            minarea=detection.min_area, mask=bad,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - sep raises the bare class
        raise BadFileError(
            "E_DETECT", f"cannot be searched for objects ({error}); raise files.options.snr"
        ) from None
    places = sorted((round(float(o["y"]), 2), round(float(o["x"]), 2)) for o in found)
    inside = [place for place in places if _fits(image.shape, place, detection.width)]
    return inside, len(places) - len(inside)


def _fits(shape: tuple[int, ...], place: tuple[float, float], width: int) -> bool:
    starts = [corner(position, width) for position in place]
    return all(0 <= s <= side - width for s, side in zip(starts, shape, strict=True))


def _detection(card: Card) -> Detection:
    options = card.files.options
    given: dict[str, Any] = {"snr": 5.0, "min_area": 10, **options}
    for name in ("width", "snr", "min_area", "tile"):
        value = given.get(name)
        if name == "tile" and value is None:
            continue
        whole = isinstance(value, int) or (name == "snr" and isinstance(value, float))
        if isinstance(value, bool) or not whole or value <= 0:  # type: ignore[operator]
            raise UsageError(
                f"{card.name}: files.options.{name}: got {value!r}, allowed is a number above 0"
            )
    return Detection(
        width=given["width"],
        tile=given.get("tile") or 4 * given["width"],
        snr=float(given["snr"]),
        min_area=given["min_area"],
    )


def _objects(
    source: Source, places: Sequence[tuple[float, float]], detection: Detection
) -> list[_Object]:
    return [
        _Object(
            id=f"{source.id}-x{x:.0f}-y{y:.0f}",
            file=source.file,
            size=(detection.width, detection.width),
            also=source.also,
            y=y,
            x=x,
            group=f"{source.id}-tile{int(x // detection.tile)}.{int(y // detection.tile)}",
        )
        for y, x in places
    ]


def _edge_note(left_out: int) -> list[str]:
    if not left_out:
        return []
    return [f"{left_out} detected objects were left out: their stamp would leave the image"]


# ---- calibrated mosaics ----------------------------------------------------------------------


def _read_mosaics(card: Card, detection: Detection, store: Path) -> Ingested:
    band = card.files.options.get("detect", card.view.bands[0])
    if band not in card.view.bands:
        raise UsageError(
            f"{card.name}: files.options.detect: got {band!r}, allowed: "
            f"{', '.join(card.view.bands)}"
        )
    fields, rejected, notes = find_sources(card)
    by_path = {field.file.path: field for field in fields}
    left_out = 0
    objects: list[_Object] = []
    with kept_open(lambda file: _opened_field(card, by_path[file.path]), limit=1) as get:
        for field in fields:
            try:
                image = get(field.file).planes[band][0]
                places, dropped = detected(image, detection, ~np.isfinite(image))
            except BadFileError as error:
                rejected.append(object_rejection(card, field, error))
                continue
            left_out += dropped
            objects += _objects(field, places, detection)
        return read_frames(
            card,
            store=store,
            sources=objects,
            load=lambda source: _cut_out(card, source, detection, get),
            rejected=rejected,
            notes=[*notes, *_edge_note(left_out)],
        )


@contextmanager
def _opened_field(card: Card, field: Source) -> Iterator[_Mosaic]:
    planes: dict[str, tuple[Float32Array, Header]] = {}
    for band in card.view.bands:
        with in_file(field.also[band], of=field.file), opened_fits(field.also[band]) as hdus:
            planes[band] = image_of(hdus, card.files.options.get("hdu"), band=band)
    shapes = {band: pixels.shape for band, (pixels, _) in planes.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{s[0]} x {s[1]} in {band}" for band, s in shapes.items())
        raise BadFileError("E_SIZE", f"got {listed}, allowed is one pixel grid; align them first")
    missing = card.files.options.get("missing_value")
    if missing is not None:
        for pixels, _ in planes.values():
            pixels[pixels == np.float32(missing)] = np.nan
    noise = {band: scatter(pixels) for band, (pixels, _) in planes.items()}
    for band, value in noise.items():
        if not value > 0:
            raise BadFileError(
                "E_CONST",
                f"has one value in most pixels of band {band}, allowed is an image with sky; "
                "remove it",
            )
    yield _Mosaic(planes=planes, noise=noise)


def _cut_out(
    card: Card, source: Source, detection: Detection, get: Callable[[FoundFile], _Mosaic]
) -> Frames:
    assert isinstance(source, _Object)  # noqa: S101 - they are made above
    mosaic = get(source.file)
    parts = {
        band: Part(
            pixels=cut(pixels, source.y, source.x, detection.width),
            header=header,
            noise=mosaic.noise[band],
        )
        for band, (pixels, header) in mosaic.planes.items()
    }
    return assembled(card, parts, group=source.group, properties={"X": source.x, "Y": source.y})


# ---- display composites ----------------------------------------------------------------------


def _read_composites(card: Card, detection: Detection, store: Path) -> Ingested:
    files, notes = files_of(card, IMAGE_SUFFIXES)
    rejected: list[Rejection] = []
    kept: list[_Object] = []
    left_out = 0
    with StoreWriter(store, dtype="uint8") as writer:
        for file in files:
            whole = Source(id=own_id(file, IMAGE_SUFFIXES), file=file)
            try:
                pixels = _composite(card, file)
                # Light is what is searched, all colours alike.
                places, dropped = detected(pixels.mean(axis=0, dtype=np.float32), detection)
            except BadFileError as error:
                rejected.append(object_rejection(card, whole, error))
                continue
            left_out += dropped
            for each in _objects(whole, places, detection):
                writer.append(_stamp(pixels, each, detection.width)[None])
                kept.append(each)
        if not kept:
            if rejected:
                raise nothing_usable(card, existing_folder(card), rejected)
            raise UsageError(
                f"{card.name}: no object is above files.options.snr = {detection.snr:g}; lower it"
            )
        ids = [each.id for each in kept]
        groups, repeats = merged_groups(ids, [each.group for each in kept], range(len(kept)))
        said = [*notes, *_edge_note(left_out), *repeats]
        images = writer.finish(
            Description(
                name=card.name,
                role=card.role,
                sampling=card.sampling,
                ids=np.array(ids, dtype=np.str_),
                groups=groups,
                setup=setup_of(card),
                history=(
                    Step(
                        name="ingest",
                        before={"files": len(files)},
                        after={"images": len(kept), "rejected": len(rejected)},
                        note="; ".join(said),
                    ),
                ),
            )
        )
    return Ingested(images=images, rejected=tuple(rejected), notes=tuple(said))


def _composite(card: Card, file: FoundFile) -> AnyArray:
    with opened(file) as handle:
        image = decode(handle.read(), planes=len(card.view.bands))
    if image.pixels.dtype != np.uint8:
        raise BadFileError(
            "E_MODE", "has 16 bits per colour, allowed for a mosaic are 8; convert it"
        )
    return image.pixels


def _stamp(pixels: AnyArray, each: _Object, width: int) -> AnyArray:
    top, left = corner(each.y, width), corner(each.x, width)
    return pixels[:, top : top + width, left : left + width]
