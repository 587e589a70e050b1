"""A small, complete run as the pipeline hands it over: synthetic galaxies, every section filled."""

import functools
import tempfile
import zlib
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from simreal.core.audit import AuditCheck, AuditResult, Reading
from simreal.core.embedding import Embedding
from simreal.core.images import ImageSet, Setup
from simreal.pipeline.audit import as_fragment
from simreal.pipeline.explain import Explained, explain
from simreal.report.page import ReportInputs, write_report
from simreal.report.tables import printable

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
    "<iframe srcdoc='<script>alert(4)</script>'></iframe>",
    "<math><mi//xlink:href='data:x,<script>alert(5)</script>'>",
    "<details open ontoggle=alert(6)>",
    "&lt;script&gt;alert(7)&lt;/script&gt;",
    "]]><!--<script>alert(8)</script>-->",
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


#: What an audit said before there were checks.
OLD_AUDIT = {
    "verdict": "warned", "checks": [], "not_run": ["sky corners", "JPEG grid"],
    "reasons": ["the display mapping of the composites is unknown"],
}  # fmt: skip


def reading(name: str, value: float | None, error: float = 0.0, **more: Any) -> Reading:
    """Return a reading with its interval at 95 %."""
    if value is None:
        return Reading(name=name, value=None, **more)
    ends = {"low": value - 1.96 * error, "high": value + 1.96 * error, "error": error}
    return Reading(name=name, value=value, n_sim=60, n_obs=180, **ends, **more)


def check(code: str, title: str, readings: list[Reading], **more: Any) -> AuditCheck:
    """Return a check whose name, question and mend follow from its title."""
    texts = {"question": f"Do both sides agree in {title.lower()}?",
             "mend": f"match {title.lower()} again with its own spectrum"}  # fmt: skip
    name = title.lower().replace(" ", "_")
    return AuditCheck(
        name=name, code=code, title=title, readings=tuple(readings),
        **({"cost": "fast", "names_cause": True} | texts | more),
    )  # fmt: skip


def audit_checks() -> list[AuditCheck]:
    """Return a battery with every verdict, scale and standing in it."""
    ratio = {"scale": "ratio", "limit": 0.0488}
    power = [reading(f"power at {0.04 * (k + 1):.2f} cycles per pixel", 0.004 * (-1) ** k, 0.012,
                     p_value=1.0, p_adjusted=1.0, **ratio) for k in range(14)]  # fmt: skip
    return [
        check("A1", "Sky classifier", [
            reading("AUC on empty sky", 0.546, 0.031, scale="auc", limit=0.05, p_value=0.55,
                    p_adjusted=1.0),
            reading("AUC on the stamps' corners", 0.561, 0.03, scale="auc", limit=0.05,
                    vetoes=False, note="corners hold the outskirts of galaxies"),
        ], names_cause=False),
        check("A2", "Noise power", power),
        check("A3", "Sky statistics", [
            reading("sky rms, r", 0.0953, 0.018, scale="ratio", limit=0.0198, p_value=1e-5,
                    p_adjusted=2e-4),
            reading("sky level, r", 0.031, 0.011, limit=0.02, unit="sigma", p_value=0.2,
                    p_adjusted=1.0),
            reading("tilt across the stamp", -0.004, 0.003, limit=0.02, unit="sigma", p_value=1.0,
                    p_adjusted=1.0),
            reading("sky skewness", 0.3, 0.1, unit="", limit=None, note="shown only"),
        ], notes=["measured on 60 and 180 pieces of empty sky"]),
        check("A4", "PSF", [
            reading("PSF width", None, reason="no star in the simulated images"),
        ]),
        check("A5", "Where the evidence lies", [
            reading("AUC without the centre", 0.58, 0.028, scale="auc", limit=0.05, p_value=0.15,
                    p_adjusted=1.0),
            reading("AUC of the whole image", 0.83, 0.02, scale="auc", limit=0.05, vetoes=False),
            reading("share of the evidence outside", 0.24, 0.05, scale="share", limit=None,
                    vetoes=False),
        ], names_cause=False),
        check("A6", "Nuisance probes", [
            reading("R² of the number of neighbours", 0.02, 0.018, scale="share", limit=0.1,
                    p_value=1.0, p_adjusted=1.0),
            reading("centring, x", 0.01, 0.02, limit=0.1, unit="pixel", p_value=1.0,
                    p_adjusted=1.0),
        ]),
        check("A9", "Nuisance ablation", [
            reading("distance left with all nuisances equalised", 0.91, 0.05, scale="share",
                    limit=None, vetoes=False),
        ], cost="full"),
        check("A11", "Lowest-level identity", [
            reading("8-bit grid", 0.5, 0.0, scale="separation", limit=0.05, p_value=1.0,
                    p_adjusted=1.0),
            reading("JPEG block edges", 0.62, 0.02, scale="separation", limit=0.05, p_value=2e-4,
                    p_adjusted=0.004),
            reading("border value", 1e9, 0.0, limit=1e-12, p_value=0.0, p_adjusted=0.0),
        ]),
    ]  # fmt: skip


