"""What a match does: frame, cuts, sample size and the limits it must keep."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal

from simreal.core.errors import UsageError, did_you_mean

Side = Literal["sim", "obs"]
Method = Literal["strata", "nearest"]
FrameChoice = Literal["auto", "angular", "physical", "radius"]
FRAME_CHOICES: tuple[FrameChoice, ...] = ("auto", "angular", "physical", "radius")

_CUT = re.compile(
    r"^(?:(?P<side>[a-z]+):)?(?P<name>[A-Za-z_][\w-]*)=(?P<low>[^:]*):(?P<high>[^:]*)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Keep the images whose `property` lies in [low, high], on one side or on both.

    Raises
    ------
    UsageError
        If the interval is reversed or not a number.
    """

    side: Side | None = None
    property: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise UsageError(
                f"--select {self.property}: got {self.low}:{self.high}, allowed is LO:HI with "
                "LO not above HI (leave one empty for no limit)"
            )

    def __str__(self) -> str:
        prefix = f"{self.side}:" if self.side else ""
        return f"{prefix}{self.property}={self.low:g}:{self.high:g}"

    @classmethod
    def parse(cls, text: str) -> "Cut":
        """Return the cut that `text` spells as ``[sim:|obs:]PROPERTY=LO:HI``.

        Examples
        --------
        >>> str(Cut.parse("obs:axis_ratio=0.7:"))
        'obs:axis_ratio=0.7:inf'
        """
        found = _CUT.match(text.strip())
        if found is None:
            raise UsageError(
                f"--select: got {text!r}, allowed is [sim:|obs:]PROPERTY=LO:HI, such as "
                "obs:axis_ratio=0.7:1.0"
            )
        named = found["side"]
        if named not in (None, "sim", "obs"):
            raise UsageError(
                f"--select: unknown side {named!r}: {did_you_mean(named, ['sim', 'obs'])}"
            )
        side: Side | None = None if named is None else "sim" if named == "sim" else "obs"
        return cls(
            side=side,
            property=found["name"],
            low=_number(text, found["low"], float("-inf")),
            high=_number(text, found["high"], float("inf")),
        )


def _number(text: str, part: str, empty: float) -> float:
    if not part.strip():
        return empty
    try:
        return float(part)
    except ValueError:
        raise UsageError(f"--select: got {text!r}, where {part!r} is not a number") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How two sets are brought to the same footing.

    Parameters
    ----------
    frame : {"auto", "angular", "physical", "radius"}
        ``auto`` is angular where both pixel scales are known, else radius.
    frame_width : float or None
        Full width in arcsec, kpc or half-light radii; None for the widest frame that each
        side can fill while losing at most `loss_limit`, up to `widest_radius_frame` radii.
    stamp : int
        Side of the matched stamps [pixel].
    cuts : tuple of Cut
    n : int or None
        Groups per side. The observed side keeps twice as many, so that the comparison and
        its floor are both made at n; None keeps everything.
    jpeg_quality : int
        Of the last re-encoding, the same on both sides.
    donor_fraction : float
        Share of the observed groups that give their sky and are not scored, where the
        simulated side is idealised.
    loss_limit : float
        Share of the images of either side that the automatic frame may leave out.
    widest_radius_frame : float
        [half-light radii] Wider frames hold more sky and fewer pixels per galaxy, and leave
        no galaxy-free corner to take a donor's sky from.
    redshift : float or None
        Calibrated images that are near by are placed there; None to draw from the other side.
    band_tolerance : float
        Largest relative difference of pivot wavelengths of two bands that count as one.
    allow_bands : bool
        Hold the nearest bands against each other where none is close enough.
    match_on : tuple of str
        Properties or measured shapes with tolerances, such as ``"stellar_mass=0.2dex"``, in which
        every object must have a counterpart on the other side.
    match_method : {"strata", "nearest"}
    match_force : bool
        Go on where too few effective objects are left.
    """

    frame: FrameChoice = "auto"
    frame_width: float | None = None
    stamp: int = 64
    cuts: tuple[Cut, ...] = ()
    n: int | None = None
    jpeg_quality: int = 90
    donor_fraction: float = 0.4
    loss_limit: float = 0.02
    widest_radius_frame: float = 6.0
    redshift: float | None = None
    band_tolerance: float = 0.05
    allow_bands: bool = False
    match_on: tuple[str, ...] = ()
    match_method: Method = "strata"
    match_force: bool = False

    def __post_init__(self) -> None:
        if self.frame not in FRAME_CHOICES:
            raise UsageError(
                f"--frame: unknown frame {self.frame!r}: {did_you_mean(self.frame, FRAME_CHOICES)}"
            )
        _between("frame_width", self.frame_width, 0.0, float("inf"))
        _between("n", self.n, 1, float("inf"))
        _between("stamp", self.stamp, 16, 512)
        _between("jpeg_quality", self.jpeg_quality, 50, 100)
        _between("donor_fraction", self.donor_fraction, 0.05, 0.8)
        _between("redshift", self.redshift, 0.0, 20.0)
        _between("band_tolerance", self.band_tolerance, 0.0, 1.0)
        _between("loss_limit", self.loss_limit, 0.0, 0.5)

    def replace(self, **changes: Any) -> "Recipe":
        """Return a checked copy with `changes`."""
        return dataclasses.replace(self, **changes)


def _between(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (low <= value <= high and value > 0):
        raise UsageError(f"matching {name}: got {value}, allowed is {low:g} to {high:g}, above 0")
