"""Morphology of matched stamps: a row of numbers per stamp, without a loop over stamps.

What astronomers measured before networks, in the stamp's own frame: about its centre, on
the mean of the bands, above the sky of its corners, with detached neighbours replaced by the
light opposite them. Turning or mirroring a stamp changes nothing but rounding.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy import ndimage

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array, IntArray
from simreal.measure.stamps import QUANTISATION, luminance_of

#: The galaxy is what hangs together with the centre above this many smoothed sky rms; at 2,
#: grains of noise bridge the gap to a neighbour.
CONNECTED_SIGMA = 3.0
#: A detached patch that reaches this many smoothed sky rms is a neighbour, not noise.
NEIGHBOUR_SIGMA = 6.0
#: Local over mean surface brightness at the Petrosian radius, and the aperture in units of
#: that radius (Conselice 2003, Lotz et al. 2004).
PETROSIAN_RATIO, APERTURE = 0.2, 1.5
#: Edges of the light profile's rings in half sides, a factor 1.5 apart.
PROFILE_EDGES = (0.0, 0.06, 0.09, 0.13, 0.2, 0.3, 0.45, 0.67, 1.0)
#: Edges of the spectrum's rings [cycle / pixel], a factor 1.4 apart.
POWER_EDGES = (0.0234, 0.034, 0.048, 0.067, 0.094, 0.13, 0.18, 0.255, 0.357, 0.5)
#: Orders of the azimuthal Fourier series, and the edges of its rings in half sides.
FOURIER_ORDERS, FOURIER_EDGES = (1, 2, 3, 4), (0.1, 0.3, 0.6, 1.0)
#: Added before the logarithm of a share or amplitude: about what noise alone gives.
LEAST_SHARE = 0.01
#: Fewest pixels with a shape.
FEWEST_PIXELS = 9
#: Growth curves are sampled every half pixel up to here and every pixel beyond.
_FINE_RADIUS = 8
#: Half-pixel moves of the centre about which asymmetry is least (Conselice et al. 2000).
_MOVES = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
#: Stamps at a time: their temporaries stay in the processor's cache.
_BLOCK = 32
_TINY = 1e-12

SHAPES = (
    "half_light_radius", "petrosian_radius", "axis_ratio", "concentration", "asymmetry",
    "smoothness", "gini", "m20", "neighbour_light", "total_brightness", "central_brightness",
    "mean_brightness",
)  # fmt: skip


def feature_names(bands: int) -> tuple[str, ...]:
    """Return the name of every number `morphology` gives for images of `bands` bands.

    Examples
    --------
    >>> len(feature_names(1)), feature_names(3)[-1]
    (41, 'colour_gradient_1_2')
    """
    pairs = [f"{k}_{k + 1}" for k in range(bands - 1)]
    return (
        *SHAPES,
        *(f"fourier_{m}_{k}" for k in range(len(FOURIER_EDGES) - 1) for m in FOURIER_ORDERS),
        *(f"profile_{k}" for k in range(len(PROFILE_EDGES) - 1)),
        *(f"power_{k}" for k in range(len(POWER_EDGES) - 1)),
        *(f"colour_{pair}" for pair in pairs),
        *(f"colour_gradient_{pair}" for pair in pairs),
    )


def morphology(stamps: Float32Array) -> Float64Array:
    """Return the morphology of every stamp, finite for every finite stamp.

    Radii are log10 of half sides; brightnesses are log10 in units of one grey level's noise,
    linear below it, so that negative and blank stamps have one too.

    Parameters
    ----------
    stamps : array (n, band, y, x)
        Display values.

    Returns
    -------
    array (n, k)
        Columns as in `feature_names`: half-light and Petrosian (1976) radius; axis ratio of
        the second moments; concentration ``5 log10(r80 / r20)`` (Bershady et al. 2000),
        rotational asymmetry and smoothness (Conselice 2003); Gini and M20 inside the
        Petrosian isophote (Lotz et al. 2004); log10 share of light in detached neighbours; total,
        central and mean effective brightness; log10 amplitudes of the azimuthal Fourier series
        in three rings (order 1: lopsidedness, Zaritsky & Rix 1997; 2 to 4: bars and arms,
        Elmegreen et al. 1989); light profile; shape of the power spectrum; for several
        bands, colours inside the aperture and how they change from the inner to the outer
        half of the light.

    Examples
    --------
    >>> y, x = np.mgrid[-32:32, -32:32] + 0.5
    >>> disc = np.exp(-np.hypot(y / 0.5, x) / 5)[None, None].astype("f4")
    >>> measured = dict(zip(feature_names(1), morphology(disc)[0], strict=True))
    >>> round(float(measured["axis_ratio"]), 1), bool(abs(measured["asymmetry"]) < 0.05)
    (0.5, True)
    """
    grid = _grid(stamps.shape[2], stamps.shape[3])
    measured = np.empty((len(stamps), len(feature_names(stamps.shape[1]))))
    for start in range(0, len(stamps), _BLOCK):
        rows = slice(start, start + _BLOCK)
        measured[rows] = _measured(stamps[rows], grid)
    return measured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentralGalaxies:
    """The central galaxy of every stamp, as all numbers of this module see it.

    ``light (n, y, x)`` is the mean of the bands above sky and cleaned of neighbours, ``noise
    (n,)`` the rms of its sky, ``segment (n, y, x)`` what lies inside the Petrosian isophote.
    """

    light: Float64Array
    noise: Float64Array
    segment: BoolArray


def central_galaxies(stamps: Float32Array) -> CentralGalaxies:
    """Return light, noise and segment of every stamp's central galaxy.

    Parameters
    ----------
    stamps : array (n, band, y, x)
    """
    galaxy = _galaxy(stamps, _grid(stamps.shape[2], stamps.shape[3]))
    shape = (len(stamps), *stamps.shape[2:])
    return CentralGalaxies(
        light=galaxy.light.reshape(shape),
        noise=galaxy.noise,
        segment=galaxy.segment.reshape(shape),
    )


def _measured(stamps: Float32Array, grid: "_Grid") -> Float64Array:
    galaxy = _galaxy(stamps, grid)
    shapes = [
        *_sizes(galaxy, grid),
        *_moments(galaxy, grid),
        _asymmetry(galaxy, grid),
        _smoothness(galaxy, grid),
        np.log10(galaxy.neighbour_light + LEAST_SHARE),
        *_brightness(galaxy, grid),
    ]
    order = ("half_light_radius", "petrosian_radius", "concentration", "axis_ratio", "gini",
             "m20", "asymmetry", "smoothness", *SHAPES[8:])  # fmt: skip
    columns = dict(zip(order, shapes, strict=True))
    parts = [
        np.stack([columns[name] for name in SHAPES], axis=1),
        _fourier(galaxy),
        _magnitude(galaxy.profile),
        _power(galaxy, grid),
    ]
    if stamps.shape[1] > 1:
        parts.append(_colours(stamps, galaxy, grid))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grid:
    """What depends on the size of the stamps alone; pixels flattened, lengths in pixels.

    The matrix ``sums (pixel, k)`` takes every sum over pixels that is the same for all
    stamps: within circles of ``radii``, as means over the profile's rings, and times the
    waves of the azimuthal series in its rings. ``moments`` has the columns 1, x, y, x^2,
    y^2, xy; ``corners`` holds the upper left and the upper right corner outside the
    largest circle; ``annuli`` averages a spectrum over rings of frequency.
    """

    shape: tuple[int, int]
    half: float
    radius: Float64Array
    corners: tuple[IntArray, IntArray]
    radii: Float64Array
    area: Float64Array
    sums: Float64Array
    moments: Float64Array
    window: Float32Array
    annuli: Float32Array

    def opposite(self, pixels: IntArray) -> IntArray:
        """Return the pixels across the centre."""
        return len(self.radius) - 1 - pixels


@functools.lru_cache(maxsize=4)
def _grid(height: int, width: int) -> _Grid:
    half = min(height, width) / 2
    axes = [np.asarray(np.arange(s) - (s - 1) / 2, dtype=np.float64) for s in (height, width)]
    y, x = (offsets.ravel() for offsets in np.meshgrid(*axes, indexing="ij"))
    radius = np.hypot(x, y)
    fine = np.arange(0.5, min(_FINE_RADIUS, half), 0.5)
    radii = np.concatenate([fine, np.arange(len(fine) / 2 + 0.5, half), [half]])
    circles = _overlaps(axes, radii)
    profile, rings = (
        np.diff(_overlaps(axes, half * np.array(edges)), axis=1)
        for edges in (PROFILE_EDGES, FOURIER_EDGES)
    )
    upper = (radius > half) & (y < 0)
    return _Grid(
        shape=(height, width),
        half=half,
        radius=radius,
        corners=(np.flatnonzero(upper & (x < 0)), np.flatnonzero(upper & (x >= 0))),
        radii=radii,
        area=circles.sum(axis=0),
        sums=np.concatenate([circles, profile / profile.sum(axis=0), _waves(x, y, rings)], axis=1),
        moments=np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1),
        window=np.outer(*(np.hanning(side + 2)[1:-1] for side in (height, width))).astype("f4"),
        annuli=_annuli(height, width),
    )


def _overlaps(axes: list[Float64Array], radii: Float64Array, points: int = 8) -> Float64Array:
    """Return how much of every pixel lies within each radius, on `points`^2 points a pixel."""
    sub = (np.arange(points) + 0.5) / points - 0.5
    y, x = ((offsets[:, None] + sub).ravel() for offsets in axes)
    square = y[:, None] ** 2 + x**2
    cells = (len(axes[0]), points, len(axes[1]), points)
    inside = [(square <= r * r).reshape(cells).mean(axis=(1, 3)).ravel() for r in radii]
    return np.stack(inside, axis=1)


def _waves(x: Float64Array, y: Float64Array, rings: Float64Array) -> Float64Array:
    """Return the columns of the azimuthal series: mean, cosines and sines, ring by ring."""
    angle = np.arctan2(y, x)
    waves = [f(m * angle) for m in FOURIER_ORDERS for f in (np.cos, np.sin)]
    columns = np.stack([np.ones_like(angle), *waves], axis=1)
    products = rings[:, :, None] * columns[:, None] / rings.sum(0)[:, None]
    return np.asarray(products.reshape(len(angle), -1))


def _annuli(height: int, width: int) -> Float32Array:
    across = np.fft.rfftfreq(width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], across).ravel()
    # A real transform leaves out the mirror image of every column but the first and last.
    twice = np.where((across == 0) | (across == 0.5), 1.0, 2.0)
    weight = np.broadcast_to(twice, (height, len(across))).ravel()
    which = np.digitize(frequency, POWER_EDGES) - 1
    rings = np.stack([weight * (which == k) for k in range(len(POWER_EDGES) - 1)], axis=1)
    return np.asarray(rings / np.maximum(rings.sum(axis=0), 1.0), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Galaxy:
    """Each stamp's central galaxy: its light, where it is, and its Petrosian aperture.

    ``light (n, pixel)`` is above sky and cleaned of neighbours, with its sky ``noise``;
    ``segment`` is what lies inside the Petrosian isophote. ``flux`` is that within
    ``reach``, the aperture's radius, and ``share (n, radius)`` its growth; ``profile`` and
    ``waves`` are means over rings.
    """

    light: Float64Array
    noise: Float64Array
    segment: BoolArray
    petrosian: Float64Array
    reach: Float64Array
    aperture: Float64Array
    flux: Float64Array
    share: Float64Array
    profile: Float64Array
    waves: Float64Array
    neighbour_light: Float64Array

    def radius_of(self, fraction: float, grid: _Grid) -> Float64Array:
        """Return the radius [pixel] that holds `fraction` of the flux, no less than 1/4."""
        return np.maximum(np.sqrt(_crossing(self.share, fraction, grid.radii**2)), 0.25)


def _galaxy(stamps: Float32Array, grid: _Grid) -> _Galaxy:
    n = len(stamps)
    light = luminance_of(stamps).astype(np.float64)
    light -= _sky(light.reshape(n, -1), grid)[:, None, None]
    smooth = ndimage.uniform_filter(light, size=(1, 3, 3), mode="nearest")
    fluctuation = _noise(smooth.reshape(n, -1), grid)
    noise = _noise(light.reshape(n, -1), grid)
    parts = _split(smooth, fluctuation)
    lost = _clean(light, parts == _NEIGHBOUR)
    flat = light.reshape(n, -1)
    growth, profile, waves = np.split(
        flat @ grid.sums, np.cumsum([len(grid.radii), len(PROFILE_EDGES) - 1]), axis=1
    )
    petrosian, isophote = _petrosian(growth, grid)
    reach = np.minimum(APERTURE * petrosian, grid.half)
    flux = _grown(growth, reach, grid)
    segment = (smooth >= np.maximum(isophote, fluctuation)[:, None, None]) & (parts == _CENTRAL)
    segment = segment.reshape(n, -1)
    # Without a source there is no isophote; the inner part of the stamp stands in.
    segment[segment.sum(1) < FEWEST_PIXELS] = grid.radius <= grid.half / 4
    return _Galaxy(
        light=flat,
        noise=noise,
        segment=segment,
        petrosian=petrosian,
        reach=reach,
        aperture=_disc(reach, grid),
        flux=flux,
        share=_share(growth, flux, reach, grid),
        profile=profile,
        waves=waves.reshape(n, len(FOURIER_EDGES) - 1, -1),
        neighbour_light=lost / (np.abs(flat).sum(1) + lost + QUANTISATION),
    )


def _sky(flat: Float64Array, grid: _Grid) -> Float64Array:
    """Return the sky level: the clipped mean of the darker pair of opposite corners.

    An elongated galaxy or a bright neighbour fills one pair. The order of the pixels does
    not enter the clipping, so that a turned stamp keeps exactly the same ones.
    """
    levels = []
    for corner in grid.corners:
        pixels = flat[:, np.concatenate([corner, grid.opposite(corner)])]
        middle = _median(pixels)
        levels.append(middle + _clipped_mean(pixels - middle[:, None]))
    return np.minimum(*levels)


def _noise(flat: Float64Array, grid: _Grid) -> Float64Array:
    """Return the rms of the sky, from differences of opposite corners, the quieter pair.

    A galaxy's outskirts reach into the corners of a narrow frame, but nearly alike into
    opposite ones.
    """
    means = [
        _clipped_mean(np.abs(flat[:, corner] - flat[:, grid.opposite(corner)]))
        for corner in grid.corners
    ]
    # Two independent pixels of Gaussian noise differ by 2 / sqrt(pi) rms on average.
    return np.asarray(np.maximum(np.minimum(*means) * np.sqrt(np.pi) / 2, QUANTISATION))


def _clipped_mean(values: Float64Array) -> Float64Array:
    """Return the mean of what lies within four robust rms of zero."""
    size = np.abs(values)
    limit = 4.0 * np.maximum(1.4826 * _median(size), QUANTISATION)
    kept = size <= limit[:, None]
    return np.asarray(np.where(kept, values, 0.0).sum(1) / kept.sum(1))


def _median(values: Float64Array) -> Float64Array:
    # A tenth of the time of `numpy.median`, which looks for NaN.
    half = values.shape[1] // 2
    return np.partition(values, half, axis=1)[:, half]


#: What a pixel belongs to.
_CENTRAL, _NEIGHBOUR = 1, 2
#: Pixels that touch by a side, in the same stamp.
_BESIDE = np.zeros((3, 3, 3), dtype=bool)
_BESIDE[1] = ndimage.generate_binary_structure(2, 1)


def _split(smooth: Float64Array, fluctuation: Float64Array) -> AnyArray:
    """Return to which source each pixel belongs: 0 none, `_CENTRAL` or a `_NEIGHBOUR`."""
    limit = fluctuation[:, None, None]
    labels, count = ndimage.label(smooth > CONNECTED_SIGMA * limit, structure=_BESIDE)
    kind = np.zeros(count + 1, dtype=np.uint8)
    kind[labels[smooth > NEIGHBOUR_SIGMA * limit]] = _NEIGHBOUR
    middle = (slice((side - 1) // 2 - 1, side // 2 + 2) for side in smooth.shape[1:])
    kind[labels[:, *middle]] = _CENTRAL
    kind[0] = 0
    return np.asarray(kind[labels])


def _clean(light: Float64Array, others: BoolArray) -> Float64Array:
    """Replace neighbours in `light` by what lies opposite, or by sky; return what went."""
    lost = np.zeros(len(light))
    rows = np.flatnonzero(others.any((1, 2)))
    if len(rows):
        # Two pixels more all round: the wings of a neighbour are below the threshold.
        wide = ndimage.binary_dilation(others[rows], structure=_BESIDE, iterations=2)
        before = light[rows]
        opposite = np.where(wide[:, ::-1, ::-1], 0.0, before[:, ::-1, ::-1])
        light[rows] = np.where(wide, opposite, before)
        lost[rows] = np.abs(light[rows] - before).sum((1, 2))
    return lost


def _petrosian(growth: Float64Array, grid: _Grid) -> tuple[Float64Array, Float64Array]:
    """Return the Petrosian radius [pixel] and the surface brightness there.

    The radius is that of the largest circle where the profile falls no lower inside it.
    """
    local = np.diff(growth[:, ::2], axis=1) / np.diff(grid.area[::2])
    # A ring reaches from one sample to the next but one; the sample between is its middle.
    between = slice(1, 2 * local.shape[1], 2)
    mean, middle = growth[:, between] / grid.area[between], grid.radii[between]
    ratio = local / np.maximum(mean, QUANTISATION / grid.half)
    below = ratio < PETROSIAN_RATIO
    found, last = below.any(1), ratio.shape[1] - 1
    first = np.where(found, below.argmax(1), last)
    rows, before = np.arange(len(growth)), np.maximum(first - 1, 0)
    high, low = ratio[rows, before], ratio[rows, first]
    weight = np.clip((high - PETROSIAN_RATIO) / np.maximum(high - low, _TINY), 0.0, 1.0)
    weight[~found] = 1.0
    radius = np.where(found, middle[before] + weight * (middle[first] - middle[before]), grid.half)
    brightness = local[rows, before] + weight * (local[rows, first] - local[rows, before])
    return np.maximum(radius, 1.0), brightness


def _disc(radius: Float64Array, grid: _Grid) -> Float64Array:
    """Return how much of each pixel lies within a circle of `radius` (n,), roughly."""
    disc = (radius + 0.5)[:, None] - grid.radius
    np.maximum(disc, 0.0, out=disc)
    return np.minimum(disc, 1.0, out=disc)


def _grown(growth: Float64Array, radius: Float64Array, grid: _Grid) -> Float64Array:
    """Return each growth curve at its `radius` (n,), linear in area between the samples."""
    after = np.clip(np.searchsorted(grid.radii, radius), 1, len(grid.radii) - 1)
    low, high = grid.radii[after - 1] ** 2, grid.radii[after] ** 2
    weight = (radius**2 - low) / (high - low)
    rows = np.arange(len(growth))
    return growth[rows, after - 1] * (1 - weight) + growth[rows, after] * weight


def _share(
    growth: Float64Array, flux: Float64Array, reach: Float64Array, grid: _Grid
) -> Float64Array:
    """Return the share of the flux inside every radius; without flux, that of a flat disc."""
    flat = (grid.radii / reach[:, None]) ** 2
    some = flux > QUANTISATION
    share = np.where(some[:, None], growth / np.where(some, flux, 1.0)[:, None], flat)
    return np.maximum.accumulate(np.maximum(share, 0.0), axis=1)


def _crossing(curves: Float64Array, level: float, at: Float64Array) -> Float64Array:
    """Return where each rising curve (n, k), sampled `at` (k,), first reaches `level`."""
    reached = curves >= level
    first = np.where(reached[:, -1], reached.argmax(1), curves.shape[1] - 1)
    rows, before = np.arange(len(curves)), first - 1
    # Before its first sample a curve starts from nothing at 0.
    low = np.where(first > 0, curves[rows, before], 0.0)
    start = np.where(first > 0, at[before], 0.0)
    weight = np.clip((level - low) / np.maximum(curves[rows, first] - low, _TINY), 0.0, 1.0)
    return np.asarray(start + weight * (at[first] - start))


def _sizes(galaxy: _Galaxy, grid: _Grid) -> Sequence[Float64Array]:
    """Return half-light radius, Petrosian radius and concentration."""
    inner, half, outer = (galaxy.radius_of(share, grid) for share in (0.2, 0.5, 0.8))
    sizes = [np.log10(radius / grid.half) for radius in (half, galaxy.petrosian)]
    return [*sizes, 5.0 * np.log10(outer / inner)]


def _moments(galaxy: _Galaxy, grid: _Grid) -> Sequence[Float64Array]:
    """Return axis ratio, Gini and M20 of the light inside the isophote."""
    light = np.maximum(galaxy.light, 0.0)
    light *= galaxy.segment
    count = galaxy.segment.sum(1).astype(np.float64)
    moments = light @ grid.moments
    total = np.maximum(moments[:, 0], _TINY)
    x, y = moments[:, 1] / total, moments[:, 2] / total
    ordered = np.sort(light, axis=1)
    return [
        _axis_ratio(moments[:, 3:] / total[:, None], x, y),
        _gini(ordered, count, total),
        _m20(light, ordered, moments, (x, y), grid),
    ]


def _axis_ratio(second: Float64Array, x: Float64Array, y: Float64Array) -> Float64Array:
    xx, yy, xy = second[:, 0] - x * x, second[:, 1] - y * y, second[:, 2] - x * y
    # A pixel has a second moment of its own: a line one pixel wide is not infinitely thin.
    half_trace, root = (xx + yy) / 2 + 1 / 12, np.hypot((xx - yy) / 2, xy)
    return np.sqrt(np.clip((half_trace - root) / np.maximum(half_trace + root, _TINY), 0.0, 1.0))


def _gini(ordered: Float64Array, count: Float64Array, total: Float64Array) -> Float64Array:
    # Pixels outside the isophote are zeros and come first; ranks inside count from there.
    n_pixels = ordered.shape[1]
    by_rank = 2.0 * (ordered @ np.arange(1.0, n_pixels + 1)) / total
    gini = (by_rank - (2 * n_pixels - count + 1)) / np.maximum(count - 1, 1.0)
    return np.asarray(np.clip(gini, 0.0, 1.0))


def _m20(
    light: Float64Array,
    ordered: Float64Array,
    moments: Float64Array,
    centre: tuple[Float64Array, Float64Array],
    grid: _Grid,
) -> Float64Array:
    """Return log10 of the brightest fifth's share in the second moment of the light."""
    fifth = 0.2 * moments[:, 0]
    enough = (np.cumsum(ordered[:, ::-1], axis=1) >= fifth[:, None]).argmax(1)
    rows = np.arange(len(light))
    threshold = ordered[rows, ordered.shape[1] - 1 - enough][:, None]
    brighter = (light * (light > threshold)) @ grid.moments
    tied = (light * (light == threshold)) @ grid.moments
    # In 8-bit images many pixels share the threshold: each gives the same part of its light.
    part = np.clip((fifth - brighter[:, 0]) / np.maximum(tied[:, 0], _TINY), 0.0, 1.0)
    brightest = _spread(brighter + part[:, None] * tied, centre)
    share = brightest / np.maximum(_spread(moments, centre), _TINY)
    return np.log10(np.clip(share, 1e-4, 1.0))


