"""Every check of the fast battery, on input that it cannot judge: a reason, never a green tick."""

import numpy as np
import pytest

from simreal.audit.battery import run_audit
from simreal.audit.contract import Given, Side, check_meta, check_names, load_check
from simreal.core.images import ImageSet, Setup

FAST = [n for n in check_names() if check_meta(load_check(n), n).cost == "fast"]
FULL = [n for n in check_names() if n not in FAST]


def stamps(n, *, name, side=48, bands=3, mask=False, constant=False, seed=0):
    rng = np.random.default_rng([seed, n])
    grid = np.arange(side) - (side - 1) / 2
    galaxy = 0.5 * np.exp(-np.hypot(grid[:, None], grid) / (side / 12))
    images = galaxy + rng.normal(0.05, 0.01, (n, bands, side, side))
    if constant:
        images = np.full_like(images, 0.2)
    images = np.rint(np.clip(images, 0, 1) * 255).astype(np.float32) / np.float32(255)
    ids = np.array([f"{name}{k:04d}" for k in range(n)])
    return ImageSet(
        name=name, role="observed" if name == "obs" else "simulated", sampling="random",
        images=images, mask=np.ones_like(images, dtype=bool) if mask else None, ids=ids, groups=ids,
        setup=Setup(track="rgb", bands=tuple("rgb")[:bands], unit="display"),
    )  # fmt: skip


def audited(n, **changes):
    sides = [
        Side(stamps=stamps(n, name=x, seed=k, **changes)) for k, x in enumerate(("sim", "obs"))
    ]
    return run_audit(Given(sim=sides[0], obs=sides[1], same_population=True))


def test_the_battery_has_its_checks():
    assert FAST == [
        "sky_classifier", "noise_power", "sky_statistics", "psf", "evidence", "nuisance_probes",
        "identity",
    ]  # fmt: skip
    assert FULL == [
        "positive_control", "negative_controls", "ablation", "invariance", "null_split",
        "occlusion",
    ]  # fmt: skip


@pytest.mark.parametrize("n", [2, 8, 19])
def test_too_few_objects_are_never_clean(n):
    for check in audited(n).checks:
        assert check.verdict != "clean", check.name
        for reading in check.vetoing:
            assert reading.verdict != "clean", (check.name, reading.name)


def test_twenty_objects_are_not_proof_of_anything_that_scatters():
    result = audited(20)
    assert result.verdict in ("underpowered", "warned")
    for name in ("sky_classifier", "noise_power", "sky_statistics", "psf", "evidence"):
        assert result.check(name).verdict in ("underpowered", "not computable"), name


def test_stamps_without_corners_are_not_computable():
    result = audited(60, side=16)
    for name in ("sky_classifier", "noise_power", "sky_statistics"):
        check = result.check(name)
        assert check.verdict == "not computable", name
        assert any(reading.reason for reading in check.readings)


@pytest.mark.parametrize("how", [{"mask": True}, {"constant": True}])
def test_masked_and_flat_stamps_have_no_numbers(how):
    result = audited(60, **how)
    for name in ("sky_classifier", "noise_power", "sky_statistics", "psf", "evidence"):
        check = result.check(name)
        assert check.verdict in ("not computable", "underpowered"), (name, check.readings)
        assert not [r for r in check.vetoing if r.verdict == "clean"], name


def test_one_band_has_nothing_to_register():
    check = audited(60, bands=1).check("nuisance_probes")
    said = [r.reason for r in check.readings if r.reason] + list(check.notes)
    assert any("band" in text for text in said)
    assert not [r for r in check.readings if "band" in r.name and r.verdict == "clean"]


def test_a_missing_psf_is_said_and_is_no_tick():
    check = audited(60).check("psf")
    missing = [r for r in check.readings if r.value is None]
    assert any("PSF" in str(r.reason) for r in missing)
    assert check.verdict != "clean"


@pytest.mark.parametrize("name", FULL)
def test_full_checks_without_tools_say_so(name):
    sides = [Side(stamps=stamps(40, name=x)) for x in ("sim", "obs")]
    result = run_audit(Given(sim=sides[0], obs=sides[1]), cost="full", checks=(name,))
    check = result.checks[0]
    assert check.verdict == "not computable"
    assert all(reading.reason for reading in check.readings)
