"""Plant a nuisance, or leak the side, on purpose: what would my own pair show.

Three questions this answers. Would the audit have seen it? Plant a nuisance on one side
(`plant_side`), leave the other at size 0, and run the audit. How much score would it have bought?
`sensitivity` plants it on real galaxies and reads the distance to other real galaxies. Does my
pipeline leak which side an image is from? `exchanged` deals the objects of both sides anew, and
`leak` adds the mistakes that pipelines make.

Nothing heavy is imported before it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np

    from simreal.audit.contract import Side
    from simreal.core.arrays import Float32Array, IntArray
    from simreal.core.embedding import Embedding
    from simreal.core.images import ImageSet, Setup
    from simreal.core.results import Comparison, Floor
    from simreal.match.nuisances import Nuisance

    Pair = tuple[Side, Side]
    Part = TypeVar("Part", Side, ImageSet)

#: Quality of the last encoding of a match that was asked for nothing else.
QUALITY = 90
#: How far below that the side of `per_side_jpeg` is encoded once more.
LEAKED_QUALITY = 20.0
#: Share of the brightest pixels that `per_side_normalisation` lets exceed 1.
BRIGHTEST = 0.1


def nuisances() -> "tuple[Nuisance, ...]":
    """Return every nuisance that can be planted.

    Each has a ``name``, a ``meaning``, the ``unit`` of its size, three standard ``sizes`` (small,
    about the smallest that 300 objects a side show, middle, large) and the ``check`` of the
    audit that must name it.

    Examples
    --------
    >>> from simreal.testing import nuisances
    >>> next(one.unit for one in nuisances() if one.name == "psf")
    "part of the PSF's FWHM"
    """
    from simreal.match.nuisances import NUISANCES

    return tuple(NUISANCES.values())


def plant(
    images: "ImageSet",
    kind: str,
    size: float,
    *,
    seed: int,
    sky: "ImageSet | None" = None,
    quality: int | None = QUALITY,
) -> "ImageSet":
    """Return a set with one nuisance of a stated size on every image.

    The setup stays as it was: a nuisance is what nobody declared. Compare with the other side
    planted at size 0, which is encoded again alike and carries nothing.

    Parameters
    ----------
    images : ImageSet
        Matched stamps, or their empty sky.
    kind : str
        A name of `nuisances`.
    size : float
        In the unit of the nuisance.
    seed : int
        Random parts are the same for every size.
    sky : ImageSet, optional
        Galaxy-free sky of the survey, which ``noise`` is drawn from.
    quality : int or None
        Of the last encoding as JPEG on the rgb track; None for 8 bits alone.

    Returns
    -------
    ImageSet

    Raises
    ------
    UsageError
        If the kind is unknown or the size outside what it allows.
    NotComputableError
        If the nuisance does not exist for these images, or needs sky.

    Examples
    --------
    >>> import numpy as np
    >>> from simreal import ImageSet, Setup
    >>> from simreal.testing import plant
    >>> ids = np.array(["a", "b"])
    >>> pair = ImageSet(
    ...     name="pair", role="observed", sampling="random", ids=ids, groups=ids,
    ...     images=np.full((2, 1, 32, 32), 0.2, "f4"),
    ...     setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    ... )
    >>> padded = plant(pair, "border", 2, seed=0)
    >>> padded.images.read(slice(0, 1))[0, 0, 16, :4].round(1).tolist()
    [0.0, 0.0, 0.20000000298023224, 0.20000000298023224]
    >>> padded.history[-1].name, padded.history[-1].after["size"]
    ('plant border', 2)
    """
    from simreal.core.seeding import stream

    return _planted(images, kind, size, rng=stream(seed, "plant", kind), sky=sky, quality=quality)


def plant_side(
    side: "Side", kind: str, size: float, *, seed: int, quality: int | None = QUALITY
) -> "Side":
    """Return a side with a nuisance on its stamps and, alike, on its empty sky.

    What a fault would do to galaxies it would have done to sky. The embedding is left out: it
    is not that of the planted stamps.

    Parameters
    ----------
    side : Side
    kind, size, seed, quality
        As in `plant`.

    Raises
    ------
    UsageError, NotComputableError
        As in `plant`.
    """
    from simreal.core.seeding import stream

    sky = side.sky
    stamps = plant(side.stamps, kind, size, seed=seed, sky=sky, quality=quality)
    if sky is not None:
        # Another stream: the sky of a frame does not carry the noise added to its stamp.
        rng = stream(seed, "plant", kind, "sky")
        sky = _planted(sky, kind, size, rng=rng, sky=sky, quality=quality)
    return replace(side, stamps=stamps, sky=sky, embedding=None)


def exchanged(sim: "Part", obs: "Part", *, seed: int, n: int | None = None) -> "tuple[Part, Part]":
    """Return two sides of one population: all objects of both, dealt anew at random.

    Parameters
    ----------
    sim, obs : Side or ImageSet
        Both of the same kind of noun, with distinct ids.
    seed : int
    n : int, optional
        Groups a side; by default half of all there are.

    Returns
    -------
    pair of Side or of ImageSet
        In the order of their ids. A side has an embedding if both had one of one encoder.

    Raises
    ------
    NotComputableError
        If there are fewer than 2 n groups.
    """
    from simreal.core.seeding import stream

    rng = stream(seed, "testing", "exchanged")
    return _as_given(_dealt(_sides(sim, obs), n, rng.permutation), sim)


def leaks() -> dict[str, str]:
    """Return the ways in which `leak` can give a side away, with what each does.

    Examples
    --------
    >>> from simreal.testing import leaks
    >>> sorted(leaks())
    ['dtype', 'file_order', 'per_side_jpeg', 'per_side_normalisation', 'resampled_twice']
    """
    return {name: str(change.__doc__) for name, change in _LEAKS.items()}


def leak(sim: "Part", obs: "Part", name: str, *, seed: int = 0) -> "tuple[Part, Part]":
    """Return a pair of which the pixels, or the files, tell the side on purpose.

    Each is a mistake of a pipeline that treats the two sides one after the other. Leaks act on
    stamps alone, because that is where such code runs; only ``file_order`` deals all anew.

    Parameters
    ----------
    sim, obs : Side or ImageSet
        Both of the same kind of noun; of one population, so that nothing else differs.
    name : str
        A key of `leaks`.
    seed : int

    Raises
    ------
    UsageError
        If there is no such leak.

    Examples
    --------
    >>> import numpy as np
    >>> from simreal import ImageSet, Setup
    >>> from simreal.testing import leak
    >>> pixels = (np.arange(2 * 32 * 32).reshape(2, 1, 32, 32) % 256 / 255).astype("f4")
    >>> one, other = (
    ...     ImageSet(
    ...         name=name, role="observed", sampling="random", images=pixels,
    ...         ids=np.array([f"{name}1", f"{name}2"]), groups=np.array([f"{name}1", f"{name}2"]),
    ...         setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    ...     )
    ...     for name in ("one", "other")
    ... )
    >>> single, double = leak(one, other, "dtype")
    >>> off_grid = np.abs(single.images.read(slice(None)) * 255 % 1 - 0.5) < 0.499
    >>> bool(off_grid.mean() > 0.3)
    True
    """
    from simreal.core.errors import UsageError, did_you_mean

    if name not in _LEAKS:
        raise UsageError(f"unknown leak {name!r}: {did_you_mean(name, _LEAKS)}")
    return _as_given(_LEAKS[name](_sides(sim, obs), seed), sim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a nuisance of a stated size does to one distance between real galaxies.

    Parameters
    ----------
    kind : str
        Of the nuisance; ``"none"`` for the two parts as they are.
    size : float
    unit : str
    metric : str
    value, low, high : float or None
        Distance between the planted and the other part, with its interval.
    floor : Floor or None
        What the metric reads between parts that carry nothing.
    p_value : float or None
    reason : str or None
        Why there is no value.
    """

    kind: str
    size: float
    unit: str
    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: "Floor | None" = None
    p_value: float | None = None
    reason: str | None = None


