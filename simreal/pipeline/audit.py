"""The audit stage: the battery of checks, handed what it needs of the other rooms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.audit import AuditResult
from simreal.core.cards import View
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError, UsageError, did_you_mean
from simreal.core.images import ImageSet
from simreal.core.results import Comparison, Estimate
from simreal.pipeline import fragments
from simreal.pipeline.plan import Plan

if TYPE_CHECKING:
    from simreal.audit.contract import Distance, Given, Rematch, Rematched, Tools
    from simreal.compare.settings import InferenceSettings

Progress = Callable[[str, int, int], None]

#: Permutations and floor splits of the distances that only serve the audit.
CONTROL_PERMUTATIONS = 199
CONTROL_FLOOR_SPLITS = 50
QUICK_SUBSAMPLES = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a comparison leaves for its audit.

    Parameters
    ----------
    native, stamps, sky : mapping of "sim", "obs" to ImageSet
        As delivered, as scored, and empty sky that went the same way (None where there is
        none).
    embedded : mapping of variant to Path
        Folders with the embeddings of both sides and the encoder.
    match : mapping
        What the match stage wrote down.
    bridges : mapping of str to ImageSet
        Other surveys, as delivered.
    """

    native: Mapping[str, ImageSet]
    stamps: Mapping[str, ImageSet]
    sky: Mapping[str, ImageSet | None]
    embedded: Mapping[str, Path]
    match: Mapping[str, Any]
    bridges: Mapping[str, ImageSet]


