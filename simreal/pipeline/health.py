"""What works on this machine and what does not."""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from simreal.core.cards import catalogue_names, data_folder, load_card
from simreal.core.provenance import machine, versions
from simreal.pipeline.cache import cache_folder

#: Optional parts, and the module that says whether one is installed.
EXTRAS = {
    "parquet": "pyarrow",
    "pictures": "umap",
    "resnet": "torchvision",
    "statmorph": "statmorph",
    "tensorboard": "tensorboard",
    "timm": "timm",
}

#: Below this much room a run of the shipped collections may not finish.
MIN_FREE_BYTES = 2e9


def examine() -> list[dict[str, Any]]:
    """Return one row per check: ``name``, ``ok`` and ``detail``."""
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "machine": lambda: ", ".join(f"{key} {value}" for key, value in machine().items()),
        "torch": _torch,
        "catalogue cards": _cards,
        "shipped encoders": _encoders,
        "extras": _extras,
        "image collections": _collections,
        "cache": _cache,
        "disk": _disk,
    }
    return [_checked(name, check) for name, check in checks.items()]


def _checked(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check()}
    except Exception as error:  # noqa: BLE001 - a doctor reports every illness
        return {"name": name, "ok": False, "detail": " ".join(str(error).split())}


def _versions() -> str:
    return ", ".join(f"{name} {number}" for name, number in versions().items())


def _torch() -> str:
    from simreal.encode.train import choose_device

    return f"'auto' means {choose_device('auto')}"


def _cards() -> str:
    return f"{len([load_card(name) for name in catalogue_names()])} cards read"


def _encoders() -> str:
    from simreal.encode.shipped import read_model_card, shipped_folder, shipped_names

    return ", ".join(name for name in shipped_names() if read_model_card(shipped_folder(name)))


def _extras() -> str:
    there = {name: importlib.util.find_spec(name) is not None for name in EXTRAS.values()}
    rows = [f"{extra}: {'yes' if there[name] else 'no'}" for extra, name in EXTRAS.items()]
    return f"{', '.join(rows)} (pip install 'simreal[NAME]' adds one)"


def _collections() -> str:
    cards = [load_card(name) for name in catalogue_names()]
    here = [card.name for card in cards if (folder := card.folder()) and folder.is_dir()]
    away = [card.name for card in cards if (folder := card.folder()) and not folder.is_dir()]
    text = f"in {data_folder()}: {', '.join(here) or 'none'}"
    return f"{text}; not here: {', '.join(away)} (set SIMREAL_DATA)" if away else text


def _cache() -> str:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return f"{folder} can be written"


def _disk() -> str:
    free = shutil.disk_usage(cache_folder()).free
    if free < MIN_FREE_BYTES:
        raise OSError(f"{free / 1e9:.1f} GB free at {cache_folder()}, at least 2 GB are needed")
    return f"{free / 1e9:.0f} GB free at the cache"