def sensitivity(
    observed: "ImageSet",
    embed: "Callable[[ImageSet], Embedding]",
    distance: "Callable[[Embedding, Embedding], Sequence[Comparison]]",
    *,
    kinds: Sequence[str] | None = None,
    sizes: Mapping[str, Sequence[float]] | None = None,
    sky: "ImageSet | None" = None,
    seed: int = 0,
) -> tuple[Bought, ...]:
    """Return how far nuisances of stated sizes move real galaxies from real galaxies.

    A third of the objects is planted and measured against the other two thirds, so that value
    and floor are at the same n. Both parts are encoded alike. A distance that a simulation
    reaches and that a PSF error of 5 % also buys is no evidence about galaxies.

    Parameters
    ----------
    observed : ImageSet
        Matched stamps.
    embed : callable(ImageSet) -> Embedding
        The encoder of the comparison, not fitted anew.
    distance : callable(obs, sim) -> sequence of Comparison
    kinds : sequence of str, optional
        Names of `nuisances`; by default all.
    sizes : mapping of kind to sizes, optional
        By default the three standard sizes.
    sky : ImageSet, optional
        Galaxy-free sky of the survey, which ``noise`` is drawn from.
    seed : int

    Returns
    -------
    tuple of Bought
        First the two parts as they are, then kind by kind, size by size, metric by metric. A
        nuisance that these images cannot have is a row with its reason.

    Raises
    ------
    UsageError
        If a kind is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from simreal import Embedding, ImageSet, InferenceSettings, Setup, compare_embeddings
    >>> from simreal.testing import sensitivity
    >>> noise = np.random.default_rng(0).normal(0.2, 0.02, (150, 1, 32, 32)).astype("f4")
    >>> ids = np.array([f"{i:03d}" for i in range(150)])
    >>> observed = ImageSet(
    ...     name="sky", role="observed", sampling="random", images=noise, ids=ids, groups=ids,
    ...     setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    ... )
    >>> def embed(images):
    ...     pixels = images.images.read(slice(None))
    ...     vectors = np.stack([pixels.mean((1, 2, 3)), pixels.std((1, 2, 3))], axis=1)
    ...     return Embedding(
    ...         name=images.name, sampling=images.sampling, vectors=vectors, ids=images.ids,
    ...         groups=images.groups, setup=images.setup, encoder_digest="mean and rms",
    ...         source_digest=images.digest,
    ...     )
    >>> settings = InferenceSettings(
    ...     n_permutations=99, n_floor_splits=50, n_subsamples=50, power=False
    ... )
    >>> def distance(obs, sim):
    ...     found = compare_embeddings(obs, sim, metrics=["mmd"], settings=settings, seed=0)
    ...     return found.comparisons
    >>> rows = sensitivity(
    ...     observed, embed, distance, kinds=["pedestal"], sizes={"pedestal": [0.5]}
    ... )
    >>> [(row.kind, row.size, bool(row.value > row.floor.high)) for row in rows]
    [('none', 0.0, False), ('pedestal', 0.5, True)]
    """
    from simreal.core.errors import NotComputableError, UsageError, did_you_mean
    from simreal.core.seeding import stream
    from simreal.data.split import split_by_group

    known = {one.name: one for one in nuisances()}
    wanted = tuple(known) if kinds is None else tuple(kinds)
    for kind in (*wanted, *(sizes or ())):
        if kind not in known:
            raise UsageError(f"unknown nuisance {kind!r}: {did_you_mean(kind, known)}")
    rng = stream(seed, "testing", "sensitivity")
    third, rest = split_by_group(observed.groups, [1 / 3, 2 / 3], rng=rng)
    # Size 0 of any kind: encoded alike, nothing planted.
    untouched = plant(observed.rows(rest), "pedestal", 0.0, seed=seed + 1)
    reference = embed(untouched)

    def against(kind: str, size: float, unit: str, images: "ImageSet") -> list[Bought]:
        return [_bought(kind, size, unit, found) for found in distance(reference, embed(images))]

    rows = against("none", 0.0, "", plant(observed.rows(third), "pedestal", 0.0, seed=seed))
    metrics = [row.metric for row in rows]
    for kind in wanted:
        unit = known[kind].unit
        for size in (sizes or {}).get(kind, known[kind].sizes):
            try:
                planted = plant(observed.rows(third), kind, size, seed=seed, sky=sky)
            except NotComputableError as error:
                rows += [
                    Bought(kind=kind, size=size, unit=unit, metric=metric, reason=str(error))
                    for metric in metrics
                ]
                continue
            rows += against(kind, size, unit, planted)
    return tuple(rows)