def audit_comparison(
    plan: Plan, evidence: Evidence, *, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the audit as a fragment of ``results.json``, and the data of its pictures."""
    from simreal.audit.battery import run_audit

    settings = plan.settings
    given = _given(plan, evidence, progress)
    result = run_audit(
        given,
        cost="full" if settings.audit == "full" else "fast",
        also=("ablation",) if settings.nuisance else (),
        caps=caps(plan, evidence.match),
        progress=progress,
    )
    found = as_fragment(result, level=settings.audit)
    if settings.plants:
        found["controls"] += planted_rows(plan, evidence)
    return found, pictures(result)


def caps(plan: Plan, match: Mapping[str, Any]) -> list[str]:
    """Return why, whatever the checks say, a comparison is no better than ``warned``."""
    reasons = []
    if plan.sim_card.track == "rgb":
        reasons.append(
            "8-bit display composites: the display mapping is not a calibrated flux scale"
        )
    reasons += [
        f"not on the same footing after matching: {name}" for name in match["residual_differences"]
    ]
    reasons += [f"allowed to differ by request: {name}" for name in plan.settings.allow]
    failed = [check["name"] for check in match["checks"] if check["passed"] is False]
    return reasons + [f"match check outside its limit: {name}" for name in failed]


def not_audited(plan: Plan, match: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fragment of a comparison whose audit was switched off."""
    from simreal.audit.contract import check_meta, check_names, load_check

    titles = [check_meta(load_check(name), name).title for name in check_names()]
    return {
        "verdict": "warned",
        "level": "none",
        "first": None,
        "reasons": [
            "no audit of nuisances has been run, so nothing can be called clean",
            *caps(plan, match),
        ],
        "not_run": titles,
        "checks": [],
        "controls": [],
    }


def as_fragment(result: AuditResult, *, level: str) -> dict[str, Any]:
    """Return an audit as plain values; ratios are written as ratios."""
    return {
        "verdict": result.verdict,
        "level": level,
        "first": result.first,
        "reasons": list(result.reasons),
        "not_run": list(result.not_run),
        "checks": [_check(check) for check in result.checks],
        "controls": [fragments.plain(row) for row in result.controls],
    }


def _check(check: Any) -> dict[str, Any]:
    worst = check.worst
    return {
        **{
            name: getattr(check, name)
            for name in ("name", "code", "title", "question", "cost", "verdict", "vetoes")
        },
        "names_cause": check.names_cause,
        "exceedance": fragments.plain(check.exceedance),
        "mend": check.mend,
        "notes": list(check.notes),
        "worst": None if worst is None else worst.name,
        "readings": [_reading(reading) for reading in check.readings],
    }


def _reading(reading: Any) -> dict[str, Any]:
    value, low, high = reading.shown
    limit_low, limit_high = reading.shown_limits
    numbers = {"value": value, "low": low, "high": high, "limit_low": limit_low}
    kept = ("name", "scale", "unit", "vetoes", "verdict", "exceedance", "p_value", "p_adjusted")
    return {
        **{name: fragments.plain(getattr(reading, name)) for name in kept},
        **fragments.plain({**numbers, "limit_high": limit_high}),
        "n_sim": reading.n_sim,
        "n_obs": reading.n_obs,
        "note": reading.note,
        "reason": reading.reason,
    }


def pictures(result: AuditResult) -> dict[str, Any]:
    """Return the data of every check's figures by check and name."""
    return {
        check.name: fragments.plain(check.pictures) for check in result.checks if check.pictures
    }


def parse_plants(planted: Sequence[str]) -> dict[str, list[float]]:
    """Return the sizes of every nuisance in texts such as ``psf=0.05``.

    Raises
    ------
    UsageError
        If a nuisance is unknown or a size is not a number.

    Examples
    --------
    >>> parse_plants(["psf=0.05", "psf=0.1"])
    {'psf': [0.05, 0.1]}
    """
    from simreal.match.nuisances import NUISANCES

    sizes: dict[str, list[float]] = {}
    for text in planted:
        kind, _, size = text.partition("=")
        if kind not in NUISANCES:
            raise UsageError(f"plant: unknown nuisance {kind!r}: {did_you_mean(kind, NUISANCES)}")
        try:
            sizes.setdefault(kind, []).append(float(size))
        except ValueError:
            raise UsageError(
                f"plant {text}: got size {size!r}, allowed is KIND=NUMBER, such as psf=0.05"
            ) from None
    return sizes


def planted_rows(plan: Plan, evidence: Evidence) -> list[dict[str, Any]]:
    """Return how far nuisances of stated sizes move real galaxies from real galaxies."""
    from simreal.testing import sensitivity

    sizes, variant = parse_plants(plan.settings.plants), plan.lead
    bought = sensitivity(
        evidence.stamps["obs"],
        _embedder(evidence.embedded[variant], variant),
        _distance(plan, evidence.match, n_subsamples=plan.inference.n_subsamples),
        kinds=tuple(sizes),
        sizes=sizes,
        sky=evidence.sky["obs"],
        seed=plan.settings.seed,
    )
    rows = []
    for row in bought:
        undamaged = row.kind == "none"
        named = "undamaged" if undamaged else f"{row.kind} {row.size:g} [{row.unit}]"
        floor = row.floor
        rows.append(
            {
                "name": "undamaged third" if undamaged else f"{row.kind}={row.size:g}",
                "kind": "planted",
                "title": f"real galaxies, {named}",
                "variant": variant,
                "metric": row.metric,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "p_value": row.p_value,
                "n_sim": None if floor is None else floor.n,
                "n_obs": None if floor is None else floor.n,
                "floor_median": None if floor is None else floor.median,
                "floor_high": None if floor is None else floor.high,
                "must_exceed": None,
                "holds": None,
                "reason": row.reason,
            }
        )
    return rows


def _given(plan: Plan, evidence: Evidence, progress: Progress) -> "Given":
    from simreal.audit.contract import Given, Side
    from simreal.data.store import read_embedding

    lead = evidence.embedded[plan.lead]
    views = {"sim": plan.sim_card.view, "obs": plan.obs_card.view}
    sides: dict[str, Side] = {
        side: Side(
            stamps=evidence.stamps[side],
            sky=evidence.sky[side],
            embedding=read_embedding(lead / f"{side}.h5"),
            native=evidence.native[side],
            view=views[side],
        )
        for side in ("sim", "obs")
    }
    needs_tools = plan.settings.audit == "full" or plan.settings.nuisance
    donors = np.array(evidence.match["donor_rows"], dtype=np.int64)
    return Given(
        sim=sides["sim"],
        obs=sides["obs"],
        same_population=plan.null_test,
        seed=plan.settings.seed,
        tools=_tools(plan, evidence, progress) if needs_tools else None,
        donors=evidence.native["obs"].rows(donors) if len(donors) else None,
    )


def _tools(plan: Plan, evidence: Evidence, progress: Progress) -> "Tools":
    from simreal.audit.contract import Tools
    from simreal.match.controls import CONTROLS, own_noise_share
    from simreal.match.equalise import equalised
    from simreal.match.transforms import TRANSFORMS

    rematch = _rematcher(plan, evidence.match, progress)
    return Tools(
        rematch=rematch,
        embed={
            variant: _embedder(evidence.embedded[variant], variant) for variant in plan.variants
        },
        distance=_distance(plan, evidence.match, n_subsamples=plan.inference.n_subsamples),
        quick=_distance(plan, evidence.match, n_subsamples=QUICK_SUBSAMPLES),
        paired=_paired(plan, evidence.match),
        own_noise=own_noise_share,
        controls=CONTROLS,
        transforms=TRANSFORMS,
        equalise=equalised,
        bridges=_bridges(plan, evidence, rematch),
    )


def _rematcher(plan: Plan, match: Mapping[str, Any], progress: Progress) -> "Rematch":
    """Return the match of this comparison, its frame held fixed, for other originals."""
    from simreal.audit.contract import Rematched, Side
    from simreal.match.track import match_sets

    frame = match["frame"]
    recipe = plan.recipe.replace(
        frame=frame["kind"], frame_width=frame["width"], n=None, cuts=(), match_on=()
    )

    def rematch(
        sim: ImageSet, obs: ImageSet, *, views: tuple[View, View], seed: int
    ) -> "Rematched":
        matched = match_sets(sim, obs, views=views, recipe=recipe, seed=seed, progress=progress)
        return Rematched(
            sim=Side(stamps=matched.sim, sky=matched.sky_sim, native=sim, view=views[0]),
            obs=Side(stamps=matched.obs, sky=matched.sky_obs, native=obs, view=views[1]),
        )

    return rematch


def _embedder(folder: Path, variant: str) -> Callable[[ImageSet], Embedding]:
    """Return how the comparison's own encoder sees other stamps."""
    from simreal.encode.run import embed, load_encoder
    from simreal.match.variants import shown

    encoder = load_encoder(folder / "encoder")

    def see(images: ImageSet) -> Embedding:
        return embed(encoder, shown(images, variant))

    return see


def _growing_metrics(plan: Plan) -> list[str]:
    """Return the metrics of the comparison that grow with the distance."""
    from simreal.compare.contract import metric_meta
    from simreal.compare.run import load_metric

    return [
        name
        for name in plan.settings.metrics
        if metric_meta(load_metric(name), name).tail == "upper"
    ]


def _inference(plan: Plan, n_subsamples: int) -> "InferenceSettings":
    return replace(
        plan.inference,
        n_permutations=min(plan.inference.n_permutations, CONTROL_PERMUTATIONS),
        n_floor_splits=min(plan.inference.n_floor_splits, CONTROL_FLOOR_SPLITS),
        n_subsamples=n_subsamples,
        strata=(),
        strata_bins=None,
        power=False,
    )


def _paired(
    plan: Plan, match: Mapping[str, Any]
) -> Callable[[Embedding, Embedding, Embedding], Mapping[str, Estimate]]:
    from simreal.compare.paired import compare_paired

    def paired(obs: Embedding, a: Embedding, b: Embedding) -> dict[str, Estimate]:
        wrong = {*obs.setup.differs_from(a.setup), *obs.setup.differs_from(b.setup)}
        found = compare_paired(
            obs,
            a,
            b,
            metrics=_growing_metrics(plan),
            settings=_inference(plan, QUICK_SUBSAMPLES),
            seed=plan.settings.seed,
            allow=(*plan.settings.allow, *match["residual_differences"], *wrong),
        )
        return {row.metric: row.difference for row in found}

    return paired


def _distance(plan: Plan, match: Mapping[str, Any], *, n_subsamples: int) -> "Distance":
    from simreal.compare.run import compare_embeddings

    metrics, inference = _growing_metrics(plan), _inference(plan, n_subsamples)

    def distance(obs: Embedding, sim: Embedding) -> tuple[Comparison, ...]:
        if not metrics:
            raise NotComputableError(
                "audit: none of the metrics grows with the distance; add one that does, such as mmd"
            )
        # A control differs from the observed side on purpose, in whatever field it says.
        allow = obs.setup.differs_from(sim.setup)
        return compare_embeddings(
            obs,
            sim,
            metrics=metrics,
            settings=inference,
            seed=plan.settings.seed,
            allow=(*plan.settings.allow, *match["residual_differences"], *allow),
        ).comparisons

    return distance


def _bridges(plan: Plan, evidence: Evidence, rematch: "Rematch") -> dict[str, ImageSet]:
    """Return the stamps of other surveys, matched to the observed side like a simulation."""
    found = {}
    for card in plan.bridge_cards:
        try:
            matched = rematch(
                evidence.bridges[card.name],
                evidence.native["obs"],
                views=(card.view, plan.obs_card.view),
                seed=plan.settings.seed,
            )
        except SimrealError as error:
            raise type(error)(f"--bridge {card.name}: {error}") from None
        found[card.name] = matched.sim.stamps
    return found
