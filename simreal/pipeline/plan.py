"""What a comparison will do: cards, parameters and the cache key of every stage.

All keys follow from the inputs and the settings, so a dry run can say what is cached
before anything is made.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.plugins import load
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.settings import RunSettings

if TYPE_CHECKING:
    from simreal.compare.run import InferenceSettings
    from simreal.encode.settings import EncoderSettings
    from simreal.match.recipe import Recipe

#: The score leads with luminance: the colours of a composite hang on its display mapping.
VARIANTS = ("luminance", "colour")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Cards, parameters and keys of one comparison.

    Parameters
    ----------
    settings : RunSettings
    sim_card, obs_card : Card
    null_test : bool
        The same collection on both sides: it is split into disjoint halves by group.
    recipe, encoder, inference
        Parameters of matching, encoding and comparing.
    read_keys : mapping of "sim", "obs" to str
    match_key : str
    embed_keys, compare_keys : mapping of variant to str
    """

    settings: RunSettings
    sim_card: Card
    obs_card: Card
    null_test: bool
    recipe: "Recipe"
    encoder: "EncoderSettings"
    inference: "InferenceSettings"
    read_keys: Mapping[str, str]
    match_key: str
    embed_keys: Mapping[str, str]
    compare_keys: Mapping[str, str]


def make_plan(settings: RunSettings) -> Plan:
    """Return the plan of a comparison, failing on any wrong name before work is done.

    Raises
    ------
    UsageError
        If a catalogue, card, encoder, metric or cut is unknown, or the tracks differ.
    """
    from simreal.compare.run import InferenceSettings
    from simreal.data.ingest import card_for, fingerprint
    from simreal.encode.settings import EncoderSettings
    from simreal.match.recipe import Cut, Recipe

    load("simreal.encode.encoders", "simreal.encoders", settings.encoder)
    for metric in settings.metrics:
        load("simreal.compare.metrics", "simreal.metrics", metric)
    sim_card = card_for(settings.sim, role="simulated")
    obs_card = card_for(settings.obs, role="observed")
    _check_tracks(sim_card, obs_card)
    recipe = Recipe(
        frame=settings.frame,
        frame_width=settings.frame_width,
        stamp=settings.stamp,
        cuts=tuple(Cut.parse(text) for text in settings.select),
        n=settings.n,
    )
    encoder = EncoderSettings(threads=settings.threads or usable_cores(), device=settings.device)
    if settings.image_passes is not None:
        encoder = replace(encoder, image_passes=settings.image_passes)
    inference = InferenceSettings(
        n_permutations=settings.permutations, n_floor_splits=settings.floor_splits
    )
    read_keys = {
        side: stage_key("read", code=("data",), source=fingerprint(card, seed=settings.seed))
        for side, card in (("sim", sim_card), ("obs", obs_card))
    }
    match_key = stage_key(
        "match",
        code=("match", "measure", "stats"),
        read=read_keys,
        null_test=sim_card == obs_card,
        recipe=recipe,
        seed=settings.seed,
    )
    embed_keys = {
        variant: stage_key(
            "embed",
            code=("encode", "stats", "match"),
            match=match_key,
            variant=variant,
            encoder=settings.encoder,
            settings=encoder,
            seed=settings.seed,
        )
        for variant in VARIANTS
    }
    compare_keys = {
        variant: stage_key(
            "compare",
            code=("compare", "explain", "stats", "pipeline"),
            embedding=key,
            metrics=settings.metrics,
            inference=inference,
            allow=settings.allow,
            seed=settings.seed,
            n=settings.n,
        )
        for variant, key in embed_keys.items()
    }
    return Plan(
        settings=settings,
        sim_card=sim_card,
        obs_card=obs_card,
        null_test=sim_card == obs_card,
        recipe=recipe,
        encoder=encoder,
        inference=inference,
        read_keys=read_keys,
        match_key=match_key,
        embed_keys=embed_keys,
        compare_keys=compare_keys,
    )


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(plan: Plan) -> list[dict[str, Any]]:
    """Return one row per stage: its name, whether it is cached, and what it works on."""
    cache = StageCache(cache_folder())

    def row(stage: str, kind: str, key: str, detail: str) -> dict[str, Any]:
        state = "cached" if cache.has(kind, key) else "to do"
        return {"stage": stage, "state": state, "key": key[:12], "detail": detail}

    rows = [
        row(f"read {card.name}", "read", plan.read_keys[side], _files(card))
        for side, card in (("sim", plan.sim_card), ("obs", plan.obs_card))
    ]
    rows.append(
        row("match", "match", plan.match_key, f"frame {plan.recipe.frame}, {plan.recipe.stamp} px")
    )
    for variant in VARIANTS:
        trained = f"{plan.settings.encoder}, {plan.encoder.threads} threads"
        rows.append(row(f"embed {variant}", "embed", plan.embed_keys[variant], trained))
    for variant in VARIANTS:
        tested = f"{', '.join(plan.settings.metrics)}; {plan.inference.n_permutations} permutations"
        rows.append(row(f"compare {variant}", "compare", plan.compare_keys[variant], tested))
    return rows


def _files(card: Card) -> str:
    folder = card.folder()
    if folder is None:
        return "rendered on the spot"
    matching = [path for path in folder.glob(card.files.pattern) if path.is_file()]
    megabytes = sum(path.stat().st_size for path in matching) / 1e6
    return f"{len(matching)} files, {megabytes:.0f} MB in {folder}"


def _check_tracks(sim: Card, obs: Card) -> None:
    for name in ("track", "object_kind"):
        if getattr(sim, name) != getattr(obs, name):
            raise UsageError(
                f"{sim.name} has {name} {getattr(sim, name)!r}, {obs.name} "
                f"{getattr(obs, name)!r}: only collections of one {name} can be compared"
            )
