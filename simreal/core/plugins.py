"""Plug-ins: a built-in is a file in a folder, an outsider's an entry point.

Both are listed without import and imported only when named.
"""

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from dataclasses import dataclass
from types import ModuleType

from simreal.core.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plug-in that can be named: where it lives and what it says of itself."""

    name: str
    target: str
    summary: str
    builtin: bool


def available(package: str, group: str) -> dict[str, Plugin]:
    """Return the plug-ins of a kind by name, importing none of them.

    Parameters
    ----------
    package : str
        Package whose public modules are the built-ins, such as ``"simreal.compare.metrics"``.
    group : str
        Entry-point group of outsiders, such as ``"simreal.metrics"``. A built-in cannot be
        shadowed by an outsider of the same name.
    """
    found: dict[str, Plugin] = {}
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    for module in pkgutil.iter_modules(locations):
        if not module.name.startswith("_"):
            target = f"{package}.{module.name}"
            found[module.name] = Plugin(
                name=module.name, target=target, summary=_summary(target), builtin=True
            )
    for entry in importlib.metadata.entry_points(group=group):
        found.setdefault(
            entry.name,
            Plugin(name=entry.name, target=entry.value, summary="", builtin=False),
        )
    return dict(sorted(found.items()))


def load(package: str, group: str, name: str) -> ModuleType:
    """Import the plug-in `name` and return its module.

    Raises
    ------
    UsageError
        If there is no such plug-in, with the nearest name.
    """
    # Outsiders are looked for only where there is no built-in, which they cannot shadow anyway:
    # that means reading every installed distribution.
    builtin = f"{package}.{name}"
    if name.isidentifier() and not name.startswith("_") and importlib.util.find_spec(builtin):
        return importlib.import_module(builtin)
    plugins = available(package, group)
    if name not in plugins:
        kind = group.rpartition(".")[2].removesuffix("s")
        raise UsageError(f"unknown {kind} {name!r}: {did_you_mean(name, plugins)}")
    return importlib.import_module(plugins[name].target.partition(":")[0])


@functools.cache
def _summary(target: str) -> str:
    spec = importlib.util.find_spec(target)
    if spec is None or spec.origin is None:
        return ""
    with open(spec.origin, encoding="utf-8") as source:
        text = ast.get_docstring(ast.parse(source.read()))
    return (text or "").partition("\n")[0]