#: Kind, name, title, what it must exceed, and its distance in floors of a metric.
CONTROLS = (
    ("comparison", "toy-sim", "Toy simulation", None, 6.5),
    ("positive", "positive", "real galaxies, same pipeline", None, 1.2),
    ("bridge", "hsc", "Hyper Suprime-Cam composites", None, 8.1),
    ("bridge", "decals", "Legacy Survey composites", None, 5.2),
    ("negative", "noiseless", "noiseless", "positive", 9.0),
    ("negative", "psf", "PSF widened 1.5 times", "positive", 2.1),
    ("negative", "sersic", "Sérsic profiles only", "positive", 0.9),
    ("negative", "shuffled", "bands shuffled", "simulation", 30.0),
    ("negative", "permuted", "pixels permuted", "simulation", 55.0),
    ("negative", "stars", "images of stars", "simulation", 6.1),
)
#: Metric and the floor's median; the second spans decades, the third is an AUC-like number.
CONTROL_METRICS = (("sliced_wasserstein", 0.08), ("mmd", 0.0007), ("occupancy", 0.011))


def control_rows() -> list[dict[str, Any]]:
    """Return ten controls in three metrics and two variants, some failing, some not computed."""
    rows = []
    for variant in ("luminance", "colour"):
        for place, (metric, floor) in enumerate(CONTROL_METRICS):
            for kind, name, title, must, times in CONTROLS:
                value = floor * times ** (1.0 + 0.4 * place) * (1.0 if variant[0] == "l" else 1.1)
                base = floor * (1.2 if must == "positive" else 6.5) ** (1.0 + 0.4 * place)
                missing = name == "stars" and metric == "occupancy"
                rows.append(
                    {
                        "kind": kind, "name": name, "title": title, "variant": variant,
                        "metric": metric, "value": None if missing else value,
                        "low": None if missing else 0.9 * value,
                        "high": None if missing else 1.12 * value,
                        "p_value": None if missing else 0.005, "n_sim": 60, "n_obs": 60,
                        "floor_median": floor, "floor_high": 1.3 * floor, "must_exceed": must,
                        "holds": None if must is None or missing else value > base,
                        "reason": "fewer than 8 groups in a region" if missing else None,
                    }
                )  # fmt: skip
    return rows


def audit_results() -> dict[str, Any]:
    """Return a full audit as the pipeline writes it."""
    result = AuditResult(
        verdict="confounded",
        checks=tuple(audit_checks()),
        not_run=("Invariance", "Occlusion"),
        reasons=(
            "Sky statistics outside its limit: sky rms, r 1.1 [1.06, 1.14], 4.8 limits",
            "Lowest-level identity outside its limit: border value",
            "not computable: PSF",
            "not shown to be inside the limit at this n: Sky classifier",
            "the display mapping of the composites is unknown",
        ),
        first="sky_statistics",
        controls=tuple(control_rows()),
    )
    excess = {"metric": "sliced_wasserstein", "variant": "luminance", "value": 0.21, "low": 0.18,
              "high": 0.25, "reason": None}  # fmt: skip
    return as_fragment(result, level="full") | {"positive_excess": [excess]}


