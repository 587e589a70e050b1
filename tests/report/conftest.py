"""A small, complete run as the pipeline hands it over: synthetic galaxies, every section filled."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simreal.core.images import ImageSet, Setup
from simreal.report.page import ReportInputs, write_report

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "</style><script>alert(2)</script>",
    "</title><script>alert(3)</script>",
    "<base href=https://example.org/><link rel=stylesheet href=https://example.org/x.css>",
    '=HYPERLINK("https://example.org")',
    "x\u202egnp.exe",
    "new\nline\x00nul\x1b[31m",
    "$\\frac{1$ _^{",
    "undecodable \udcff name",
    "銀河 é ﷽",
    "`${alert(1)}`",
    "a" * 400,
)


def galaxies(rng: np.random.Generator, n: int, size: int, noise: float) -> np.ndarray:
    """Draw exponential discs of random size, inclination and colour on a flat sky."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = rng.uniform(0, np.pi, (n, 1, 1))
    ratio = rng.uniform(0.3, 1, (n, 1, 1))
    radius = size * rng.uniform(0.05, 0.12, (n, 1, 1))
    u = x * np.cos(angle) + y * np.sin(angle)
    v = (y * np.cos(angle) - x * np.sin(angle)) / ratio
    disc = np.exp(-np.hypot(u, v) / radius)[:, None]
    colour = rng.uniform(0.4, 1.0, (n, 3, 1, 1))
    return np.clip(disc * colour + 0.06 + noise * rng.normal(size=(n, 3, size, size)), 0, 1)


def image_set(name: str, role: str, images: np.ndarray, ids: list[str]) -> ImageSet:
    """Wrap images as a set of the rgb track."""
    return ImageSet(
        name=name,
        role=role,
        sampling="random",
        images=images.astype(np.float32),
        ids=np.array(ids),
        groups=np.array(ids),
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display"),
    )


def comparison(metric: str, variant: str, *, lead: bool, floor: tuple, value: tuple) -> dict:
    """Return one row of ``comparisons``."""
    return {
        "metric": metric, "variant": variant, "lead": lead,
        "value": value[0], "low": value[1], "high": value[2], "level": 0.95,
        "interval_method": "subsampling of groups", "estimand": "the expectation at this n",
        "floor": {"median": floor[0], "low": floor[1], "high": floor[2], "n_splits": 100},
        "ceiling": None, "excess": None, "p_value": 0.001, "p_adjusted": 0.003,
        "n_permutations": 999, "n_sim": 60, "n_obs": 60, "reason": None, "notes": [],
    }  # fmt: skip


def side(name: str, title: str, role: str, n: int) -> dict:
    """Return the ``sim`` or ``obs`` entry."""
    return {
        "name": name, "title": title, "digest": "0f" * 32, "role": role, "sampling": "random",
        "sampling_note": "every galaxy above a stellar mass of 1e10 Msun", "rendition": "survey",
        "geometry": "random", "n": n, "n_groups": n, "n_read": n + 3,
        "citation": ["Nobody et al. 2020, MNRAS 1, 1"], "licence": "CC BY 4.0",
        "acknowledgement": "We thank the sky.",
    }  # fmt: skip


#: Centres of the five regions of the map, and what each is.
CENTRES = np.array([[-1.6, 0.8], [0.0, 1.5], [1.6, 0.6], [0.8, -1.3], [-1.0, -1.2]])


