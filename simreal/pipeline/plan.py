"""What a comparison will do: cards, parameters and the cache key of every stage.

All keys follow from the inputs and the settings, so a dry run can say what is cached
before anything is made.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.images import Track
from simreal.core.plugins import load
from simreal.core.provenance import json_digest
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.elsewhere import check_elsewhere, digest_elsewhere
from simreal.pipeline.settings import RunSettings

if TYPE_CHECKING:
    from simreal.compare.settings import InferenceSettings
    from simreal.encode.settings import EncoderSettings
    from simreal.match.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Another encoder, or another seed of the same, under which the lead variant is compared."""

    encoder: str
    seed: int
    embed_key: str
    compare_key: str


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
    checks : tuple of Check
        What the result must not hang on.
    bridge_cards : tuple of Card
        Other surveys, whose rows the audit adds.
    explain_key : str
        Of regions, property maps and gradients.
    audit_key : str
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
    checks: tuple[Check, ...]
    bridge_cards: tuple[Card, ...]
    explain_key: str
    audit_key: str

    @property
    def variants(self) -> tuple[str, str]:
        """What encoders are shown, the leading one first."""
        return variants_of(self.sim_card.track)

    @property
    def lead(self) -> str:
        """The leading variant."""
        return self.variants[0]


def variants_of(track: Track) -> tuple[str, str]:
    """Return what encoders are shown on a track, the leading one first.

    Examples
    --------
    >>> variants_of("rgb")
    ('luminance', 'colour')
    """
    from simreal.match.variants import VARIANTS

    return VARIANTS[track]


def make_plan(settings: RunSettings) -> Plan:
    """Return the plan of a comparison, failing on any wrong name before work is done.

    Raises
    ------
    UsageError
        If a catalogue, card, encoder, metric or cut is unknown, or the tracks differ.
    """
    from simreal.compare.settings import InferenceSettings
    from simreal.data.ingest import card_for, fingerprint, in_track
    from simreal.encode.settings import EncoderSettings
    from simreal.match.matched_selection import Criterion
    from simreal.match.recipe import Cut, Recipe

    for name in (settings.encoder, *settings.check_encoders):
        load("simreal.encode.encoders", "simreal.encoders", name)
    _check_scoring(settings)
    _check_training(settings)
    for metric in settings.metrics:
        load("simreal.compare.metrics", "simreal.metrics", metric)
    sim_card, obs_card = in_one_track(
        card_for(settings.sim, role="simulated"),
        card_for(settings.obs, role="observed"),
        asked=settings.track,
    )
    variants = variants_of(sim_card.track)
    _check_stored(settings, variants, sim_card.track)
    _check_tracks(sim_card, obs_card)
    for text in settings.match_on:
        Criterion.parse(text)
    recipe = Recipe(
        frame=settings.frame,
        frame_width=settings.frame_width,
        stamp=settings.stamp,
        cuts=tuple(Cut.parse(text) for text in settings.select),
        n=settings.n,
        redshift=settings.redshift,
        allow_bands="bands" in settings.allow,
        match_on=settings.match_on,
        match_method=settings.match_method,
        match_force=settings.match_force,
    )
    encoder = EncoderSettings(
        threads=settings.threads or usable_cores(),
        device=settings.device,
        augmentation=settings.augmentation,
        backbone=settings.backbone,
        averaged=settings.averaged,
        embeddings=None if settings.embeddings is None else Path(settings.embeddings),
    )
    if settings.image_passes is not None:
        encoder = replace(encoder, image_passes=settings.image_passes)
    inference = InferenceSettings(
        n_permutations=settings.permutations,
        n_floor_splits=settings.floor_splits,
        strata=settings.strata,
        strata_bins=settings.strata_bins,
    )
    bridge_cards = tuple(
        in_track(card_for(name, role="observed"), obs_card.track) for name in settings.bridges
    )
    for card in bridge_cards:
        _check_tracks(card, obs_card)
    if bridge_cards and settings.audit != "full":
        raise UsageError(
            "bridges: another survey is a row of the full audit; add --audit full, or leave it out"
        )
    cards = {"sim": sim_card, "obs": obs_card, **{card.name: card for card in bridge_cards}}
    read_keys = {
        name: stage_key("read", code=("data",), source=fingerprint(card, seed=settings.seed))
        for name, card in cards.items()
    }
    match_key = stage_key(
        "match",
        code=("match", "measure", "stats"),
        read={side: read_keys[side] for side in ("sim", "obs")},
        null_test=sim_card == obs_card,
        recipe=recipe,
        seed=settings.seed,
        **_left_out(settings),
    )

    def embed_key(variant: str, name: str, seed: int) -> str:
        return stage_key(
            "embed",
            code=("encode", "measure", "stats", "match", "pipeline/encoding", "pipeline/run"),
            match=match_key,
            variant=variant,
            encoder=name,
            settings=encoder,
            seed=settings.seed,
            encoder_seed=seed,
            mode=settings.mode,
            stored=_stored_digest(settings, variant),
            ceiling=settings.ceiling,
            **digest_elsewhere(settings, name),
        )

    def compare_key(embedding: str, inference: "InferenceSettings") -> str:
        return stage_key(
            "compare",
            code=("compare", "explain", "stats", "pipeline/fragments", "pipeline/run"),
            embedding=embedding,
            metrics=settings.metrics,
            inference=inference,
            allow=settings.allow,
            seed=settings.seed,
        )

    embed_keys = {
        variant: embed_key(variant, settings.encoder, settings.seed) for variant in variants
    }
    compare_keys = {variant: compare_key(key, inference) for variant, key in embed_keys.items()}
    others = [(settings.encoder, settings.seed + i) for i in range(1, settings.encoder_seeds)]
    others += [
        (name, settings.seed) for name in settings.check_encoders if name != settings.encoder
    ]
    checks = []
    for name, seed in others:
        key = embed_key(variants[0], name, seed)
        checks.append(
            Check(
                encoder=name,
                seed=seed,
                embed_key=key,
                compare_key=compare_key(key, replace(inference, power=False)),
            )
        )
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
        checks=tuple(checks),
        bridge_cards=bridge_cards,
        explain_key=stage_key(
            "explain",
            code=("explain", "stats", "pipeline/explain"),
            embedding=embed_keys[variants[0]],
            seed=settings.seed,
        ),
        audit_key=_audit_key(settings, read_keys, match_key, embed_keys, inference),
    )


