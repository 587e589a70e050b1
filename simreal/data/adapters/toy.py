"""The toy universe: galaxies rendered on the spot with GalSim, with planted defects."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray
from simreal.core.cards import Calibration, Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import Setup, Step, Track
from simreal.core.seeding import stream
from simreal.data._contract import AdapterMeta, Ingested, setup_of
from simreal.data.store import Description, StoreWriter
from simreal.data.toy_universe.observe import (
    DISPLAY,
    ELECTRONS,
    NANOMAGGY,
    add_noise,
    display,
    display_noise,
    flux,
    flux_noise,
)
from simreal.data.toy_universe.options import (
    BANDS,
    FLUX_BANDS,
    Camera,
    ToyOptions,
    parse_camera,
    parse_options,
)
from simreal.data.toy_universe.population import Galaxy, draw_population
from simreal.data.toy_universe.render import render
from simreal.data.toy_universe.sight import Sight, apparent_axis_ratio, draw_sight, sight_stream

if TYPE_CHECKING:
    from astropy.table import QTable

META = AdapterMeta(synthetic=True, version=2)

_BLOCK = 32
#: [pixel] FWHM of a Gaussian with the variance of a square pixel.
PIXEL_FWHM = float(np.sqrt(8 * np.log(2) / 12))


def read(card: Card, *, seed: int, store: Path) -> Ingested:
    """Render the collection of `card` under `seed` into the file `store`.

    Raises
    ------
    UsageError
        If the card asks for something the toy universe does not have.
    """
    options, _ = _checked(card)
    galaxies = draw_population(options, name=options.stream or card.name, seed=seed)
    sights: list[Sight] = []
    with StoreWriter(store, dtype="uint8" if card.track == "rgb" else "float32") as writer:
        for block, seen in rendered(card, galaxies, seed=seed):
            writer.append(block)
            sights += seen
        return Ingested(images=writer.finish(_describe(card, galaxies, sights, seed=seed)))


def rendered(
    card: Card, galaxies: list[Galaxy], *, seed: int
) -> Iterator[tuple[AnyArray, list[Sight]]]:
    """Yield blocks of images ``(k, band, y, x)`` and how each was seen, view by view.

    8-bit composites on the rgb track, nJy per pixel on the flux track: the same galaxies under
    the same noise.
    """
    options, camera = _checked(card)
    name = options.stream or card.name
    order = [(i, view) for i in range(len(galaxies)) for view in range(options.views)]
    shape = (len(BANDS), camera.stamp, camera.stamp)
    for start in range(0, len(order), _BLOCK):
        sights, clean, white = [], [], []
        for i, view in order[start : start + _BLOCK]:
            rng = sight_stream(seed, name, i, view)
            sight = draw_sight(options, camera, geometry=card.view.geometry, rng=rng)
            clean.append(
                render(galaxies[i], sight, camera, psf=options.psf,
                       colour_offset=options.colour_offset)
            )  # fmt: skip
            white.append(rng.standard_normal(shape, dtype=np.float32))
            sights.append(sight)
        observed = add_noise(
            np.stack(clean),
            np.stack(white),
            sky_rms=np.array([sight.sky_rms for sight in sights]),
            correlation=options.noise_correlation,
        )
        if card.track == "flux":
            yield flux(observed), sights
        else:
            yield display(observed / np.float32(camera.pixel_scale**2)), sights


def in_track(card: Card, track: Track) -> Card:
    """Return the card of the same galaxies as calibrated images, or as display composites.

    Raises
    ------
    UsageError
        If the toy universe does not have that track.
    """
    if track == card.track:
        return card
    if card.view.pixel_scale is None or track != "flux":
        raise UsageError(f"{card.name}: got track {track!r}, allowed are 'rgb' and 'flux'")
    idealised = card.view.rendition == "idealised"
    return card.model_copy(
        update={
            "track": "flux",
            "title": f"{card.title}, calibrated",
            "view": card.view.model_copy(
                update={
                    "bands": FLUX_BANDS,
                    "unit": "nJy / pix",
                    "display": "linear",
                    "note": "no PSF, no noise" if idealised else "Moffat seeing, correlated sky",
                }
            ),
            "calibration": Calibration(
                unit="nJy",
                pixel_scale=card.view.pixel_scale,
                mask="none",
                already_dimmed=True,
            ),
        }
    )


def _checked(card: Card) -> tuple[ToyOptions, Camera]:
    options = parse_options(card.files.options)
    if card.view.views_per_object != options.views:
        raise UsageError(
            f"{card.name}: view.views_per_object is {card.view.views_per_object} and the option "
            f"'views' is {options.views}; make them equal"
        )
    if (card.track, card.view.display) not in (("rgb", DISPLAY), ("flux", "linear")):
        raise UsageError(
            f"{card.name}: got track {card.track!r} and display {card.view.display!r}, allowed "
            f"are 'rgb' and {DISPLAY!r}, or 'flux' and 'linear'"
        )
    _check_columns(card)
    return options, parse_camera(card.view)


def _check_columns(card: Card) -> None:
    for name, column in card.properties.items():
        if column.column not in _COLUMNS:
            raise UsageError(
                f"{card.name}: properties.{name}: unknown column {column.column!r}: "
                f"{did_you_mean(column.column, _COLUMNS)}"
            )
        if column.unit != _COLUMNS[column.column].unit:
            raise UsageError(
                f"{card.name}: properties.{name}: unit is {column.unit!r}, allowed is "
                f"{_COLUMNS[column.column].unit!r}"
            )


def _describe(card: Card, galaxies: list[Galaxy], sights: list[Sight], *, seed: int) -> Description:
    options, camera = _checked(card)
    name = options.stream or card.name
    of_view = np.repeat(np.arange(len(galaxies)), options.views)
    groups = np.array([f"{card.name}-{i:05d}" for i in of_view])
    views = np.tile(np.arange(options.views), len(galaxies))
    missing = stream(seed, "toy", name, "missing sfr").random(len(galaxies)) < options.missing_sfr
    return Description(
        name=card.name,
        role=card.role,
        sampling=card.sampling,
        ids=np.array([f"{group}-v{view}" for group, view in zip(groups, views, strict=True)]),
        groups=groups,
        setup=_setup(card, camera, sights),
        properties=_properties(
            card, [galaxies[i] for i in of_view], sights, missing_sfr=missing[of_view]
        ),
        history=(_step(options, galaxies, sights),),
    )


def _setup(card: Card, camera: Camera, sights: list[Sight]) -> Setup:
    """Return the conditions of every image, as a survey's pipeline would report them."""
    seeing = np.array([sight.seeing for sight in sights]) / camera.pixel_scale
    sky_rms = np.array([sight.sky_rms for sight in sights])
    seen = setup_of(card).replace(psf_fwhm=np.repeat(seeing[:, None], len(BANDS), axis=1))
    if card.track == "flux":
        # Of the images as recorded: a star shows the seeing and the pixel.
        width = np.hypot(seeing, PIXEL_FWHM)
        return seen.replace(
            psf_fwhm=np.repeat(width[:, None], len(BANDS), axis=1),
            unit="nJy / pix",
            noise=flux_noise(sky_rms),
            gain=np.full(len(BANDS), ELECTRONS / NANOMAGGY),
        )
    return seen.replace(noise=display_noise(sky_rms / camera.pixel_scale**2))