def _bought(kind: str, size: float, unit: str, found: "Comparison") -> Bought:
    estimate = found.estimate
    return Bought(
        kind=kind,
        size=float(size),
        unit=unit,
        metric=found.metric,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        floor=found.floor,
        p_value=found.p_value,
        reason=estimate.reason,
    )


def _planted(
    images: "ImageSet",
    kind: str,
    size: float,
    *,
    rng: "np.random.Generator",
    sky: "ImageSet | None",
    quality: int | None,
) -> "ImageSet":
    from simreal.core.errors import NotComputableError
    from simreal.core.images import Step
    from simreal.match import nuisances as planted
    from simreal.match.degrade import PSF_FWHM

    if images.mask is not None and images.mask.any():
        raise NotComputableError(
            f"{images.name}: got masked pixels, allowed are images without; fill them or leave "
            "these images out before planting"
        )
    widths = images.setup.psf_fwhm
    pixels = planted.plant(
        _pixels(images),
        kind,
        size,
        rng=rng,
        psf_fwhm=PSF_FWHM if widths is None else widths.mean(axis=-1),
        noise=images.setup.noise,
        sky=None if sky is None else _pixels(sky),
        # Calibrated images were never on the 8-bit grid, and planting must not put them there.
        quality=quality if images.setup.track == "rgb" else planted.AS_IT_IS,
    )
    nuisance = planted.NUISANCES[kind]
    step = Step(
        name=f"plant {kind}", after={"size": size}, note=f"{nuisance.meaning} [{nuisance.unit}]"
    )
    return images.replace(images=pixels).with_step(step)