def _audit_key(
    settings: RunSettings,
    read_keys: Mapping[str, str],
    match_key: str,
    embed_keys: Mapping[str, str],
    inference: "InferenceSettings",
) -> str:
    """Return the key of the audit: a fast battery knows no distances and no other matches."""
    inputs: dict[str, Any] = {
        "match": match_key,
        "embedding": next(iter(embed_keys.values())),
        "level": settings.audit,
        "nuisance": settings.nuisance,
        "plants": settings.plants,
        "allow": settings.allow,
        "seed": settings.seed,
    }
    code = ["audit", "measure", "stats", "pipeline/audit"]
    if settings.audit == "full" or settings.nuisance or settings.plants:
        code += ["match", "encode", "compare"]
        inputs |= {
            "embeddings": dict(embed_keys),
            "bridges": {name: read_keys[name] for name in settings.bridges},
            "metrics": settings.metrics,
            "inference": inference,
        }
    return stage_key("audit", code=tuple(code), **inputs)


def _check_scoring(settings: RunSettings) -> None:
    """Refuse settings that contradict each other, before any work is done."""
    from simreal.pipeline.audit import parse_plants
    from simreal.pipeline.encoding import PIXEL_PERMUTED, parse_ceiling

    check_elsewhere(settings)
    if settings.encoder_from is not None and settings.mode != "frozen":
        raise UsageError(
            "encoder_from: a stored encoder is a frozen one; add --mode frozen, or leave it out"
        )
    if settings.encoder_seeds > 1 and settings.encoder_from is not None:
        raise UsageError("encoder_seeds: a stored encoder has one seed; leave one of the two out")
    if settings.ceiling not in (PIXEL_PERMUTED, "none"):
        parse_ceiling(settings.ceiling)
    if settings.plants:
        parse_plants(settings.plants)


def _check_training(settings: RunSettings) -> None:
    """Refuse a preset or a network that does not exist, before any work is done."""
    if settings.augmentation is not None:
        from simreal.encode.augment import load_preset

        load_preset(settings.augmentation)
    if settings.backbone is not None:
        from simreal.encode.backbones import check_backbone

        check_backbone(settings.backbone)


def _check_stored(settings: RunSettings, variants: tuple[str, ...], track: str) -> None:
    from simreal.pipeline.encoding import check_frame, check_model, model_card, stored_encoder

    name, card = settings.encoder_from, model_card(settings.encoder_from)
    if name is not None and card is not None:
        check_model(name, card, track=track, encoder=settings.encoder)
        check_frame(
            name, card, stamp=settings.stamp, frame=settings.frame, width=settings.frame_width
        )
    for variant in variants:
        stored_encoder(settings.encoder_from, variant)


def in_one_track(sim: Card, obs: Card, *, asked: str) -> tuple[Card, Card]:
    """Return both cards in the track that was asked for, or in one that both have.

    Collections made on the spot exist in several; the other side then decides.

    Raises
    ------
    UsageError
        If there is no such track.
    """
    from simreal.data.ingest import in_track

    if asked != "auto":
        track = cast(Track, asked)
        return in_track(sim, track), in_track(obs, track)
    if sim.track == obs.track:
        return sim, obs
    for first, second in ((sim, obs), (obs, sim)):
        try:
            made = in_track(second, first.track)
        except UsageError:
            continue
        return (sim, made) if second is obs else (made, obs)
    return sim, obs


def _left_out(settings: RunSettings) -> dict[str, Any]:
    """Return what says which observations a stored encoder with a model card was trained on."""
    from simreal.pipeline.encoding import model_card

    card = model_card(settings.encoder_from)
    return {} if card is None else {"left_out": json_digest(card["training"])}


def _stored_digest(settings: RunSettings, variant: str) -> str:
    """Return what identifies the stored encoder of a variant: the digest of its sealed card."""
    from simreal.pipeline.encoding import stored_encoder

    folder = stored_encoder(settings.encoder_from, variant)
    if folder is None:
        return ""
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


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
    for variant in plan.variants:
        trained = f"{plan.settings.encoder}, {plan.encoder.threads} threads"
        rows.append(row(f"embed {variant}", "embed", plan.embed_keys[variant], trained))
    for variant in plan.variants:
        tested = f"{', '.join(plan.settings.metrics)}; {plan.inference.n_permutations} permutations"
        rows.append(row(f"compare {variant}", "compare", plan.compare_keys[variant], tested))
    if plan.settings.explain != "none":
        explained = "regions, property maps, gradients"
        rows.append(row("explain", "explain", plan.explain_key, explained))
    if plan.settings.audit != "none":
        rows.append(row("audit", "audit", plan.audit_key, f"{plan.settings.audit} battery"))
    for check in plan.checks:
        name = f"check {check.encoder} {check.seed}"
        rows.append(row(name, "compare", check.compare_key, "the leading variant again"))
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
