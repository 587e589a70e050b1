"""Bands: where they lie, which of two surveys belong together, what a spectrum gives through them.

A band is called ``instrument-filter``, lower case: ``sdss-g``, ``nircam-f115w``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import AnyArray, Float64Array
from simreal.core.errors import UsageError, did_you_mean

#: speclite's name of the set of curves of each instrument; the tests compare its pivots with
#: those below.
SPECLITE = {
    "sdss": "sdss2010",
    "hsc": "hsc2017",
    "decam": "decamDR1",
    "des": "decam2014",
    "ps1": "panstarrs",
    "lsst": "lsst2023",
    "euclid": "Euclid",
    "bass": "BASS",
    "mzls": "MzLS",
    "megacam": "cfht_megacam",
    "galex": "galex",
    "twomass": "twomass",
    "wise": "wise2010",
}
#: What speclite calls a filter where it is not simply the last part of the name.
SPECLITE_FILTERS = {
    "euclid-vis": "VIS", "euclid-y": "Y", "euclid-j": "J", "euclid-h": "H", "decam-y": "Y",
    "des-y": "Y", "twomass-j": "J", "twomass-h": "H", "twomass-ks": "Ks", "wise-w1": "W1",
    "wise-w2": "W2", "wise-w3": "W3", "wise-w4": "W4",
}  # fmt: skip

#: [Angstrom] Pivot wavelengths, sqrt(int T dl / int T / l^2 dl) of energy curves.
PIVOTS: Mapping[str, float] = {
    # From the curves of speclite 1.0, with the atmosphere at airmass 1.2 or 1.3 as there.
    "sdss-u": 3589.3, "sdss-g": 4701.4, "sdss-r": 6177.2, "sdss-i": 7496.5, "sdss-z": 8904.2,
    "hsc-g": 4791.2, "hsc-r": 6214.0, "hsc-r2": 6212.6, "hsc-i": 7688.8, "hsc-i2": 7733.1,
    "hsc-z": 8903.1, "hsc-y": 9771.7,
    "decam-g": 4808.5, "decam-r": 6417.6, "decam-i": 7814.6, "decam-z": 9168.9,
    "decam-y": 9896.1,
    "des-u": 3856.6, "des-g": 4820.0, "des-r": 6423.0, "des-i": 7806.7, "des-z": 9158.5,
    "des-y": 9866.8,
    "ps1-g": 4849.1, "ps1-r": 6201.2, "ps1-w": 6286.0, "ps1-i": 7535.0, "ps1-z": 8674.2,
    "ps1-y": 9627.8,
    "lsst-u": 3716.5, "lsst-g": 4787.0, "lsst-r": 6207.6, "lsst-i": 7548.9, "lsst-z": 8673.8,
    "lsst-y": 9746.2,
    "euclid-vis": 7247.7, "euclid-y": 10803.3, "euclid-j": 13638.7, "euclid-h": 17680.8,
    "bass-g": 4759.3, "bass-r": 6397.2, "mzls-z": 9199.3,
    "megacam-u": 3676.1, "megacam-ustar": 3799.4, "megacam-g": 4764.0, "megacam-r": 6382.6,
    "megacam-i": 7682.9, "megacam-z": 8979.6,
    "galex-fuv": 1536.4, "galex-nuv": 2299.2,
    "twomass-j": 12355.1, "twomass-h": 16457.5, "twomass-ks": 21603.0,
    "wise-w1": 33682.2, "wise-w2": 46179.0, "wise-w3": 120727.9, "wise-w4": 221943.7,
    # JWST User Documentation, NIRCam Filters, table of pivot wavelengths.
    "nircam-f070w": 7040.0, "nircam-f090w": 9010.0, "nircam-f115w": 11540.0,
    "nircam-f140m": 14040.0, "nircam-f150w": 15010.0, "nircam-f162m": 16260.0,
    "nircam-f164n": 16440.0, "nircam-f150w2": 16710.0, "nircam-f182m": 18450.0,
    "nircam-f187n": 18740.0, "nircam-f200w": 19900.0, "nircam-f210m": 20930.0,
    "nircam-f212n": 21200.0, "nircam-f250m": 25030.0, "nircam-f277w": 27860.0,
    "nircam-f300m": 29960.0, "nircam-f322w2": 32470.0, "nircam-f323n": 32370.0,
    "nircam-f335m": 33650.0, "nircam-f356w": 35630.0, "nircam-f360m": 36210.0,
    "nircam-f405n": 40550.0, "nircam-f410m": 40920.0, "nircam-f430m": 42800.0,
    "nircam-f444w": 44210.0, "nircam-f460m": 46240.0, "nircam-f466n": 46540.0,
    "nircam-f470n": 47070.0, "nircam-f480m": 48340.0,
    # JWST User Documentation, MIRI Filters: nominal wavelengths.
    "miri-f560w": 56000.0, "miri-f770w": 77000.0, "miri-f1000w": 100000.0,
    "miri-f1130w": 113000.0, "miri-f1280w": 128000.0, "miri-f1500w": 150000.0,
    "miri-f1800w": 180000.0, "miri-f2100w": 210000.0, "miri-f2550w": 255000.0,
    # ACS and WFC3 Instrument Handbooks (STScI).
    "acs-f435w": 4329.9, "acs-f475w": 4746.9, "acs-f606w": 5921.9, "acs-f775w": 7693.5,
    "acs-f814w": 8045.5, "acs-f850lp": 9031.5,
    "wfc3-f275w": 2709.7, "wfc3-f336w": 3354.5, "wfc3-f105w": 10551.0, "wfc3-f125w": 12486.1,
    "wfc3-f140w": 13922.9, "wfc3-f160w": 15369.2,
}  # fmt: skip
#: Pivots this far apart, as a fraction, still make a pair.
TOLERANCE = 0.05
#: A spectrum has to cover this share of a filter's light.
COVERED = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPair:
    """A simulated band and the observed one that it is compared with.

    Parameters
    ----------
    sim, obs : str
    offset : float
        Pivot of the simulated band over that of the observed, less 1.
    """

    sim: str
    obs: str
    offset: float


def pivot(band: str) -> float:
    """Return the pivot wavelength [Angstrom] of a band.

    Raises
    ------
    UsageError
        If it is not known.

    Examples
    --------
    >>> pivot("sdss-r"), pivot("nircam-f115w")
    (6177.2, 11540.0)
    """
    if band not in PIVOTS:
        instruments = sorted({name.split("-")[0] for name in PIVOTS})
        instrument = band.split("-")[0]
        near = [name for name in PIVOTS if name.split("-")[0] == instrument]
        hint = did_you_mean(band, near) if near else f"known instruments: {', '.join(instruments)}"
        raise UsageError(
            f"band: got {band!r}, allowed are names like 'sdss-g' whose wavelength is known; {hint}"
        )
    return PIVOTS[band]


def pair_bands(
    sim_bands: Sequence[str],
    obs_bands: Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    shift: float = 1.0,
    allow: bool = False,
) -> tuple[BandPair, ...]:
    """Pair the bands of two sets by wavelength, each with one at most.

    Parameters
    ----------
    sim_bands, obs_bands : sequence of str
    tolerance : float
        Largest difference of the pivots as a fraction.
    shift : float
        By how much the simulated light's wavelengths were moved since, `wavelength_factor` of
        `place`.
    allow : bool
        Keep the pairs there are where some bands find none, instead of refusing.

    Returns
    -------
    tuple of BandPair
        In the order of `obs_bands`.

    Raises
    ------
    UsageError
        If a band has no partner, and `allow` is not set; and if there is no pair at all.

    Examples
    --------
    >>> [(p.sim, p.obs) for p in pair_bands(["sdss-r", "sdss-g"], ["hsc-g", "hsc-r"])]
    [('sdss-g', 'hsc-g'), ('sdss-r', 'hsc-r')]
    """
    # Names alike need no wavelength, so a survey of one's own can be compared with its mocks.
    found = [
        (abs(offset), obs, sim, offset)
        for obs in obs_bands
        for sim in sim_bands
        if abs(offset := _offset(sim, obs, shift)) <= tolerance
    ]
    pairs: dict[str, BandPair] = {}
    taken: set[str] = set()
    for _, obs, sim, offset in sorted(found):
        if obs not in pairs and sim not in taken:
            pairs[obs] = BandPair(sim=sim, obs=obs, offset=offset)
            taken.add(sim)
    alone = [b for b in sim_bands if b not in taken] + [b for b in obs_bands if b not in pairs]
    if not pairs or (alone and not allow):
        known = ", ".join(f"{band} ({_wavelength(band)})" for band in alone)
        way_out = (
            "--allow bands compares the pairs there are and says so"
            if pairs
            else "no band of one side has one of the other; choose other bands"
        )
        raise UsageError(
            f"bands: got {', '.join(sim_bands)} and {', '.join(obs_bands)}; no partner within "
            f"{100 * tolerance:g} % of the wavelength for {known}; {way_out}"
        )
    return tuple(pairs[obs] for obs in obs_bands if obs in pairs)


def _offset(sim: str, obs: str, shift: float) -> float:
    if sim == obs and shift == 1.0:
        return 0.0
    return pivot(sim) * shift / pivot(obs) - 1.0


def _wavelength(band: str) -> str:
    return f"{PIVOTS[band]:.0f} Angstrom" if band in PIVOTS else "wavelength not known"


def curve(band: str) -> tuple[Float64Array, Float64Array]:
    """Return wavelength [Angstrom] and response per photon of a band, from speclite.

    Raises
    ------
    UsageError
        If speclite has no such curve.
    """
    instrument, _, name = band.partition("-")
    if instrument not in SPECLITE:
        raise UsageError(
            f"band: no filter curve is known for {band!r}; curves of {', '.join(SPECLITE)} are "
            "there, others have to be passed in as (wavelength, response)"
        )
    import speclite.filters

    wanted = f"{SPECLITE[instrument]}-{SPECLITE_FILTERS.get(band, name)}"
    try:
        response = speclite.filters.load_filter(wanted)
    except ValueError as error:
        raise UsageError(f"band: no filter curve is known for {band!r} ({wanted})") from error
    wavelength = np.asarray(getattr(response.wavelength, "value", response.wavelength))
    return wavelength.astype(np.float64), np.asarray(response.response, dtype=np.float64)


def filter_weights(
    wavelengths: Float64Array,
    bands: Sequence[str],
    *,
    curves: Mapping[str, tuple[Float64Array, Float64Array]] | None = None,
) -> Float64Array:
    """Return the weight of each wavelength of an f_nu spectrum in each band's flux.

    The spectrum is taken as straight between its points and integrated exactly against the
    curve's own points; photons are counted, as in AB magnitudes:
    ``f = int f_nu T dl / l / int T dl / l``.

    Parameters
    ----------
    wavelengths : array (m,)
        [Angstrom] In either order.
    bands : sequence of str
    curves : mapping, optional
        Wavelength [Angstrom] and response per photon of bands that speclite does not have.

    Returns
    -------
    array (band, m)
        Rows sum to 1.

    Raises
    ------
    UsageError
        If the spectrum does not cover a filter.

    Examples
    --------
    >>> box = {"own-b": (np.array([4000.0, 4001.0, 4999.0, 5000.0]), np.array([0.0, 1, 1, 0]))}
    >>> filter_weights(np.linspace(3000, 6000, 7), ["own-b"], curves=box).sum().round(9).item()
    1.0
    """
    points = np.asarray(wavelengths, dtype=np.float64)
    order = np.argsort(points)
    ordered = points[order]
    if len(points) < 2 or not np.isfinite(points).all() or (np.diff(ordered) <= 0).any():
        raise UsageError(
            f"wavelengths: got {len(points)} values, allowed are two or more different finite ones"
        )
    out = np.zeros((len(bands), len(points)))
    for k, band in enumerate(bands):
        own = curves[band] if curves and band in curves else curve(band)
        out[k, order] = _weights(ordered, *own, band=band)
    return out


#: Steps between the points of spectrum and curve; each product is a quadratic over lambda.
_SUBSTEPS = 4


def _weights(
    points: Float64Array, wavelength: Float64Array, response: Float64Array, *, band: str
) -> Float64Array:
    joint = np.union1d(points, wavelength)
    joint = joint[(joint >= wavelength[0]) & (joint <= wavelength[-1])]
    share = np.arange(_SUBSTEPS) / _SUBSTEPS
    fine = np.append((joint[:-1, None] + np.diff(joint)[:, None] * share).ravel(), joint[-1])
    passed = np.interp(fine, wavelength, response) / fine
    step = np.diff(fine)
    light = passed * np.convolve(step, [0.5, 0.5])
    inside = (fine >= points[0]) & (fine <= points[-1])
    covered = light[inside].sum() / light.sum()
    if covered < COVERED:
        raise UsageError(
            f"{band}: the spectrum from {points[0]:.0f} to {points[-1]:.0f} Angstrom covers "
            f"{100 * covered:.1f} % of the filter ({wavelength[0]:.0f} to {wavelength[-1]:.0f}), "
            f"needed are {100 * COVERED:g} %; leave the band out or give a wider spectrum"
        )
    left = np.clip(np.searchsorted(points, fine, side="right") - 1, 0, len(points) - 2)
    part = np.clip((fine - points[left]) / (points[left + 1] - points[left]), 0.0, 1.0)
    weights = np.bincount(left, light * (1 - part), minlength=len(points))
    weights += np.bincount(left + 1, light * part, minlength=len(points))
    return np.asarray(weights / light.sum())


def integrate_cube(
    cube: AnyArray,
    wavelengths: Float64Array,
    bands: Sequence[str],
    *,
    curves: Mapping[str, tuple[Float64Array, Float64Array]] | None = None,
) -> AnyArray:
    """Return the images of a spectral cube through filters.

    Parameters
    ----------
    cube : array (wavelength, y, x)
        f_nu or I_nu in any linear unit, which the images keep.
    wavelengths : array (wavelength,)
        [Angstrom] As observed.
    bands, curves
        As in `filter_weights`.

    Returns
    -------
    array (band, y, x)

    Examples
    --------
    >>> flat = np.full((50, 2, 2), 3.0)
    >>> integrate_cube(flat, np.linspace(3000, 12000, 50), ["sdss-g"]).round(6).ravel().tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    if cube.ndim != 3 or cube.shape[0] != len(wavelengths):
        raise UsageError(
            f"cube: got shape {cube.shape} for {len(wavelengths)} wavelengths, allowed is "
            "(wavelength, y, x)"
        )
    weights = filter_weights(wavelengths, bands, curves=curves)
    images = np.tensordot(weights, cube.astype(np.float64, copy=False), axes=(1, 0))
    return np.asarray(images, dtype=cube.dtype if cube.dtype.kind == "f" else np.float64)
