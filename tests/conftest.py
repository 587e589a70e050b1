"""Fixtures every test may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "simreal",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("simreal")


@pytest.fixture
def real_data() -> Callable[..., Path]:
    """Return the real data folder, or skip where a named collection is absent."""

    def need(*collections: str) -> Path:
        named = os.environ.get("SIMREAL_DATA")
        if not named:
            pytest.skip("needs real images: SIMREAL_DATA is not set")
        folder = Path(named)
        missing = [name for name in collections if not (folder / name).is_dir()]
        if missing:
            pytest.skip(f"needs real images: {', '.join(missing)} absent under SIMREAL_DATA")
        return folder

    return need


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache."""
    monkeypatch.setenv("SIMREAL_CACHE", str(tmp_path_factory.getbasetemp() / "simreal-cache"))
