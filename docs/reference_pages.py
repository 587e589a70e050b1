"""Pages written from the code when the docs are built: one per metric, check and catalogue.

What a metric, a check or a catalogue says of itself is the page; nothing is said twice, and a
new one has its page by existing.
"""

import inspect
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "reference"


def write_pages(app: Any) -> None:
    """Write all of them below the source folder; called when a build begins."""
    root = Path(app.srcdir) / FOLDER
    _write(root / "metrics", "Metrics", _METRICS, dict(_metric_pages()))
    _write(root / "checks", "Audit checks", _CHECKS, dict(_check_pages()))
    _write(root / "catalogues", "Catalogues, one by one", _CATALOGUES, dict(_catalogue_pages()))


_METRICS = (
    "One page per metric: what it reads for identical populations, what it needs, and where it "
    "fails. How floors, intervals and p-values are made is the same for all: see "
    "[statistics](../../statistics.md)."
)
_CHECKS = (
    "One page per check of the audit: what it asks, what it measures, and what mends a red one. "
    "How verdicts are made is the same for all: see [audit](../../audit.md)."
)
_CATALOGUES = (
    "One page per image collection that simreal knows. How cards work: see "
    "[catalogues](../../catalogues.md)."
)


def _write(folder: Path, title: str, lead: str, pages: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in set(folder.glob("*.md")) - {folder / f"{name}.md" for name in pages}:
        stale.unlink()
    names = "\n".join(pages)
    index = f"# {title}\n\n{lead}\n\n```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"
    for name, text in {**pages, "index": index}.items():
        path = folder / f"{name}.md"
        # An untouched page is not built again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _metric_pages() -> Iterable[tuple[str, str]]:
    from simreal.compare.contract import metric_meta
    from simreal.core.plugins import available, load

    package = "simreal.compare.metrics"
    for name in available(package, "simreal.metrics"):
        module = load(package, "simreal.metrics", name)
        meta = metric_meta(module, name)
        facts = {
            "what it is": meta.summary,
            "reads for identical populations": meta.zero_point,
            "far is": {"upper": "large", "lower": "small", "both": "either way"}[meta.tail],
            "its interval covers the": meta.estimand,
            "fewest objects a side": meta.minimum_groups,
            "needs equal n": "yes" if meta.needs_equal_n else "no",
            "cost": "all of n" if meta.cost == "fast" else "a stated subsample of n",
            "in `--metric all`": "no, by name only" if meta.on_request else "yes",
            "source": meta.citation,
        }
        yield name, _page(f"`{name}`", facts, inspect.getdoc(module))


def _check_pages() -> Iterable[tuple[str, str]]:
    from simreal.core.plugins import available, load

    package = "simreal.audit.checks"
    found = [(name, load(package, "simreal.checks", name)) for name in available(package, "")]
    for name, module in sorted(found, key=lambda pair: pair[1].META.order):
        meta = module.META
        facts = {
            "asks": meta.question,
            "runs in": "every comparison" if meta.cost == "fast" else "`--audit full`",
            "a red one names the cause": "yes" if meta.names_cause else "no",
            "mend": meta.mend,
        }
        yield name, _page(f"{meta.code}: {meta.title}", facts, inspect.getdoc(module))


def _catalogue_pages() -> Iterable[tuple[str, str]]:
    from simreal.core.cards import catalogue_names, load_card

    for name in catalogue_names():
        card = load_card(name)
        facts = {
            "name": f"`{card.name}`",
            "role, track": f"{card.role}, {card.track}",
            "objects": card.object_kind,
            "sample": f"{card.sampling}. {card.sampling_note}",
            "bands": ", ".join(card.view.bands),
            "seen": card.view.note,
            "licence": card.credit.licence,
            "how to get it": card.credit.fetch,
            "acknowledgement": card.credit.acknowledgement,
            "cite": "; ".join(card.credit.citation),
        }
        yield name, _page(card.title or card.name, facts, _properties(card))


def _properties(card: Any) -> str:
    if not card.properties:
        return ""
    rows = [f"* ``{name}`` [{column.unit or '–'}]: {column.description}"
            for name, column in card.properties.items()]  # fmt: skip
    return "Properties:\n\n" + "\n".join(rows)


def _page(title: str, facts: Mapping[str, Any], text: str | None) -> str:
    rows = [
        f"| {key} | {_cell(value)} |" for key, value in facts.items() if value not in ("", None)
    ]
    table = "\n".join(["| | |", "|---|---|", *rows])
    body = f"\n\n```{{eval-rst}}\n{_formulas(text)}\n```" if text else ""
    return f"# {title}\n\n{table}{body}\n"


def _formulas(text: str) -> str:
    # A norm is written with bars, which would open a substitution.
    return textwrap.dedent(text).replace("|", r"\|")


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
