"""A7: real galaxies through the simulation's own pipeline, against real galaxies."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simreal.audit.checks.null_split import split_and_read
from simreal.audit.contract import CheckMeta, Found, Given, Rematched, Side, Tools
from simreal.audit.controls import ControlSet, control_row, quick, was_given_sky
from simreal.audit.inference import not_computable
from simreal.audit.null_pair import against_floor, null_rows, probe_reading, read_null_pair
from simreal.core.arrays import BoolArray, Float64Array
from simreal.core.cards import View
from simreal.core.errors import NotComputableError, SimrealError
from simreal.core.images import ImageSet, property_values
from simreal.measure.stamps import measure_stamps

META = CheckMeta(
    code="A7",
    title="positive control",
    question="Do real galaxies, sent through the simulation's pipeline, look like real galaxies?",
    cost="full",
    names_cause=False,
    mend=(
        "match with steps that leave real galaxies as they are; until then the distance measures "
        "the pipeline, and the red fast checks of this pair name the step"
    ),
)

NAME = "real galaxies through the pipeline"
TITLE = "real galaxies through the simulation's pipeline"
#: Largest share of the sky's variance that an image may bring itself: its noise is there twice.
OWN_NOISE_LIMIT = 0.1
FEWEST_QUIET = 40
#: A minority picked for its little noise would be another population than the rest.
QUIET_SHARE = 0.5
#: More candidates add time; they are drawn at random by group.
MOST_CANDIDATES = 400
TWICE = "noise counted twice: for orientation only"


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    tools, native, view = given.tools, given.obs.native, given.obs.view
    if tools is None or native is None or view is None:
        return Found(
            readings=[not_computable(NAME, "needs the observed originals and a way to match them")]
        )
    if not was_given_sky(given.sim.stamps):
        return split_and_read(given, tools, title=TITLE, rng=rng)
    return _as_idealised(given, tools, native, view, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sent:
    """Real galaxies that went the way of an idealised simulation.

    Parameters
    ----------
    pair : Rematched
    share : array (n,)
        Of their own noise in the variance of the sky they were given.
    sharper : array of bool (n,)
        Whether their PSF is narrower than the one they were given.
    """

    pair: Rematched
    share: Float64Array
    sharper: BoolArray

    @property
    def quiet(self) -> BoolArray:
        """Which of them bring so little noise that it does not count."""
        return np.asarray(self.sharper & (self.share <= OWN_NOISE_LIMIT))


def _as_idealised(
    given: Given, tools: Tools, native: ImageSet, view: View, *, rng: np.random.Generator
) -> Found:
    if tools.own_noise is None:
        return Found(readings=[not_computable(NAME, "no way to measure the noise they bring")])
    originals, rest = _candidates(given, native, rng)
    sent = _sent(originals, rest, view, tools, rng)
    groups = sent.pair.sim.stamps.groups
    n_quiet = len(np.unique(groups[sent.quiet]))
    needed = max(FEWEST_QUIET, int(np.ceil(QUIET_SHARE * len(np.unique(groups)))))
    measured = (
        f"own noise in the variance of the sky they were given: median "
        f"{100 * np.nanmedian(sent.share):.0f} %, 5 to 95 % of {len(sent.share)} images "
        f"{100 * np.nanpercentile(sent.share, 5):.0f} to "
        f"{100 * np.nanpercentile(sent.share, 95):.0f} %; {n_quiet} galaxies bring at most "
        f"{100 * OWN_NOISE_LIMIT:.0f} % with a PSF narrower than their target's"
    )
    if n_quiet < needed:
        reason = (
            f"{n_quiet} real galaxies bring little enough noise of their own, needed are {needed}; "
            f"{measured}"
        )
        return _for_orientation(sent, reason, measured, tools, rng)
    kept = replace(sent.pair, sim=_rows(sent.pair.sim, sent.quiet))
    found = read_null_pair(kept, given, tools, rng=rng)
    row = ControlSet(key="positive control", title=TITLE, kind="positive", images=None)
    lead = next(iter(found.comparisons))
    return Found(
        readings=found.readings,
        pictures={
            "distances": against_floor(found.comparisons[lead], f"{TITLE}, {lead}"),
            "own noise": _histogram(sent),
        },
        notes=(*found.notes, measured),
        controls=null_rows(row, found),
    )


def _candidates(
    given: Given, native: ImageSet, rng: np.random.Generator
) -> tuple[ImageSet, ImageSet]:
    """Return originals to send through the pipeline, and those to compare them with.

    Those that lent their sky, which are not scored, or a random half where none did. Their
    rendition is called idealised, and their PSF is what is measured in them.
    """
    names = np.unique(native.groups if given.donors is None else given.donors.groups)
    names = rng.permutation(names)
    names = names[: len(names) // 2] if given.donors is None else names
    sent = np.isin(native.groups, names[:MOST_CANDIDATES])
    rest = ~np.isin(native.groups, names)
    if len(np.unique(native.groups[sent])) < FEWEST_QUIET or not rest.any():
        raise NotComputableError(
            f"{int(sent.sum())} observed originals can be sent through the pipeline, needed are "
            f"{FEWEST_QUIET}"
        )
    return _called_idealised(native.rows(sent)), native.rows(rest)


def _called_idealised(images: ImageSet) -> ImageSet:
    width = measure_stamps(images).psf_fwhm
    if not np.isfinite(width).all():
        raise NotComputableError(
            f"{images.name}: no star shows how wide the PSF of the originals is, and a PSF of "
            "unknown width cannot be brought to another"
        )
    bands = len(images.setup.bands)
    setup = images.setup.replace(
        rendition="idealised", psf=None, noise=None, psf_fwhm=np.repeat(width[:, None], bands, 1)
    )
    return images.replace(setup=setup)


def _sent(
    originals: ImageSet, rest: ImageSet, view: View, tools: Tools, rng: np.random.Generator
) -> _Sent:
    idealised = view.model_copy(update={"rendition": "idealised"})
    pair = tools.rematch(originals, rest, views=(idealised, view), seed=int(rng.integers(2**31)))
    stamps, sky = pair.sim.stamps, pair.sim.sky
    if sky is None or tools.own_noise is None:
        raise NotComputableError("the match shows no sky that the galaxies were given")
    place = {name: row for row, name in enumerate(originals.ids.tolist())}
    aligned = originals.rows(np.array([place[name] for name in stamps.ids.tolist()]))
    share = tools.own_noise(aligned, stamps, sky)
    own = aligned.setup.psf_fwhm
    target = property_values(stamps.properties, "measured_psf_fwhm")
    sharper = np.ones(len(stamps), dtype=np.bool_)
    if own is not None and target is not None:
        sharper = own.mean(axis=1) <= target[0]
    if not np.isfinite(share).any():
        raise NotComputableError("the noise that the galaxies bring could not be measured")
    return _Sent(pair=pair, share=share, sharper=sharper)


def _rows(side: Side, keep: BoolArray) -> Side:
    kept = side.rows(np.flatnonzero(keep))
    if side.sky is None:
        return kept
    return replace(kept, sky=side.sky.rows(np.isin(side.sky.ids, kept.stamps.ids)))


def _for_orientation(
    sent: _Sent, reason: str, measured: str, tools: Tools, rng: np.random.Generator
) -> Found:
    """Return why there is no positive control, and what all candidates read nonetheless."""
    row = ControlSet(key="positive control", title=TITLE, kind="positive", images=None)
    rows: list[dict[str, Any]] = []
    notes = [measured]
    for k, (variant, embed) in enumerate(tools.embed.items()):
        try:
            sim, obs = embed(sent.pair.sim.stamps), embed(sent.pair.obs.stamps)
            found = quick(tools)(obs, sim)
        except SimrealError as error:
            notes.append(f"{variant}: {error}")
            continue
        rows += [control_row(row, one, variant=variant, reason=TWICE) for one in found]
        if k == 0:
            auc = probe_reading(sim, obs, rng=rng).value
            told = "unknown" if auc is None else f"{auc:.3f}"
            notes.append(f"{TWICE}: all {len(sim)} candidates read a held-out AUC of {told}")
    return Found(
        readings=[not_computable(NAME, reason)],
        pictures={"own noise": _histogram(sent)},
        notes=notes,
        controls=rows,
    )


def _histogram(sent: _Sent) -> dict[str, Any]:
    known = sent.share[np.isfinite(sent.share)]
    return {
        "kind": "histograms",
        "values": {"sim": [round(float(share), 4) for share in np.clip(known, 0.0, 3.0)]},
        "x_label": "own noise over the variance of the given sky",
        "caption": f"real galaxies called idealised; at most {OWN_NOISE_LIMIT:g} does not count",
    }