def audit_pictures() -> dict[str, dict[str, Any]]:
    """Return pictures of every kind, among them one that cannot be drawn."""
    rng = np.random.default_rng(9)
    x = np.linspace(0.05, 0.5, 18)
    spectrum = 1.0 / (0.02 + x**2)
    ratio = 1.0 + 0.02 * np.sin(20 * x) + 0.09 * (x > 0.42)
    y, z = np.mgrid[:32, :32] - 15.5
    residual = np.exp(-(y**2 + z**2) / 30) - 1.3 * np.exp(-(y**2 + z**2) / 18)
    return {
        "noise_power": {
            "spectrum": {
                "kind": "curves", "x": x.tolist(), "x_label": "frequency [cycles per pixel]",
                "y_label": "noise power", "log": True,
                "series": {"sim": (spectrum * ratio).tolist(), "obs": spectrum.tolist()},
                "ratio": ratio.tolist(), "ratio_low": (ratio - 0.03).tolist(),
                "ratio_high": (ratio + 0.03).tolist(), "limits": [0.95, 1.05],
                "caption": "Power of empty sky, azimuthally averaged, band r.",
            },
            "sky": {
                "kind": "images", "diverging": False, "caption": "Pieces of empty sky.",
                "tiles": [{"label": f"{side} sky {k}", "pixels":
                           np.round(rng.normal(0.1, 0.01, (24, 24)), 4).tolist()}
                          for side in ("simulated", "observed") for k in range(6)],
            },
        },
        "sky_statistics": {
            "rms": {
                "kind": "histograms", "x_label": "sky rms [display value]",
                "values": {"sim": rng.normal(0.022, 0.002, 60).tolist(),
                           "obs": rng.normal(0.02, 0.002, 180).tolist()},
                "caption": "Sky rms of every frame; ticks at the medians.",
            },
            "autocorrelation": {
                "kind": "curves", "x": [0, 1, 2, 3, 4, 6, 8], "x_label": "lag [pixel]",
                "y_label": "autocorrelation", "log": False,
                "series": {"sim": [1, 0.41, 0.12, 0.05, 0.02, 0.01, None],
                           "obs": [1, 0.38, 0.1, 0.05, 0.03, 0.01, 0.0]},
                "caption": "Autocorrelation of empty sky.",
            },
            "broken": {"kind": "curves", "x": [1, 2], "series": {"sim": [1]}},
        },
        "where_the_evidence_lies": {
            "map": {
                "kind": "images", "diverging": True, "caption": "Weights of the classifier.",
                "tiles": [{"label": label, "pixels": np.round(sign * residual, 4).tolist()}
                          for label, sign in (("whole image", 1.0),
                                              ("centre masked out to one radius", -0.7),
                                              ("outskirts masked", 0.4))],
            },
            "variants": {
                "kind": "bars", "x_label": "AUC", "limit": 0.55, "caption": "AUC of each view.",
                "rows": [{"label": label, "value": v, "low": v - 0.05, "high": v + 0.05}
                         for label, v in (("whole image", 0.83), ("centre masked", 0.58),
                                          ("outskirts masked", 0.81), ("radially shuffled", 0.66),
                                          ("phases randomised", 0.71))],
            },
        },
        "nuisance_ablation": {
            "steps": {
                "kind": "bars", "x_label": "share of the distance that is left", "limit": None,
                "caption": "One more nuisance matched in each row.",
                "rows": [{"label": "as compared", "value": 1.0, "low": 0.95, "high": 1.05},
                         {"label": "and sky rms", "value": 0.93, "low": 0.88, "high": 0.99},
                         {"label": "and PSF", "value": None, "low": None, "high": None}],
            },
        },
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
        "audit": audit_results(),
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


@functools.cache
def explained_run() -> Explained:
    """Return regions, gradients and maps of two small embeddings whose size drives the place.

    The simulated side has a property that the observed one lacks, and one that is constant.
    """
    rng = np.random.default_rng(8)
    setup = Setup(track="rgb", bands=("r", "g", "b"), unit="display")
    sides = {}
    for name, n, shift in (("sim", 60, 1.0), ("obs", 180, 0.0)):
        size, mass = rng.normal(size=(2, n))
        vectors = rng.normal(scale=0.3, size=(n, 6))
        vectors[:, 0] += 2 * size + shift
        columns = {"half_mass_radius": size * u.kpc, "stellar_mass": mass}
        if name == "sim":
            columns |= {"spin": rng.normal(size=n), "same": np.ones(n)}
        ids = np.array([f"{name} {i}" for i in range(n)])
        sides[name] = Embedding(
            name=f"toy-{name}", sampling="random", vectors=vectors.astype(np.float32), ids=ids,
            groups=ids, setup=setup, encoder_digest="e", source_digest=name,
            properties=QTable(columns),
        )  # fmt: skip
    folder = Path(tempfile.mkdtemp())
    found = explain(sides["obs"], sides["sim"], seed=0, folder=folder)
    return Explained(found={"variant": "luminance", **found}, folder=folder)


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return `value` with every text that is a key of `names` replaced."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    return value


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
    explained = explained_run()
    plain = [f"{side} {i}" for side, n in (("sim", n_sim), ("obs", n_obs)) for i in range(n)]
    names = dict(zip(plain, [*sim_ids, *obs_ids], strict=True))
    results["explained"] = renamed(explained.found, names)
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
        **explained.labels(),
        drawn=explained.drawings(),
        audit_pictures=poisoned_pictures() if hostile else audit_pictures(),
        **sets,
    )


