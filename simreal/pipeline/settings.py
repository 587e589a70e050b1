"""`RunSettings`: everything a comparison was asked to do, checked once."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simreal.core.errors import UsageError, did_you_mean

#: What ``--quick`` changes: fixed, so that two quick runs mean the same thing.
QUICK: Mapping[str, Any] = {
    "n": 150,
    "permutations": 199,
    "floor_splits": 50,
    "image_passes": 2500,
}


class RunSettings(BaseModel):
    """What one comparison does. Field names are the long options of ``simreal compare``.

    Examples
    --------
    >>> RunSettings(sim="eagle", obs="sdss").encoder
    'simclr'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sim: str = Field(description="simulated collection: catalogue name, card or folder")
    obs: str = Field(description="observed collection: catalogue name, card or folder")
    track: Literal["auto", "rgb", "flux", "xray"] = "auto"
    encoder: str = "simclr"
    mode: Literal["pooled", "frozen"] = "pooled"
    encoder_from: str | None = None
    embeddings: str | None = None
    augmentation: str | None = None
    backbone: str | None = None
    averaged: bool = False
    check_encoders: tuple[str, ...] = ("morphology", "random_convolution")
    encoder_seeds: Annotated[int, Field(ge=1, le=50)] = 1
    metrics: tuple[str, ...] = ("mmd", "occupancy", "sliced_wasserstein")
    ceiling: str = "pixel-permuted"
    audit: Literal["none", "fast", "full"] = "fast"
    explain: Literal["none", "full"] = "full"
    bridges: tuple[str, ...] = ()
    nuisance: bool = False
    plants: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    strata_bins: Annotated[int, Field(ge=2)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    select: tuple[str, ...] = ()
    match_on: tuple[str, ...] = ()
    match_method: Literal["strata", "nearest"] = "strata"
    match_force: bool = False
    frame: Literal["auto", "angular", "physical", "radius"] = "auto"
    frame_width: Annotated[float, Field(gt=0)] | None = None
    stamp: Annotated[int, Field(ge=32, le=512)] = 64
    redshift: Annotated[float, Field(gt=0)] | None = None
    allow: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    permutations: Annotated[int, Field(ge=99)] = 999
    floor_splits: Annotated[int, Field(ge=50)] = 100
    image_passes: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @classmethod
    def checked(cls, values: Mapping[str, Any], *, where: str) -> "RunSettings":
        """Return the settings in `values`, or say in one line which is wrong.

        Raises
        ------
        UsageError
            Naming `where`, the key, what was got and what is allowed.
        """
        for key in values:
            if key not in cls.model_fields:
                raise UsageError(
                    f"{where}: unknown setting {key!r}: {did_you_mean(key, cls.model_fields)}"
                )
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            got = "" if first["type"] == "missing" else f", got {first.get('input')!r}"
            raise UsageError(f"{where}: {key}: {first['msg']}{got}") from None


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a ``run.toml``, unchecked.

    Raises
    ------
    UsageError
        If there is no such file or it is not TOML.
    """
    try:
        with open(path, "rb") as handle:
            return tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such settings file") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read these settings ({error})") from None


def settings_to_toml(settings: RunSettings) -> str:
    """Return `settings` as the text of a ``run.toml`` that reproduces the run."""
    import json

    lines = ["# resolved settings of this run; 'simreal compare --config run.toml' repeats it"]
    # Strings, numbers and lists of strings are written alike in JSON and TOML.
    for name, value in settings.model_dump(mode="json").items():
        if value is not None:
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def resolve(
    given: Mapping[str, Any], *, config: Path | None = None, quick: bool = False
) -> RunSettings:
    """Return the settings of a run: what was `given` wins over `config`, that over `quick`.

    Raises
    ------
    UsageError
        If a setting is unknown, out of range, or a side is missing.
    """
    from_file = {} if config is None else read_settings(config)
    values = {**(QUICK if quick else {}), **from_file, **given}
    missing = [name for name in ("sim", "obs") if name not in values]
    if missing:
        raise UsageError(
            f"--{missing[0]} is missing: name a catalogue ('simreal list catalogues'), a card or "
            "a folder; without images of your own, try --sim toy-sim --obs toy-survey"
        )
    where = "settings" if config is None else str(config)
    return expanded(RunSettings.checked(values, where=where))


def expanded(settings: RunSettings) -> RunSettings:
    """Return the settings with groups of metrics written out and ``none`` taken at its word.

    Examples
    --------
    >>> len(expanded(RunSettings(sim="a", obs="b", metrics=("all",))).metrics) > 10
    True
    """
    return settings.model_copy(
        update={
            "metrics": expand_metrics(settings.metrics),
            "check_encoders": tuple(name for name in settings.check_encoders if name != "none"),
            **_of_model(settings),
        }
    )


def _of_model(settings: RunSettings) -> dict[str, Any]:
    """Return what a stored encoder with a model card decides, where nothing else was asked for."""
    from simreal.pipeline.encoding import model_card, settings_of_model

    card = model_card(settings.encoder_from)
    given = {name for name in settings.model_fields_set if getattr(settings, name) != "auto"}
    return {} if card is None else settings_of_model(card, given)


def expand_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return metric names with ``all`` and ``fast`` written out.

    ``all`` leaves out those that are too slow for everyday use, which are named by themselves.

    Examples
    --------
    >>> "wasserstein" in expand_metrics(("all",)), "wasserstein" in expand_metrics(("fast",))
    (True, False)
    >>> expand_metrics(("mmd", "mmd"))
    ('mmd',)
    """
    from simreal.compare.contract import metric_meta
    from simreal.core.plugins import available, load

    package, group = "simreal.compare.metrics", "simreal.metrics"
    expanded: list[str] = []
    for name in names:
        if name not in ("all", "fast"):
            expanded.append(name)
            continue
        for found in available(package, group):
            meta = metric_meta(load(package, group, found), found)
            if not meta.on_request and (name == "all" or meta.cost == "fast"):
                expanded.append(found)
    return tuple(dict.fromkeys(expanded))