def _step(options: ToyOptions, galaxies: list[Galaxy], sights: list[Sight]) -> Step:
    defects = (
        f"missing class {options.missing_class or 'none'}, sizes x {options.size_factor:g}, "
        f"colour {options.colour_offset:+g} mag"
    )
    numbers: dict[str, float | str | None] = {
        "galaxies": len(galaxies),
        "images": len(sights),
        "seeing [arcsec]": float(np.median([sight.seeing for sight in sights])),
        "sky rms [nanomaggy / pixel]": float(np.median([sight.sky_rms for sight in sights])),
    }
    return Step(name="render", after=numbers, note=f"toy universe; planted defects: {defects}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    unit: str
    of: Callable[[Galaxy, Sight], float | str]


_COLUMNS: Mapping[str, _Column] = {
    "stellar_mass": _Column(unit="Msun", of=lambda galaxy, _: 10.0**galaxy.log_mass),
    "sfr": _Column(unit="Msun / yr", of=lambda galaxy, _: 10.0**galaxy.log_sfr),
    "half_light_radius": _Column(unit="arcsec", of=lambda galaxy, _: galaxy.radius),
    "bulge_to_total": _Column(unit="", of=lambda galaxy, _: galaxy.bulge_to_total),
    "r_magnitude": _Column(unit="mag", of=lambda galaxy, _: galaxy.magnitude),
    "redshift": _Column(unit="", of=lambda galaxy, _: galaxy.redshift),
    "morphology_class": _Column(unit="", of=lambda galaxy, _: galaxy.morphology),
    "inclination": _Column(unit="deg", of=lambda _, sight: float(np.rad2deg(sight.inclination))),
    "axis_ratio": _Column(
        unit="",
        of=lambda galaxy, sight: apparent_axis_ratio(galaxy.thickness, sight.inclination),
    ),
    "seeing": _Column(unit="arcsec", of=lambda _, sight: sight.seeing),
}


def _properties(
    card: Card, galaxies: list[Galaxy], sights: list[Sight], *, missing_sfr: BoolArray
) -> "QTable":
    from astropy.table import MaskedColumn, QTable
    from astropy.units import Unit
    from astropy.utils.masked import Masked

    table = QTable()
    for name, wanted in card.properties.items():
        column = _COLUMNS[wanted.column]
        values = np.array([column.of(g, s) for g, s in zip(galaxies, sights, strict=True)])
        masked = missing_sfr if wanted.column == "sfr" else np.zeros(len(values), bool)
        if column.unit:
            quantity = values * Unit(column.unit)
            table[name] = Masked(quantity, mask=masked) if masked.any() else quantity
        else:
            table[name] = MaskedColumn(values) if masked.any() else values
    return table