#: What the pipeline writes from a fixed list, so no file can put anything else there.
_FIXED = {
    "track", "object_kind", "role", "sampling", "mode", "verdict", "direction", "id", "group",
    "nearest_obs", "sim_ids", "obs_ids", "side", "metric", "variant", "kind", "cost", "scale",
    "level", "must_exceed", "ids", "other_ids", "sim_edge_ids", "obs_edge_ids", "figure",
}  # fmt: skip


def poison(text: str, payloads: tuple[str, ...] = PAYLOADS) -> str:
    """Return `text` behind a payload, always the same one: names that belong together stay so."""
    return f"{payloads[zlib.crc32(text.encode()) % len(payloads)]} {text}"


def poisoned(value: Any, payloads: tuple[str, ...] = PAYLOADS, key: str = "") -> Any:
    """Return `value` with a payload put before every text, and ids left as they are."""
    if key in _FIXED:
        return value
    if isinstance(value, str):
        return poison(value, payloads)
    if isinstance(value, dict):
        return {name: poisoned(item, payloads, name) for name, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, payloads, key) for item in value]
    return value


def poisoned_pictures() -> dict[str, dict[str, Any]]:
    """Return the audit's pictures with a payload in every name and text."""
    return {
        # As the results name the check: what UTF-8 cannot hold is escaped there.
        printable(poison(check)): {poison(name): poisoned(data) for name, data in pictures.items()}
        for check, pictures in audit_pictures().items()
    }


@pytest.fixture(scope="session")
def inputs() -> ReportInputs:
    """A well-behaved run."""
    return make_inputs()


@pytest.fixture(scope="session")
def hostile_inputs() -> ReportInputs:
    """The same run with a payload in every name and text."""
    return make_inputs(hostile=True)


@pytest.fixture(scope="session")
def old_audit() -> dict[str, Any]:
    """What a run wrote before there were checks."""
    return dict(OLD_AUDIT)


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
