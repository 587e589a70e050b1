"""Cards: one TOML file says everything about an image collection.

A card is looked for beside the package (a checkout), inside it (an installed wheel) and
wherever the user points. Its files are looked for in `data_folder`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import ObjectKind, Rendition, Role, Sampling, Track

Geometry = Literal["face-on", "edge-on", "random", "sky"]
FieldUnit = Literal["kpc", "arcsec", "petrosian radius", "unknown"]
ScaleUnit = Literal["arcsec", "kpc"]
MaskMeaning = Literal["bad", "good", "bits", "none"]

_PACKAGE = Path(__file__).resolve().parent.parent


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Files(_Strict):
    """Which adapter reads the collection, and what it reads.

    ``folder`` and ``table`` are relative to the data folder; ``options`` go to the adapter
    as they are. A synthetic adapter has no folder.
    """

    adapter: str
    folder: str | None = None
    pattern: str = "*"
    size: tuple[int, int] | None = Field(default=None, description="(height, width) in pixels")
    table: str | None = None
    join: str | None = Field(default=None, description="table column with the file name or id")
    group: str | None = Field(default=None, description="table column with the resampling unit")
    options: Mapping[str, Any] = Field(default_factory=dict)


class View(_Strict):
    """How the objects were seen."""

    geometry: Geometry
    views_per_object: Annotated[int, Field(ge=1)] = 1
    bands: tuple[str, ...]
    unit: str = "display"
    display: str = "unknown"
    rendition: Rendition = "survey"
    field_of_view: Annotated[float, Field(gt=0)] | None = None
    field_of_view_unit: FieldUnit = "unknown"
    pixel_scale: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="[arcsec / pixel]; absent where it varies or is unknown"
    )
    survey: str | None = Field(
        default=None, description="observing conditions in catalogues/surveys that hold for it"
    )
    note: str = ""

    @model_validator(mode="after")
    def _field_has_unit(self) -> "View":
        if (self.field_of_view is None) != (self.field_of_view_unit == "unknown"):
            raise ValueError("field_of_view and field_of_view_unit go together")
        return self


class Calibration(_Strict):
    """What the pixels of calibrated images mean; nothing of it is ever guessed.

    Parameters
    ----------
    unit : str
        What the pixels are, such as ``"nanomaggy"``, or ``"header"`` to believe the files.
    zero_point : float or None
        AB magnitude of one unit, for units that need one.
    zero_point_source : str
        Where the zero point comes from.
    pixel_scale : float or None
        Side of a pixel in `pixel_scale_unit`.
    pixel_scale_unit : {"arcsec", "kpc"}
        Angular on the sky, or physical at the object.
    pixel_scale_from : str
        ``"card"``, ``"wcs"``, ``"header KEY"``, ``"FOVARC / NAXIS1"`` or ``"adapter"`` where the
        format itself defines it.
    mask : {"bad", "good", "bits", "none"}
        What a pixel of the mask that is not zero means; ``"bits"`` reads `mask_bits`.
    mask_bits : tuple of int
        Bits of a flag plane that make a pixel unusable.
    already_dimmed : bool
        Whether the pixels show the object as at its redshift; otherwise as near by, to be placed.
    redshift : float or None
        Of the light, where the files do not say.
    distance : float or None
        [Mpc] Of the instrument, where the files do not say and nothing is dimmed yet.
    """

    unit: str
    zero_point: float | None = None
    zero_point_source: str = ""
    pixel_scale: Annotated[float, Field(gt=0)] | None = None
    pixel_scale_unit: ScaleUnit = "arcsec"
    pixel_scale_from: str = "card"
    mask: MaskMeaning
    mask_bits: tuple[Annotated[int, Field(ge=0, le=63)], ...] = ()
    already_dimmed: bool
    redshift: Annotated[float, Field(ge=0)] | None = None
    distance: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Calibration":
        if (self.zero_point is None) != (not self.zero_point_source):
            raise ValueError("zero_point and zero_point_source go together")
        if (self.pixel_scale is not None) != (self.pixel_scale_from == "card"):
            raise ValueError(
                "pixel_scale goes with pixel_scale_from = 'card' and nothing else; give the number "
                "or say where it stands ('wcs', 'header KEY', 'FOVARC / NAXIS1', 'adapter')"
            )
        known = ("card", "wcs", "FOVARC / NAXIS1", "adapter")
        if self.pixel_scale_from not in known and not self.pixel_scale_from.startswith("header "):
            raise ValueError(
                f"pixel_scale_from: got {self.pixel_scale_from!r}, allowed: {', '.join(known)}, "
                "'header KEY'"
            )
        if (self.mask == "bits") != bool(self.mask_bits):
            raise ValueError("mask = 'bits' and mask_bits go together")
        return self


class PropertyColumn(_Strict):
    """One property: the table column it comes from, its unit and its meaning."""

    column: str
    unit: str = Field(description="astropy unit string; '' for dimensionless or text")
    description: str
    required: bool = False
    kind: Literal["number", "text"] = "number"


class Credit(_Strict):
    """Whom to cite, under which licence, and where the files come from."""

    citation: tuple[str, ...]
    licence: str
    acknowledgement: str = ""
    fetch: str = Field(description="one sentence: where and how to get the files")


class Card(_Strict):
    """A card as parsed: what an image collection is and how to read it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    role: Role
    track: Track
    object_kind: ObjectKind = "galaxy"
    sampling: Sampling
    sampling_note: str
    files: Files
    view: View
    calibration: Calibration | None = None
    properties: Mapping[str, PropertyColumn] = Field(default_factory=dict)
    credit: Credit
    superseded_by: str | None = None

    @model_validator(mode="after")
    def _calibrated(self) -> "Card":
        if (self.track == "flux") != (self.calibration is not None):
            raise ValueError(
                "track 'flux' needs the table [calibration], and no other track has one; state "
                "unit, pixel scale, mask and already_dimmed there"
            )
        return self

    def folder(self) -> Path | None:
        """Return the folder of the collection's files, or None for a synthetic one."""
        return None if self.files.folder is None else data_folder() / self.files.folder

    def table(self) -> Path | None:
        """Return the table of the collection, or None where it has none."""
        return None if self.files.table is None else data_folder() / self.files.table