def _spread(moments: Float64Array, centre: tuple[Float64Array, Float64Array]) -> Float64Array:
    (x, y), (one, mx, my, xx, yy, _) = centre, moments.T
    return np.asarray(xx + yy - 2 * (x * mx + y * my) + (x * x + y * y) * one)


def _asymmetry(galaxy: _Galaxy, grid: _Grid) -> Float64Array:
    """Return the least difference from the stamp turned by half a turn, minus the sky's."""
    n, (height, width) = len(galaxy.light), grid.shape
    image = galaxy.light.reshape(n, height, width).astype(np.float32)
    turned = np.pad(image[:, ::-1, ::-1], ((0, 0), (1, 1), (1, 1)), mode="edge")
    aperture = galaxy.aperture.astype(np.float32)
    difference = np.empty_like(image)
    found = []
    # Turning about a point half a pixel off is turning about the centre and moving by one.
    for i, j in _MOVES:
        moved = turned[:, 1 + i : 1 + i + height, 1 + j : 1 + j + width]
        np.abs(np.subtract(image, moved, out=difference), out=difference)
        found.append(np.einsum("np,np->n", difference.reshape(n, -1), aperture))
    sky = 2.0 / np.sqrt(np.pi) * galaxy.noise * galaxy.aperture.sum(1)
    return _over_light(np.min(found, axis=0) - sky, galaxy)


