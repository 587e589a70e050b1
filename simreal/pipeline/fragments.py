"""Nouns of a stage turned into the fragments of ``results.json`` that the cache keeps."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.embedding import Embedding
from simreal.core.images import ImageSet
from simreal.core.plugins import load
from simreal.core.results import Comparison, Rejection

if TYPE_CHECKING:
    from simreal.compare.run import Compared
    from simreal.explain.outliers import Realism
    from simreal.explain.projection import PcaMap
    from simreal.match.result import Matched

#: Real objects shown beside a simulated one.
N_NEAREST = 3


def plain(value: Any) -> Any:
    """Return `value` with dataclasses, mappings and numpy numbers as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def rejections(rejected: Iterable[Rejection]) -> list[dict[str, str]]:
    """Return the quarantine list of one side."""
    return [plain(row) for row in rejected]


def matching(matched: "Matched") -> dict[str, Any]:
    """Return what matching did: steps, checks, selection, exclusions and warnings."""
    from simreal.match.matched_selection import selection_fragment

    sides = (("sim", matched.sim), ("obs", matched.obs))
    return {
        "steps": [{"side": side, **plain(step)} for side, s in sides for step in s.history],
        "checks": plain(matched.checks),
        "balance": plain(matched.balance),
        "matched_fraction": plain(matched.matched_fraction),
        "n_donors": len(matched.donors),
        "donor_rows": matched.donors.tolist(),
        "excluded": plain(matched.exclusions),
        "warnings": [
            *matched.warnings,
            *(() if matched.selection is None else matched.selection.warnings),
        ],
        "residual_differences": list(matched.residual_differences),
        "frame": _frame(matched.sim),
        "matched_selection": None
        if matched.selection is None
        else selection_fragment(matched.selection),
    }


def _frame(images: ImageSet) -> dict[str, Any]:
    from simreal.core.images import FRAME_UNITS

    setup = images.setup
    return {
        "kind": setup.frame,
        "width": setup.frame_width,
        "unit": FRAME_UNITS[setup.frame],
        "stamp": images.images.shape[-1],
        "note": (
            "sizes are divided out: a difference in size is not tested"
            if setup.frame == "radius"
            else "sizes are kept: a difference in size counts"
        ),
    }


def comparing(
    compared: "Compared",
    projected: "PcaMap",
    realistic: "Realism",
    sim: Embedding,
    obs: Embedding,
    encoder: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what comparing one variant found."""
    occupancy = None
    if compared.occupancy is not None:
        occupancy = plain(compared.occupancy)
        del occupancy["region_sim"], occupancy["region_obs"]
    return {
        "encoder": {
            "digest": sim.encoder_digest,
            "dimension": int(sim.vectors.shape[1]),
            "bands": list(sim.setup.bands),
            "card": plain(encoder),
        },
        "comparisons": comparison_rows(compared),
        "transform": plain(compared.transform),
        "n": compared.n,
        "occupancy": occupancy,
        "map": {"explained_variance": plain(projected.explained_variance)},
        "objects": _objects(realistic, sim, obs) | _scores(compared, sim, obs),
    }


def comparison_rows(compared: "Compared") -> list[dict[str, Any]]:
    """Return one row per metric, as ``comparisons`` holds them."""
    return [{**_comparison(row), **_named(row.metric)} for row in compared.comparisons]


def _comparison(row: Comparison) -> dict[str, Any]:
    estimate = row.estimate
    floor = row.floor
    return {
        "metric": row.metric,
        "variant": row.variant,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "level": estimate.level,
        "interval_method": estimate.method,
        "estimand": estimate.estimand,
        "floor": None if floor is None else plain(floor),
        "ceiling": row.ceiling,
        **_excess(row),
        "detectable": None if row.detectable is None else plain(row.detectable),
        "p_value": row.p_value,
        "p_adjusted": row.p_adjusted,
        "n_permutations": row.n_permutations,
        "n_sim": estimate.n_sim,
        "n_obs": estimate.n_obs,
        "reason": estimate.reason,
        "notes": list(row.notes),
    }


def _excess(row: Comparison) -> dict[str, Any]:
    """Return the excess with its interval, or why there is none."""
    if row.excess is None:
        return {"excess": None, "excess_low": None, "excess_high": None, "excess_reason": None}
    return {
        "excess": row.excess.value,
        "excess_low": row.excess.low,
        "excess_high": row.excess.high,
        "excess_reason": row.excess.reason,
    }


def _scores(compared: "Compared", sim: Embedding, obs: Embedding) -> dict[str, Any]:
    """Return both scores per object, both ways: no counterpart, and made too often or rarely."""
    if compared.scores is None:
        return {"scores": None, "scores_reason": compared.scores_reason}
    found = {}
    for side, embedding in (("sim", sim), ("obs", obs)):
        scores = compared.scores[side]
        off, ratio = scores.off_support, scores.density_ratio
        found[side] = {
            "off_support": {
                "fraction": off.fraction,
                "found": off.found,
                "level": off.level,
                "smallest_p": off.smallest_p,
                "n_reference": off.n_reference,
                "n_calibration": off.n_calibration,
                "k": off.k,
                "note": off.note,
            },
            "density_ratio": {
                "fraction": ratio.fraction,
                "factor": ratio.factor,
                "n_each": ratio.n_each,
                "k": ratio.k,
                "note": ratio.note,
            },
            "ids": embedding.ids.tolist(),
            "p_value": plain(off.p_value),
            "p_adjusted": plain(off.p_adjusted),
            "log2_density_ratio": plain(ratio.log2_ratio),
        }
    return {"scores": found, "scores_reason": None}


def _named(metric: str) -> dict[str, str]:
    """Return the title, unit and far tail a metric gives itself, for axes and tables."""
    from simreal.compare.contract import metric_meta

    meta = metric_meta(load("simreal.compare.metrics", "simreal.metrics", metric), metric)
    return {"title": meta.short_title, "unit": meta.unit, "tail": meta.tail}


def _objects(realistic: "Realism", sim: Embedding, obs: Embedding) -> dict[str, Any]:
    order = np.argsort(-realistic.distance, kind="stable")
    return {
        "k": realistic.k,
        "n_reference": realistic.n_reference,
        "fraction_beyond_95": float(np.mean(realistic.percentile > 95)),
        "sim": [
            {
                "id": str(sim.ids[row]),
                "group": str(sim.groups[row]),
                "distance": float(realistic.distance[row]),
                "percentile": float(realistic.percentile[row]),
                "nearest_obs": obs.ids[realistic.nearest_obs[row][:N_NEAREST]].tolist(),
            }
            for row in order
        ],
    }
