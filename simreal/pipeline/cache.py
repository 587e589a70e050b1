"""The stage cache: outputs keyed by inputs, parameters and the code that made them.

An entry is a folder that appears by one atomic rename under a lock, so it is whole or not
there. Every file's digest is kept beside it; a damaged entry is made again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from simreal.core.errors import StorageError
from simreal.core.provenance import file_digest, json_digest

_MANIFEST = "entry.json"
_PACKAGE = Path(__file__).resolve().parent.parent


def cache_folder() -> Path:
    """Return ``SIMREAL_CACHE``, or the platform's cache folder for simreal."""
    named = os.environ.get("SIMREAL_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("simreal", appauthor=False))


@cache
def code_version(*packages: str) -> str:
    """Return a digest of the source of `packages` of simreal: the version of a stage.

    A package such as ``"match"`` or one module such as ``"pipeline/encoding"``.

    A stage is made again when the code behind it changes, without a number somebody has to
    remember to raise.
    """
    sha = hashlib.sha256()
    for package in sorted(packages):
        module = _PACKAGE / f"{package}.py"
        for path in [module] if module.is_file() else sorted((_PACKAGE / package).rglob("*.py")):
            sha.update(path.relative_to(_PACKAGE).as_posix().encode())
            sha.update(path.read_bytes())
    return sha.hexdigest()


def stage_key(stage: str, *, code: tuple[str, ...], **inputs: Any) -> str:
    """Return the key of a stage: its name, its code and everything that goes in."""
    return json_digest({"stage": stage, "code": code_version("core", *code), "inputs": inputs})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one cached stage output."""

    stage: str
    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StageCache:
    """Stage outputs under one folder.

    Parameters
    ----------
    folder : Path
        Root of the cache; made when first written.
    """

    folder: Path

    def has(self, stage: str, key: str) -> bool:
        """Return whether a whole entry is there."""
        return (self._entry(stage, key) / _MANIFEST).is_file()

    def fetch(self, stage: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the folder of a stage output, building it if it is not there or damaged.

        Parameters
        ----------
        stage, key : str
            Name of the stage and the key from `stage_key`.
        build : callable
            Writes the output into the empty folder it is given.

        Raises
        ------
        StorageError
            If the cache cannot be written.
        """
        entry = self._entry(stage, key)
        with self._lock(stage, key):
            if self.has(stage, key) and _intact(entry):
                return entry
            shutil.rmtree(entry, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{key[:12]}-", dir=entry.parent))
            try:
                build(staging)
                _seal(staging)
                staging.rename(entry)
            except OSError as error:
                raise StorageError(
                    f"{entry}: cannot write this stage ({error.strerror or error}); free the disk "
                    "or point SIMREAL_CACHE at a writable folder"
                ) from error
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return entry

    def entries(self) -> list[Entry]:
        """Return what is in the cache, by stage."""
        found = []
        for manifest in sorted(self.folder.glob(f"*/*/{_MANIFEST}")):
            size = sum(f.stat().st_size for f in manifest.parent.rglob("*") if f.is_file())
            stage, key = manifest.parent.parent.name, manifest.parent.name
            found.append(Entry(stage=stage, key=key, bytes=size))
        return found

    def clear(self) -> int:
        """Remove every entry and return how many there were."""
        found = self.entries()
        for entry in found:
            with self._lock(entry.stage, entry.key):
                shutil.rmtree(self._entry(entry.stage, entry.key), ignore_errors=True)
        return len(found)

    def _entry(self, stage: str, key: str) -> Path:
        return self.folder / stage / key[:32]

    @contextlib.contextmanager
    def _lock(self, stage: str, key: str) -> Iterator[None]:
        import filelock

        entry = self._entry(stage, key)
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(entry.parent / f".{key[:32]}.lock")
            lock.acquire()
        except OSError as error:
            raise StorageError(
                f"{self.folder}: the cache cannot be written ({error.strerror or error}); point "
                "SIMREAL_CACHE at a writable folder"
            ) from error
        try:
            yield
        finally:
            lock.release()


def _seal(folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = folder / _MANIFEST
    with open(manifest, "w", encoding="utf-8") as handle:
        json.dump({"files": files}, handle)
        handle.flush()
        os.fsync(handle.fileno())


def _intact(folder: Path) -> bool:
    try:
        files = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
        return all(file_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return False
