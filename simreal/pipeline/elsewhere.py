"""Comparisons of embeddings computed elsewhere: what cannot be asked of them, and their digest."""

from pathlib import Path

from simreal.core.errors import UsageError
from simreal.core.provenance import file_digest
from simreal.pipeline.settings import RunSettings

#: The encoder that looks vectors up.
FILE = "file"


def check_elsewhere(settings: RunSettings) -> None:
    """Refuse what a file of vectors cannot answer: altered images are not in it.

    Raises
    ------
    UsageError
        Naming the setting and what to do.
    """
    if settings.encoder != FILE:
        if settings.embeddings is not None:
            raise UsageError(
                f"embeddings: got {settings.embeddings} with --encoder {settings.encoder}, allowed "
                "with --encoder file; add it, or leave the file out"
            )
        return
    if settings.embeddings is None:
        raise UsageError(
            "encoder file: name the file of vectors computed elsewhere with --embeddings PATH"
        )
    if not Path(settings.embeddings).is_file():
        raise UsageError(f"embeddings: no such file as {settings.embeddings}")
    for name, got, allowed in (
        ("mode", settings.mode, "pooled"),
        ("ceiling", settings.ceiling, "none"),
        ("audit", settings.audit == "full", False),
        ("nuisance", settings.nuisance, False),
        ("plants", bool(settings.plants), False),
        ("encoder_seeds", settings.encoder_seeds, 1),
    ):
        if got != allowed:
            raise UsageError(
                f"{name}: this embeds images anew, and vectors computed elsewhere know no new "
                f"ones; {_REMEDY[name]}"
            )


_REMEDY = {
    "mode": "leave --mode out",
    "ceiling": "add --ceiling none",
    "audit": "take --audit fast",
    "nuisance": "leave --nuisance out",
    "plants": "leave --plant out",
    "encoder_seeds": "leave --encoder-seeds out",
}


def digest_elsewhere(settings: RunSettings, encoder: str) -> dict[str, str]:
    """Return what identifies the file of vectors to the cache, nothing for other encoders."""
    if encoder != FILE or settings.embeddings is None:
        return {}
    path = Path(settings.embeddings)
    beside = path.with_suffix(".txt") if path.suffix == ".npy" else None
    names = [path] if beside is None or not beside.is_file() else [path, beside]
    return {"embeddings": " ".join(file_digest(name) for name in names)}
