"""Wrap rendered stamps as sets: setup per image, measured columns, history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.images import ArraySource, ImageSet, Setup, Step
from simreal.match.frame import CommonFrame
from simreal.match.sides import Party

if TYPE_CHECKING:
    from astropy.table import QTable

    from simreal.match.donors import SkyLibrary

#: PSF widths are believed where at least this share of the frames shows a star.
FRAMES_WITH_STARS = 0.3

#: Columns added to the properties, with the attribute of `Measured` and the unit of each.
COLUMNS: Sequence[tuple[str, str, str]] = (
    ("measured_radius", "radius", "pixel"),
    ("measured_axis_ratio", "axis_ratio", ""),
    ("measured_concentration", "concentration", ""),
    ("measured_neighbours", "neighbours", ""),
    ("measured_flux", "flux", ""),
    ("measured_sky_rms", "luminance_rms", ""),
    ("measured_psf_fwhm", "psf_fwhm", "pixel"),
)


def stamp_psf(party: Party, frame: CommonFrame, *, scale: Float64Array, stamp: int) -> Float64Array:
    """Return each image's PSF width on the matched stamps [stamp pixel], NaN where unknown."""
    return np.asarray(party.measured.psf_fwhm * scale * stamp / frame.width)


def knows_psf(party: Party) -> bool:
    """Return whether the PSF widths are known or measured in enough frames to be believed."""
    if party.images.setup.psf_fwhm is not None:
        return True
    return float((party.measured.stars > 0).mean()) >= FRAMES_WITH_STARS


def matched_setup(
    party: Party,
    frame: CommonFrame,
    *,
    psf: Float64Array | None,
    noise: Float64Array | None,
    stamp: int,
    survey: bool,
) -> Setup:
    """Return the setup that the matched stamps truly have.

    Parameters
    ----------
    psf : array (n,) or None
        [stamp pixel]; None where unknown.
    noise : array (n, band) or None
        Sky rms of the matched stamps.
    stamp : int
        Side of the stamps [pixel].
    survey : bool
        Whether they carry a telescope's PSF and sky by now.
    """
    bands = len(party.images.setup.bands)
    widths = None if psf is None else np.repeat(psf[:, None], bands, axis=1)
    return party.images.setup.replace(
        frame=frame.kind,
        frame_width=frame.width,
        pixel_scale=frame.width / stamp if frame.kind == "angular" else None,
        psf=None,
        psf_fwhm=widths,
        noise=noise,
        rendition="survey" if survey else party.images.setup.rendition,
    )


def with_measurements(party: Party) -> "QTable":
    """Return the properties with the measured shapes beside them."""
    from astropy import units
    from astropy.table import Column, QTable

    table = party.images.properties
    out = QTable() if table is None else table.copy()
    for name, attribute, unit in COLUMNS:
        values = np.asarray(getattr(party.measured, attribute), dtype=np.float64)
        out[name] = values * units.Unit(unit) if unit else Column(values)
    return out


def matched_set(
    party: Party, stamps: Float32Array, setup: Setup, *, steps: Sequence[Step]
) -> ImageSet:
    """Return the matched stamps as a set in memory."""
    return ImageSet(
        name=party.images.name,
        role=party.images.role,
        sampling=party.images.sampling,
        images=stamps,  # type: ignore[arg-type]
        ids=party.images.ids,
        groups=party.images.groups,
        setup=setup,
        properties=with_measurements(party),
        history=(*party.images.history, *steps),
    )


def sky_set(stamps: ImageSet, library: "SkyLibrary | None") -> ImageSet | None:
    """Return the empty sky of a matched set as a set of its own, or None where there is none."""
    if library is None or len(library.rows) == 0:
        return None
    return stamps.rows(library.rows).replace(
        name=f"{stamps.name} sky", images=ArraySource(library.stamps), history=stamps.history
    )
