"""``simreal cite``: whom a run has to thank, from its results and the cards behind it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.core.errors import SimrealError, StorageError
from simreal.pipeline.citations import Reference, credit_of, gathered
from simreal.pipeline.stages import read_json

#: Methods that every run uses, whatever its settings.
_METHODS = (
    ("Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39", "permutation p-values"),
    ("Politis and Romano 1994, Ann. Statist. 22, 2031", "subsampling intervals"),
    ("Holm 1979, Scand. J. Statist. 6, 65", "adjustment over the metrics"),
)

#: What the built-in encoders go back to.
_OBJECTIVES: Mapping[str, str] = {
    "simclr": "Chen et al. 2020, arXiv:2002.05709",
    "nnclr": "Dwibedi et al. 2021, arXiv:2104.14548",
    "vicreg": "Bardes et al. 2022, arXiv:2105.04906",
    "simmim": "Xie et al. 2022, arXiv:2111.09886",
    "mae": "He et al. 2022, arXiv:2111.06377",
}

_TOOLS: Mapping[str, str] = {
    "numpy": "Harris et al. 2020, Nature 585, 357",
    "scipy": "Virtanen et al. 2020, Nature Methods 17, 261",
    "astropy": "Astropy Collaboration 2022, ApJ 935, 167",
    "scikit-learn": "Pedregosa et al. 2011, JMLR 12, 2825",
    "sep": "Barbary 2016, JOSS 1, 58",
    "galsim": "Rowe et al. 2015, Astronomy and Computing 10, 121",
    "matplotlib": "Hunter 2007, Computing in Science and Engineering 9, 90",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """What a run owes to others.

    Parameters
    ----------
    references : tuple of Reference
    collections : tuple of dict
        Licence and acknowledgement of every collection.
    notes : tuple of str
        What could not be found out.
    """

    references: tuple[Reference, ...]
    collections: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def credits_of(folder: Path) -> Credits:
    """Return whom to cite for a run, or for every run of a board.

    Raises
    ------
    StorageError
        If there is neither in `folder`.
    """
    runs = sorted(folder.glob("runs/*/results.json")) or [folder / "results.json"]
    used: list[tuple[str, str]] = []
    collections: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for path in runs:
        results = _results(path)
        for side in (results["sim"], results["obs"]):
            credit = credit_of(side)
            collections[credit["title"]] = credit
            used += [(text, credit["collection"]) for text in side.get("citation") or ()]
        settings = results["provenance"]["settings"]
        for name in settings["bridges"]:
            used += list(_bridge(name, collections, notes))
        used += list(_surveys(results, notes))
        used += list(_of_metrics(settings["metrics"], notes))
        used += list(_of_encoders(settings))
        used += list(_METHODS)
        used += [(text, name) for name, text in _TOOLS.items()
                 if name in results["provenance"]["versions"]]  # fmt: skip
    return Credits(
        references=tuple(gathered(used)),
        collections=tuple(collections.values()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _results(path: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: cannot be read ({error}); name the folder of a finished run"
        ) from None
    return results


def _bridge(
    name: str, collections: dict[str, dict[str, Any]], notes: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield what another survey of the audit asks for."""
    from simreal.data.ingest import card_for

    try:
        card = card_for(name, role="observed")
    except SimrealError as error:
        notes.append(f"bridge {name}: its card is not here any more ({error})")
        return
    side = {
        "name": card.name,
        "title": card.title,
        "licence": card.credit.licence,
        "acknowledgement": card.credit.acknowledgement,
    }
    collections[card.title] = credit_of(side)
    for text in card.credit.citation:
        yield text, card.name


def _surveys(results: Mapping[str, Any], notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the survey cards, whose numbers stand in for what the files do not say."""
    from simreal.data.ingest import card_for

    settings = results["provenance"]["settings"]
    for side, role in (("sim", "simulated"), ("obs", "observed")):
        try:
            card = card_for(settings[side], role=role)  # type: ignore[arg-type]
        except SimrealError:
            notes.append(f"{settings[side]}: its card is not here any more; the run's own words")
            continue
        if card.view.survey is not None:
            yield f"simreal survey card '{card.view.survey}', with its sources", card.name


def _of_metrics(names: list[str], notes: list[str]) -> Iterator[tuple[str, str]]:
    from simreal.compare.contract import metric_meta
    from simreal.compare.run import load_metric

    for name in names:
        try:
            meta = metric_meta(load_metric(name), name)
        except SimrealError as error:
            notes.append(f"metric {name}: not installed here ({error})")
            continue
        if meta.citation:
            yield meta.citation, f"metric {name}"
        else:
            notes.append(f"metric {name} names no reference")


def _of_encoders(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in (settings["encoder"], *settings["check_encoders"]):
        if name in _OBJECTIVES:
            yield _OBJECTIVES[name], f"encoder {name}"


def as_text(owed: Credits) -> str:
    """Return the credits for a reader: references, then acknowledgements and licences."""
    lines = ["Please cite simreal (CITATION.cff) and:", ""]
    lines += [f"  {one.text}  [{', '.join(one.used_for)}]" for one in owed.references]
    lines += ["", "Collections:", ""]
    for one in owed.collections:
        flag = "" if one["open"] else "  (!) ask before you share images of it"
        lines.append(f"  {one['title']}: licence {one['licence']}{flag}")
        if one["acknowledgement"]:
            lines.append(f"    {one['acknowledgement']}")
    lines += [f"note: {text}" for text in owed.notes]
    return "\n".join(lines)
