"""What there is to choose from: catalogues, encoders, metrics and checks."""

from typing import Any

from simreal.core.cards import catalogue_names, load_card
from simreal.core.plugins import available


def catalogues() -> list[dict[str, Any]]:
    """Return the shipped catalogues, and whether their files are here."""
    rows = []
    for name in catalogue_names():
        card = load_card(name)
        folder = card.folder()
        state = "built in" if folder is None else "here" if folder.is_dir() else "not here"
        rows.append(
            {
                "name": name,
                "track": card.track,
                "role": card.role,
                "sampling": card.sampling,
                "files": state,
                "title": card.title,
            }
        )
    return rows


def encoders() -> list[dict[str, Any]]:
    """Return the encoders, built in and of outsiders."""
    return _plugins("simreal.encode.encoders", "simreal.encoders")


def metrics() -> list[dict[str, Any]]:
    """Return the metrics, built in and of outsiders."""
    return _plugins("simreal.compare.metrics", "simreal.metrics")


def checks() -> list[dict[str, Any]]:
    """Return the checks of an audit, built in and of outsiders."""
    return _plugins("simreal.audit.checks", "simreal.checks")


def _plugins(package: str, group: str) -> list[dict[str, Any]]:
    return [
        {"name": found.name, "built_in": found.builtin, "summary": found.summary}
        for found in available(package, group).values()
    ]