def _pixels(images: "ImageSet") -> "Float32Array":
    import numpy as np

    return np.asarray(images.images.read(slice(None)), dtype=np.float32)


def _sides(sim: "Part", obs: "Part") -> "Pair":
    from simreal.audit.contract import Side

    one, other = (x if isinstance(x, Side) else Side(stamps=x) for x in (sim, obs))
    return one, other


def _as_given(pair: "Pair", like: "Part") -> "tuple[Part, Part]":
    """Return the pair as the kind of noun that came in."""
    from simreal.audit.contract import Side

    if isinstance(like, Side):
        return pair
    return pair[0].stamps, pair[1].stamps


def _repainted(side: "Side", pixels: "Float32Array") -> "Side":
    """Return the side with other pixels on its stamps, and no embedding of the old ones."""
    return replace(side, stamps=side.stamps.replace(images=pixels), embedding=None)


def _per_side_normalisation(pair: "Pair", seed: int) -> "Pair":  # noqa: ARG001
    """Each side's stamps are divided by the brightness of that side's own brightest pixels."""
    import numpy as np

    def normalised(side: "Side") -> "Side":
        pixels = _pixels(side.stamps)
        brightest = np.float32(np.percentile(pixels, 100.0 - BRIGHTEST))
        return _repainted(side, np.clip(pixels / brightest, 0.0, 1.0))

    return normalised(pair[0]), normalised(pair[1])


def _per_side_jpeg(pair: "Pair", seed: int) -> "Pair":
    """One side's stamps are encoded at a lower JPEG quality than the other's."""
    return _on_stamps(pair, "jpeg", LEAKED_QUALITY, seed)


def _resampled_twice(pair: "Pair", seed: int) -> "Pair":
    """One side's stamps are interpolated once more, half a pixel on."""
    return _on_stamps(pair, "resampling", 0.5, seed)


def _on_stamps(pair: "Pair", kind: str, size: float, seed: int) -> "Pair":
    """Return the pair with a nuisance on the first side's stamps, the second encoded alike."""
    sim, obs = (
        replace(side, stamps=plant(side.stamps, kind, how_much, seed=seed + k), embedding=None)
        for k, (side, how_much) in enumerate(zip(pair, (size, 0.0), strict=True))
    )
    return sim, obs


def _file_order(pair: "Pair", seed: int) -> "Pair":  # noqa: ARG001
    """One set is cut into sides in the order of its files, and not at random."""
    return _dealt(pair, None, lambda groups: groups)