def _smoothness(galaxy: _Galaxy, grid: _Grid) -> Float64Array:
    """Return the light on small scales outside the nucleus, minus the sky's.

    Box and nucleus are fixed shares of the stamp, not of each galaxy's radius: the stamps
    of one comparison have one frame.
    """
    n = len(galaxy.light)
    side = 2 * max(1, round(grid.half / 12)) + 1
    image = galaxy.light.reshape(n, *grid.shape)
    box = ndimage.uniform_filter(image, size=(1, side, side), mode="nearest")
    fine = np.subtract(image, box, out=box).reshape(n, -1)
    # What the same filter leaves of the sky, measured: noise is rarely white. Half of it is
    # above the mean.
    corners = [np.concatenate([corner, grid.opposite(corner)]) for corner in grid.corners]
    sky = np.minimum(*(_clipped_mean(np.abs(fine[:, corner])) for corner in corners)) / 2
    np.maximum(fine, 0.0, out=fine)
    fine -= sky[:, None]
    fine *= grid.radius > grid.half / 8
    return _over_light(np.einsum("np,np->n", fine, galaxy.aperture), galaxy)


def _over_light(values: Float64Array, galaxy: _Galaxy) -> Float64Array:
    light = np.einsum("np,np->n", np.abs(galaxy.light), galaxy.aperture)
    return np.asarray(values / np.maximum(light, QUANTISATION * galaxy.aperture.sum(1)))


