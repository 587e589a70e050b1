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


def benchmarks() -> list[dict[str, Any]]:
    """Return the shipped benchmark cards."""
    from simreal.core.benchmark_cards import benchmark_names, load_benchmark

    cards = [load_benchmark(name)[0] for name in benchmark_names()]
    return [
        {
            "name": card.name,
            "track": card.track,
            "observed": card.observed.collection,
            "rows": len(card.rows),
            "n": card.n,
            "minutes": card.expected_minutes,
            "superseded_by": card.superseded_by or "",
            "title": card.title,
        }
        for card in cards
    ]


def encoders() -> list[dict[str, Any]]:
    """Return the encoders, built in and of outsiders."""
    return [*_plugins("simreal.encode.encoders", "simreal.encoders"), *_shipped()]


def _shipped() -> list[dict[str, Any]]:
    """Return the encoders that come trained, by the names ``--encoder-from`` takes."""
    from simreal.encode.shipped import read_model_card, shipped_folder, shipped_names

    rows = []
    for name in shipped_names():
        card = read_model_card(shipped_folder(name)) or {}
        share = 100 * card["split"]["share"]
        said = (
            f"--encoder-from: {card['encoder']} trained on {share:.0f} % of {card['data']['name']}"
        )
        rows.append({"name": name, "built_in": True, "summary": said})
    return rows


def augmentations() -> list[dict[str, Any]]:
    """Return the augmentation presets, by the names ``--augmentation`` takes."""
    rows = _plugins("simreal.encode.augmentations", "simreal.augmentations")
    return [row | {"name": row["name"].replace("_", "-")} for row in rows]


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