def data_folder() -> Path:
    """Return where collections are looked for: ``SIMREAL_DATA`` or the user's data folder."""
    named = os.environ.get("SIMREAL_DATA")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("simreal", appauthor=False))


def catalogue_folder() -> Path:
    """Return the folder of the shipped cards, in a checkout or in an installed wheel."""
    for folder in (_PACKAGE / "catalogues", _PACKAGE.parent / "catalogues"):
        if (folder / "sdss.toml").is_file():
            return folder
    raise UsageError(
        f"no catalogue cards beside {_PACKAGE}; the installation is incomplete: reinstall simreal"
    )


def catalogue_names() -> tuple[str, ...]:
    """Return the names of the shipped cards."""
    return tuple(sorted(path.stem for path in catalogue_folder().glob("*.toml")))


def read_card(path: Path) -> Card:
    """Parse and check one card.

    Raises
    ------
    UsageError
        One line that names the file, the key, what was got and what is allowed.
    """
    try:
        with open(path, "rb") as handle:
            content = tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such card; 'simreal list catalogues' names them") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML card ({error})") from None
    try:
        return Card.model_validate(content, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        got = first.get("input")
        hint = f", got {got!r}" if not isinstance(got, Mapping) else ""
        raise UsageError(f"{path}: key '{key}': {first['msg']}{hint}") from None


def load_card(name: str) -> Card:
    """Return the card called `name`: a shipped catalogue or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is neither, with the nearest name.

    Examples
    --------
    >>> load_card("sdss").role
    'observed'
    """
    if name.endswith(".toml"):
        return read_card(Path(name).expanduser())
    names = catalogue_names()
    if name not in names:
        raise UsageError(f"unknown catalogue {name!r}: {did_you_mean(name, names)}")
    return read_card(catalogue_folder() / f"{name}.toml")
