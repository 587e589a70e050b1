"""One FITS file per band and object: found by a template of paths, read with all its roles.

What is shared by the formats that keep bands apart: stamps, HSC cutouts, Pan-STARRS stacks, frames.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.results import Rejection
from simreal.data._files import FoundFile, existing_folder, found_files
from simreal.data._fits import Hdus, flag_plane, opened_fits, peek_size
from simreal.data._frames import Frames, Source, object_rejection
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, file_names_of, image_of, in_file
from simreal.data._quarantine import BadFileError, normal, shown

ROLES = ("mask", "variance", "psf")


def find_sources(
    card: Card, *, short: bool = False
) -> tuple[list[Source], list[Rejection], list[str]]:
    """Return the objects whose files are all there, the others as rejections, and notes."""
    folder = existing_folder(card)
    exclude = tuple(str(each) for each in card.files.options.get("exclude", ()))
    files = found_files(folder, card.files.pattern, exclude)
    bands = file_names_of(card, short=short)
    _check_mask_is_named(card)
    of_role = {role: _by_object(card, f"{role}_path", files, bands) for role in ROLES}
    images = _by_object(card, "path", files, bands)
    objects = [by_band for kind in (images, *of_role.values()) for by_band in kind.values()]
    used = {file.path for by_band in objects for file in by_band.values()}
    others = [file.name for file in files if file.path not in used]
    notes = []
    if others:
        notes.append(
            f"{len(others)} files do not fit files.options.path and were not read (first: "
            f"{shown(others[0])})"
        )
    sources, rejected = [], []
    for name, found in images.items():
        first = found[next(band for band in bands if band in found)]
        also = {**found}
        for role, kind in of_role.items():
            also.update({f"{role} {band}": file for band, file in kind.get(name, {}).items()})
        size = peek_size(first.path) if card.files.options.get("hdu") is None else None
        source = Source(id=name, file=first, size=size, also=also)
        try:
            _check_whole(card, source, bands)
            sources.append(source)
        except BadFileError as error:
            rejected.append(object_rejection(card, source, error))
    return sources, rejected, notes


def _check_mask_is_named(card: Card) -> None:
    named = {"mask_hdu", "mask_path", "mask_planes"} & set(card.files.options)
    if calibration_of(card).mask != "none" and not named:
        raise UsageError(
            f"{card.name}: calibration.mask is {calibration_of(card).mask!r}, but no file or HDU "
            "with a mask is named; set files.options.mask_path or mask_hdu, or mask = 'none'"
        )


def load(card: Card, source: Source) -> Frames:
    """Return the images of one object in all bands."""
    return assembled(card, {band: part_of(card, source, band) for band in card.view.bands})


def part_of(card: Card, source: Source, band: str) -> Part:
    """Return one band of an object with its mask, variance and PSF."""
    file, options = source.also[band], card.files.options
    with in_file(file, of=source.file), opened_fits(file) as hdus:
        pixels, header = image_of(hdus, options.get("hdu"), band=band)
    return Part(
        pixels=pixels,
        header=header,
        where=where_of(file, source),
        flags=_from(card, source, band, "mask", _flags),
        variance=_from(card, source, band, "variance", lambda h, u: image_of(h, u, band=band)[0]),
        psf=_from(card, source, band, "psf", lambda h, u: image_of(h, u, band=band)[0]),
    )


def where_of(file: FoundFile, source: Source) -> str:
    """Return the name of a further file of an object, or ``""`` of the one errors name anyway."""
    return "" if file.path == source.file.path else shown(file.name)


def _flags(hdus: Hdus, hdu: int | str | None) -> AnyArray:
    return flag_plane(hdus, hdus.only_image().index if hdu is None else hdu)[0]


def _from(
    card: Card,
    source: Source,
    band: str,
    role: str,
    read: Callable[[Hdus, int | str | None], AnyArray],
) -> AnyArray | None:
    where = _role(card, source, band, role)
    if where is None:
        return None
    with in_file(where[0], of=source.file), opened_fits(where[0]) as hdus:
        return read(hdus, where[1])


def _role(
    card: Card, source: Source, band: str, role: str
) -> tuple[FoundFile, int | str | None] | None:
    """Return where the mask, variance or PSF of a band is, or None where the card names none."""
    own, hdu = source.also.get(f"{role} {band}"), card.files.options.get(f"{role}_hdu")
    if own is not None:
        return own, hdu
    return None if hdu is None else (source.also[band], hdu)


def _check_whole(card: Card, source: Source, bands: Mapping[str, str]) -> None:
    roles = [role for role in ROLES if f"{role}_path" in card.files.options]
    missing = [f"image in {band}" for band in bands if band not in source.also]
    missing += [
        f"{role} in {band}"
        for role in roles
        for band in bands
        if f"{role} {band}" not in source.also
    ]
    if missing:
        raise BadFileError(
            "E_BANDS",
            f"has no {', no '.join(missing)}, allowed is one for each band of the card; fetch it "
            "or take the band out of view.bands",
        )


def _by_object(
    card: Card, option: str, files: Sequence[FoundFile], bands: Mapping[str, str]
) -> dict[str, dict[str, FoundFile]]:
    """Return ``{id: {band: file}}`` by a template of paths."""
    template = card.files.options.get(option)
    if template is None:
        if option != "path":
            return {}
        raise UsageError(
            f"{card.name}: the adapter {card.files.adapter} needs files.options.path, such as "
            "'{filter}/stamp_{filter}_{id}.fits'"
        )
    pattern = _compiled(card, option, str(template), bands)
    band_of = {name: band for band, name in bands.items()}
    found: dict[str, dict[str, FoundFile]] = {}
    for file in files:
        match = pattern.fullmatch(normal(file.name))
        if match:
            called = match.groupdict().get("filter", next(iter(band_of)))
            found.setdefault(match["id"], {})[band_of[called]] = file
    return found


def _compiled(card: Card, option: str, template: str, bands: Mapping[str, str]) -> re.Pattern[str]:
    if "{id}" not in template or ("{filter}" not in template and len(bands) > 1):
        raise UsageError(
            f"{card.name}: files.options.{option}: got {template!r}, allowed is a path with {{id}} "
            "and, for more than one band, {filter}"
        )
    names = "|".join(re.escape(name) for name in sorted(bands.values(), key=len, reverse=True))
    text = re.escape(normal(template))
    for place, group in ((r"\{id\}", "[^/]+?"), (r"\{filter\}", names)):
        name = place.strip("\\{}")
        text = text.replace(place, f"(?P<{name}>{group})", 1).replace(place, f"(?P={name})")
    return re.compile(text)