def _dtype(pair: "Pair", seed: int) -> "Pair":  # noqa: ARG001
    """One side's stamps go through half precision, the other's do not."""
    import numpy as np

    halved = _pixels(pair[0].stamps).astype(np.float16).astype(np.float32)
    return _repainted(pair[0], halved), pair[1]


_LEAKS: "Mapping[str, Callable[[Pair, int], Pair]]" = {
    "per_side_normalisation": _per_side_normalisation,
    "per_side_jpeg": _per_side_jpeg,
    "resampled_twice": _resampled_twice,
    "file_order": _file_order,
    "dtype": _dtype,
}


def _dealt(pair: "Pair", n: int | None, order: "Callable[[np.ndarray], np.ndarray]") -> "Pair":
    """Return the objects of both sides dealt anew: the first groups of `order`, then the next."""
    import numpy as np

    from simreal.core.errors import NotComputableError

    pool = _joined_side(*pair)
    groups = order(np.unique(pool.stamps.groups))
    n = len(groups) // 2 if n is None else n
    if not 1 <= n <= len(groups) // 2:
        raise NotComputableError(
            f"exchange: got n = {n} groups a side, allowed is 1 to {len(groups) // 2} with "
            f"{len(groups)} groups in all"
        )

    def part(chosen: "np.ndarray", name: str) -> "Side":
        side = pool.rows(_rows_of(pool.stamps, chosen))
        sky = pool.sky
        return replace(
            side,
            stamps=side.stamps.replace(name=name),
            sky=None if sky is None else sky.rows(_rows_of(sky, chosen)),
        )

    return (
        part(groups[:n], pair[0].stamps.name),
        part(groups[n : 2 * n], pair[1].stamps.name),
    )


def _rows_of(images: "ImageSet", groups: "np.ndarray") -> "IntArray":
    """Return the rows of some groups in the order of their ids."""
    import numpy as np

    rows = np.flatnonzero(np.isin(images.groups, groups))
    return rows[np.argsort(images.ids[rows], kind="stable")]


def _joined_side(one: "Side", other: "Side") -> "Side":
    import numpy as np

    from simreal.audit.contract import Side

    stamps = _joined(one.stamps, other.stamps)
    sky = None if one.sky is None or other.sky is None else _joined(one.sky, other.sky)
    embedding, second = one.embedding, other.embedding
    if embedding is None or second is None or embedding.encoder_digest != second.encoder_digest:
        return Side(stamps=stamps, sky=sky, view=one.view)
    embedding = embedding.replace(
        vectors=np.concatenate([embedding.vectors, second.vectors]),
        ids=stamps.ids,
        groups=stamps.groups,
        setup=stamps.setup,
        properties=None,
        source_digest=stamps.digest,
    )
    return Side(stamps=stamps, sky=sky, embedding=embedding, view=one.view)


def _joined(one: "ImageSet", other: "ImageSet") -> "ImageSet":
    """Return both sets as one, with the properties that both have."""
    import numpy as np
    from astropy.table import vstack

    tables = [one.properties, other.properties]
    masks = [np.zeros(x.images.shape, bool) if x.mask is None else x.mask for x in (one, other)]
    return one.replace(
        images=np.concatenate([_pixels(one), _pixels(other)]),
        mask=None if one.mask is other.mask is None else np.concatenate(masks),
        ids=np.concatenate([one.ids, other.ids]),
        groups=np.concatenate([one.groups, other.groups]),
        setup=_joined_setup(one.setup, other.setup),
        properties=None
        if any(table is None for table in tables)
        else vstack(tables, join_type="inner", metadata_conflicts="silent"),
    )


def _joined_setup(one: "Setup", other: "Setup") -> "Setup":
    """Return the setup of the first with the conditions of every image of both."""
    import numpy as np

    # What is kept per image is empty for no images.
    none = one.rows(np.zeros(0, dtype=np.int64))
    changes = {}
    for name in ("pixel_scale", "exposure", "psf_fwhm", "noise", "psf"):
        values = [getattr(one, name), getattr(other, name)]
        if np.shape(getattr(none, name))[:1] == (0,):
            changes[name] = None if values[1] is None else np.concatenate(values)
    return one.replace(**changes)