def _brightness(galaxy: _Galaxy, grid: _Grid) -> Sequence[Float64Array]:
    """Return total, central and mean effective brightness."""
    effective = 0.5 * galaxy.flux / (np.pi * galaxy.radius_of(0.5, grid) ** 2)
    # The total is per pixel of the whole stamp, so that stamps of any size give one scale.
    total = galaxy.flux / galaxy.light.shape[1]
    return [_magnitude(values) for values in (total, galaxy.profile[:, 0], effective)]


def _magnitude(brightness: Float64Array) -> Float64Array:
    """Return log10 of a brightness, linear below one grey level's noise (Lupton et al. 1999)."""
    return np.asarray(np.arcsinh(brightness / (2 * QUANTISATION)) / np.log(10))


def _fourier(galaxy: _Galaxy) -> Float64Array:
    """Return log10 of the series' amplitudes over its mean, order by order in rings."""
    mean, waves = galaxy.waves[:, :, :1], galaxy.waves[:, :, 1:]
    amplitude = np.hypot(waves[:, :, ::2], waves[:, :, 1::2]) / np.maximum(mean, QUANTISATION)
    return np.asarray(np.log10(amplitude.reshape(len(amplitude), -1) + LEAST_SHARE))


def _power(galaxy: _Galaxy, grid: _Grid) -> Float64Array:
    """Return log10 of the power in rings of frequency, over its mean."""
    image = galaxy.light.reshape(-1, *grid.shape).astype(np.float32)
    spectrum = scipy.fft.rfft2(np.multiply(image, grid.window, out=image))
    power = (spectrum.real**2 + spectrum.imag**2).reshape(len(image), -1) @ grid.annuli
    # One grey level's noise in every ring keeps a blank stamp flat.
    level = np.log10(power + QUANTISATION**2 * float((grid.window**2).sum()), dtype=np.float64)
    return np.asarray(level - level.mean(axis=1, keepdims=True))


def _colours(stamps: Float32Array, galaxy: _Galaxy, grid: _Grid) -> Float64Array:
    """Return differences of neighbouring bands' brightness, and inner minus outer ones."""
    n, bands = stamps.shape[:2]
    inner = np.minimum(_disc(galaxy.radius_of(0.5, grid), grid), galaxy.aperture)
    sizes = np.stack([inner.sum(1), galaxy.aperture.sum(1)])
    planes = []
    for band in range(bands):
        flat = stamps[:, band].reshape(n, -1).astype(np.float64)
        light = np.stack([np.einsum("np,np->n", flat, a) for a in (inner, galaxy.aperture)])
        light -= _sky(flat, grid) * sizes
        rings = np.stack([light[0], light[1] - light[0], light[1]])
        areas = np.stack([sizes[0], sizes[1] - sizes[0], sizes[1]])
        planes.append(_magnitude(rings / np.maximum(areas, 1.0)))
    centre, outskirts, whole = np.moveaxis(np.diff(planes, axis=0), (0, 1, 2), (2, 0, 1))
    return np.concatenate([whole, centre - outskirts], axis=1)
