"""Whom to cite for a run: every collection, metric, method and tool behind it, as BibTeX."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: "Schaye et al. 2015, MNRAS 446, 521": authors, year, journal, volume, page.
_ARTICLE = re.compile(
    r"^(?P<authors>.+?) (?P<year>(?:19|20)\d\d), (?P<journal>.*?)[ ,]+(?P<volume>\d+), "
    r"(?P<page>[A-Z]?\d+\w*)\.?(?: \((?P<note>.*)\))?$"
)
_ARXIV = re.compile(
    r"^(?P<authors>.+?) (?P<year>(?:19|20)\d\d), arXiv:(?P<eprint>\d{4}\.\d{4,5})"
    r"(?: \((?P<note>.*)\))?$"
)
_DATED = re.compile(r"^(?P<authors>.+?) (?P<year>(?:19|20)\d\d)\b")

_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference and what it is cited for.

    Parameters
    ----------
    text : str
        As the card or metric gives it.
    used_for : tuple of str
    """

    text: str
    used_for: tuple[str, ...]

    @property
    def key(self) -> str:
        """A key for BibTeX: first author, year and page.

        Examples
        --------
        >>> Reference(text="Schaye et al. 2015, MNRAS 446, 521", used_for=()).key
        'Schaye2015MNRAS446'
        """
        found = _ARTICLE.match(self.text) or _ARXIV.match(self.text) or _DATED.match(self.text)
        if found is None:
            return _ascii(self.text)[:24] or "reference"
        parts = found.groupdict()
        first = re.split(r"[ ,]", parts["authors"])[0]
        rest = f"{parts.get('journal') or parts.get('eprint') or ''}{parts.get('volume') or ''}"
        return _ascii(f"{first}{parts['year']}{rest}")[:40]


def split_citations(texts: Iterable[str]) -> list[str]:
    """Return single references: several may stand in one text, parted by semicolons.

    Examples
    --------
    >>> split_citations(["Gretton et al. 2012, JMLR 13, 723; Schrab et al. 2023, JMLR 24, 194"])
    ['Gretton et al. 2012, JMLR 13, 723', 'Schrab et al. 2023, JMLR 24, 194']
    """
    return [part.strip() for text in texts for part in text.split(";") if part.strip()]


def gathered(used: Iterable[tuple[str, str]]) -> list[Reference]:
    """Return every reference once, with all it is cited for, in the order first met.

    Parameters
    ----------
    used : iterable of (reference, what it is cited for)
    """
    found: dict[str, list[str]] = {}
    for text, what in used:
        for single in split_citations([text]):
            uses = found.setdefault(single, [])
            if what not in uses:
                uses.append(what)
    return [Reference(text=text, used_for=tuple(uses)) for text, uses in found.items()]


def bibtex(references: Iterable[Reference]) -> str:
    """Return references as BibTeX, keys unique.

    What a card says is all that is known: author lists are cut at "others", titles are not
    given, and what is no journal article becomes ``@misc`` with the text as its note.

    Examples
    --------
    >>> print(bibtex([Reference(text="Schaye et al. 2015, MNRAS 446, 521", used_for=("eagle",))]))
    @article{Schaye2015MNRAS446,
      author = {Schaye and others},
      year = {2015},
      journal = {MNRAS},
      volume = {446},
      pages = {521},
      note = {used for: eagle}
    }
    """
    taken: dict[str, int] = {}
    entries = []
    for one in references:
        taken[one.key] = taken.get(one.key, 0) + 1
        count = taken[one.key]
        key = one.key if count == 1 else f"{one.key}{chr(ord('a') + count - 1)}"
        kind, fields = _fields(one)
        lines = [f"  {name} = {{{_escaped(value)}}}" for name, value in fields.items() if value]
        entries.append(f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}")
    return "\n\n".join(entries)


def _fields(one: Reference) -> tuple[str, dict[str, str]]:
    used = f"used for: {', '.join(one.used_for)}"
    article, preprint = _ARTICLE.match(one.text), _ARXIV.match(one.text)
    if article is not None:
        return "article", {
            "author": _authors(article["authors"]),
            "year": article["year"],
            "journal": article["journal"],
            "volume": article["volume"],
            "pages": article["page"],
            "note": "; ".join(filter(None, (article["note"], used))),
        }
    if preprint is not None:
        return "misc", {
            "author": _authors(preprint["authors"]),
            "year": preprint["year"],
            "eprint": preprint["eprint"],
            "archiveprefix": "arXiv",
            "note": "; ".join(filter(None, (preprint["note"], used))),
        }
    dated = _DATED.match(one.text)
    return "misc", {
        "author": _authors(dated["authors"]) if dated else "",
        "year": dated["year"] if dated else "",
        "note": f"{one.text}; {used}",
    }


def _authors(text: str) -> str:
    """Return authors as BibTeX parts them.

    Examples
    --------
    >>> _authors("Campello, Moulavi and Sander"), _authors("Schaye et al.")
    ('Campello and Moulavi and Sander', 'Schaye and others')
    """
    others = text.endswith(" et al.")
    names = re.split(r", | and | & ", text.removesuffix(" et al."))
    return " and ".join([*names, *(["others"] if others else [])])


def _escaped(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "").replace("{", "(").replace("}", ")")
    return "".join(_TEX.get(sign, sign) for sign in plain)


def _ascii(text: str) -> str:
    flat = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "", flat)


def open_licence(licence: str) -> bool:
    """Return whether a licence says that the images may be shared.

    Examples
    --------
    >>> open_licence("CC BY 4.0"), open_licence("not stated with the images; rights stay")
    (True, False)
    """
    text = licence.lower()
    known = ("cc by", "cc-by", "cc0", "public domain", "bsd", "mit", "apache", "odc")
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in known)


def credit_of(side: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one side of a run asks of those who use it."""
    return {
        "collection": side["name"],
        "title": side.get("title") or side["name"],
        "licence": side.get("licence") or "not stated",
        "open": open_licence(side.get("licence") or ""),
        "acknowledgement": side.get("acknowledgement") or "",
    }
