"""FITS header cards as a mapping, parsed only where they are looked at.

Most headers of a survey are never read but for five keys, so cards are found by their first
eight bytes and their values parsed on demand; that is what makes 10,000 small files quick.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from simreal.data._quarantine import BadFileError

Value: TypeAlias = bool | int | float | str | None

CARD, BLOCK = 80, 2880

_TEXT = re.compile(r"\s*'((?:[^']|'')*)'")
_INTEGER = re.compile(r"[+-]?\d+$")
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?$")
_COMMENTARY = (b"COMMENT ", b"HISTORY ", b"        ", b"CONTINUE")


class Header(Mapping[str, Value]):
    """The cards of one header: keys in any case, values as bool, int, float, str or None.

    Of a key that is repeated the first card counts. A value that breaks the standard reads
    as its text, so that whoever needs a number refuses it by name.

    Examples
    --------
    >>> card = "BUNIT   = 'nJy     '           / of a pixel".ljust(80)
    >>> header = Header((card + "END".ljust(80)).encode())
    >>> header["bunit"], header.get("BSCALE", 1.0)
    ('nJy', 1.0)
    """

    __slots__ = ("_raw", "_where")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._where: dict[str, int] = {}
        for at in range(0, len(raw), CARD):
            key = raw[at : at + 8]
            if key == b"END     ":
                break
            if key in _COMMENTARY:
                continue
            name = key.decode("latin-1").rstrip()
            if name == "HIERARCH":
                name = raw[at + 9 : at + CARD].decode("latin-1").partition("=")[0].strip()
            self._where.setdefault(name.upper(), at)

    @property
    def raw(self) -> bytes:
        """The cards as they are written."""
        return self._raw

    def __getitem__(self, key: str) -> Value:
        at = self._where[key.upper()]
        card = self._raw[at : at + CARD].decode("latin-1")
        value = _value(card.partition("=")[2] if card.startswith("HIERARCH") else card[10:])
        if isinstance(value, str) and value.endswith("&"):
            return self._continued(value, at + CARD)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def _continued(self, value: str, at: int) -> str:
        """Return a long text that goes on in CONTINUE cards."""
        while value.endswith("&") and self._raw[at : at + 8] == b"CONTINUE":
            more = _value(self._raw[at + 8 : at + CARD].decode("latin-1"))
            value = value[:-1] + (more if isinstance(more, str) else "")
            at += CARD
        return value


def header_number(header: Mapping[str, object], key: str, default: float | None = None) -> float:
    """Return the finite number under `key`.

    Parameters
    ----------
    header : mapping
        Of this module or of astropy.
    key : str
    default : float or None
        Returned where the key is absent; None makes the key necessary.

    Raises
    ------
    BadFileError
        If it is absent without a default, or no finite number.
    """
    value = header.get(key)
    if value is None and default is not None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        got = "is absent from the header" if value is None else f"reads {value!r}"
        raise BadFileError(
            "E_HEADER", f"key {key} {got}, allowed is a finite number; add it or correct it"
        )
    return float(value)  # type: ignore[arg-type]


def header_text(header: Mapping[str, object], key: str) -> str:
    """Return the text under `key`, or ``""`` where there is none."""
    value = header.get(key)
    return value.strip() if isinstance(value, str) else ""


def _value(field: str) -> Value:
    text = _TEXT.match(field)
    if text:
        return text.group(1).replace("''", "'").rstrip()
    word = field.partition("/")[0].strip()
    if word in ("T", "F"):
        return word == "T"
    if _INTEGER.match(word):
        return int(word)
    if _REAL.match(word):
        return float(word.replace("D", "E").replace("d", "e"))
    return word or None