def region_rows(ids: dict[str, list[str]], labels: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return the occupancy of both sides, region by region."""
    rows = []
    for k in range(len(CENTRES)):
        inside = {side: np.flatnonzero(labels[side] == k) for side in ids}
        n_sim, n_obs = len(inside["sim"]), len(inside["obs"])
        ratio = float(
            np.log2((n_sim + 0.5) / (len(ids["sim"]) + 1))
            - np.log2((n_obs + 0.5) / (len(ids["obs"]) + 1))
        )
        error = 1.96 * float(np.sqrt(1 / (n_sim + 0.5) + 1 / (n_obs + 0.5))) / np.log(2)
        clear = abs(ratio) > error
        rows.append(
            {
                "name": f"region {k}", "n_sim": n_sim, "n_obs": n_obs, "log2_ratio": ratio,
                "low": ratio - error, "high": ratio + error, "p_value": 0.02,
                "p_adjusted": 0.01 if clear else 0.6,
                "direction": ("over-produced" if ratio > 0 else "missing") if clear
                else "consistent",
                "sim_ids": [ids["sim"][i] for i in inside["sim"][:6]],
                "obs_ids": [ids["obs"][i] for i in inside["obs"][:6]],
            }
        )  # fmt: skip
    return rows


def full_results(
    sim_ids: list[str], obs_ids: list[str], near: np.ndarray, regions: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return results of schema 1 in which no key is missing."""
    n_sim, n_obs = len(sim_ids), len(obs_ids)
    objects = [
        {"id": name, "group": name, "distance": 3.0 - 2.0 * i / n_sim,
         "percentile": 100.0 * (1 - i / n_sim), "nearest_obs": [obs_ids[j] for j in near[i]]}
        for i, name in enumerate(sim_ids)
    ]  # fmt: skip
    checks = [
        ("sky mean, injected minus real", 0.004, -0.02, 0.02, True, "sigma", "on held-out patches"),
        ("sky rms, ratio at the median", 1.011, 0.98, 1.02, True, "", ""),
        ("padded border", 0.0, None, 0.0, True, "pixel", "no stamp has one"),
        ("power spectrum, worst ratio", 1.09, 0.95, 1.05, False, "", "at 0.31 cycles per pixel"),
        ("PSF width, ratio", None, None, None, None, "", "no star in the simulated images"),
    ]
    keys = ("name", "value", "low_limit", "high_limit", "passed", "unit", "note")
    return {
        "schema": 1, "track": "rgb", "object_kind": "galaxy", "null_test": False,
        "headline": "toy-sim is distinguishable from toy-survey on every metric "
        "(Holm p = 0.003 at 60 galaxies a side).",
        "sim": side("toy-sim", "Toy simulation", "simulated", n_sim),
        "obs": side("toy-survey", "Toy survey", "observed", n_obs),
        "encoder": {
            "name": "pca", "objective": "pca", "mode": "pooled", "digest": "ab" * 32,
            "dimension": 16,
            "variants": {"luminance": {"digest": "cd" * 32, "dimension": 16, "bands": ["l"]},
                         "colour": {"digest": "ef" * 32, "dimension": 16, "bands": ["r", "g"]}},
        },
        "seed": 1,
        "matching": [
            {"side": "sim", "name": "measure", "before": {"median radius [pixel]": 9.4},
             "after": {"median radius [pixel]": 5.1}, "note": "second pass on matched sky"},
            {"side": "sim", "name": "frame", "before": {"width [pixel]": 96, "n": 62},
             "after": {"width [pixel]": 64, "n": 60}, "note": ""},
            {"side": "obs", "name": "frame", "before": {"n": 182}, "after": {"n": 180}, "note": ""},
        ],
        "match_checks": [dict(zip(keys, check, strict=True)) for check in checks],
        "frame": {"kind": "radius", "width": 6.0, "unit": "measured half-light radius",
                  "stamp": 64, "note": "Sizes are not tested in this frame."},
        "selection": {
            "cuts": ["obs:axis_ratio=0.7:1.0"], "matched_fraction": {"sim": 0.968, "obs": 0.989},
            "balance": [
                {"property": "measured axis ratio", "sim_mean": 0.86, "obs_mean": 0.81, "smd": 0.31,
                 "n_sim": n_sim, "n_obs": n_obs},
                {"property": "measured radius [pixel]", "sim_mean": 5.1, "obs_mean": 5.2,
                 "smd": -0.04, "n_sim": n_sim, "n_obs": n_obs},
            ],
            "n_donors": 40,
        },
        "audit": {"verdict": "warned", "checks": [], "not_run": ["sky corners", "JPEG grid"],
                  "reasons": ["the display mapping of the composites is unknown"]},
        "comparisons": [
            comparison("sliced_wasserstein", "luminance", lead=True, floor=(0.081, 0.07, 0.1),
                       value=(0.523, 0.481, 0.571)),
            comparison("mmd", "luminance", lead=True, floor=(0.0002, -0.0013, 0.0024),
                       value=(0.0412, 0.033, 0.049)),
            comparison("sliced_wasserstein", "colour", lead=False, floor=(0.079, 0.068, 0.097),
                       value=(0.612, 0.57, 0.66)),
            comparison("mmd", "colour", lead=False, floor=(0.0001, -0.0012, 0.0022),
                       value=(0.0018, 0.0002, 0.004)),
            comparison("occupancy", "luminance", lead=True, floor=(0.01, 0.005, 0.02),
                       value=(None, None, None)) | {"reason": "fewer than 8 groups in a region",
                                                    "floor": None, "p_value": None,
                                                    "p_adjusted": None},
        ],
        "occupancy": {"variant": "luminance", "k": 5, "jensen_shannon_bits": 0.084,
                      "fitted_on": "both sides pooled", "claims": True, "reason": "",
                      "regions": regions},
        "objects": {"variant": "luminance", "k": 5, "n_reference": 90, "fraction_beyond_95": 0.21,
                    "sim": objects},
        "map": {"variant": "luminance", "explained_variance": [0.34, 0.12]},
        "warnings": ["every toy galaxy is face-on"],
        "rejected": [{"side": "obs", "id": "galaxy 7", "path": "images/7.jpg", "code": "E_TRUNC",
                      "reason": "the file ends early", "sha256": "12" * 32}],
        "excluded": [{"side": "sim", "id": "galaxy 9", "step": "frame", "radius": 31.5,
                      "reason": "the frame is wider than the image"}],
        "provenance": {
            "versions": {"python": "3.11.7", "simreal": "0.1.0", "numpy": "2.0"},
            "machine": {"platform": "linux", "cores": 2}, "device": "cpu", "threads": 1,
            "command": ["simreal", "compare", "--sim", "toy-sim", "--obs", "toy-survey"],
            "settings": {"quick": False, "n": None}, "timings": {"match": 3.21, "report": 1.5},
        },
    }  # fmt: skip


def make_inputs(*, hostile: bool = False) -> ReportInputs:
    """Return a run of 60 simulated and 180 observed galaxies.

    Hostile ones carry a payload in every text that comes from a file, a table or a card.
    """
    rng = np.random.default_rng(5)
    n_sim, n_obs = 60, 180
    text = PAYLOADS if hostile else ("",)
    sim_ids = [f"{text[i % len(text)]}sim {i}" for i in range(n_sim)]
    obs_ids = [f"{text[i % len(text)]}obs {i}" for i in range(n_obs)]
    near = rng.integers(0, n_obs, (n_sim, 3))
    places = {"sim": rng.normal(0.6, 1.0, (n_sim, 2)), "obs": rng.normal(0.0, 1.3, (n_obs, 2))}
    labels = {
        key: np.linalg.norm(xy[:, None] - CENTRES, axis=2).argmin(axis=1)
        for key, xy in places.items()
    }
    regions = region_rows({"sim": sim_ids, "obs": obs_ids}, labels)
    results = full_results(sim_ids, obs_ids, near, regions)
    if hostile:
        results = poisoned(results)
    sets = {
        "sim": image_set("toy-sim", "simulated", galaxies(rng, n_sim, 64, 0.03), sim_ids),
        "obs": image_set("toy-survey", "observed", galaxies(rng, n_obs, 64, 0.03), obs_ids),
        "native_sim": image_set("toy-sim", "simulated", galaxies(rng, n_sim, 160, 0), sim_ids),
        "native_obs": image_set("toy-survey", "observed", galaxies(rng, n_obs, 96, 0.04), obs_ids),
    }
    return ReportInputs(
        results=results,
        coordinates_sim=places["sim"],
        coordinates_obs=places["obs"],
        explained_variance=np.array([0.34, 0.12]),
        region_sim=labels["sim"],
        region_obs=labels["obs"],
        **sets,
    )


#: What the pipeline writes from a fixed list, so no file can put anything else there.
_FIXED = {
    "track", "object_kind", "role", "sampling", "mode", "verdict", "direction", "id", "group",
    "nearest_obs", "sim_ids", "obs_ids", "side", "metric", "variant",
}  # fmt: skip


def poisoned(
    value: Any, payloads: tuple[str, ...] = PAYLOADS, key: str = "", place: list[int] | None = None
) -> Any:
    """Return `value` with a payload put before every text, and ids left as they are."""
    place = [0] if place is None else place
    if key in _FIXED:
        return value
    if isinstance(value, str):
        place[0] += 1
        return f"{payloads[place[0] % len(payloads)]} {value}"
    if isinstance(value, dict):
        return {name: poisoned(item, payloads, name, place) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, payloads, key, place) for item in value]
    return value


@pytest.fixture(scope="session")
def inputs() -> ReportInputs:
    """A well-behaved run."""
    return make_inputs()


@pytest.fixture(scope="session")
def hostile_inputs() -> ReportInputs:
    """The same run with a payload in every name and text."""
    return make_inputs(hostile=True)


@pytest.fixture(scope="session")
def benign_results(inputs: ReportInputs) -> dict[str, Any]:
    """The results with a harmless word where the hostile ones have a payload."""
    return poisoned(dict(inputs.results), ("x",))


@pytest.fixture(scope="session")
def written(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The report of the well-behaved run."""
    return write_report(inputs, tmp_path_factory.mktemp("report"))


@pytest.fixture
def results(inputs: ReportInputs) -> dict[str, Any]:
    """Return fresh results that a test may change."""
    import copy

    return copy.deepcopy(dict(inputs.results))
