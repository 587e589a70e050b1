"""The calibration from images to tables, and its command."""

import dataclasses
import json

import numpy as np
import pytest

from simreal.cli import main
from simreal.compare.calibrate import Calibration
from simreal.compare.calibration import level
from simreal.compare.calibration.effort import Effort
from simreal.compare.calibration.level import measure_levels
from simreal.compare.calibration.planted import PlantedRow
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Setup
from simreal.encode.run import fit_encoder, save_encoder
from simreal.pipeline import calibrate as module
from simreal.pipeline import ladder
from simreal.pipeline.calibrate import CalibrateSettings, RetrainedImages, one_set, run_calibration
from simreal.pipeline.calibration_document import BEGIN, END, document, markdown, table
from simreal.pipeline.ladder import damage_kinds, ladder_parts, run_ladder

SMALL = Effort(repetitions=20, n=20, n_permutations=19, n_subsamples=50)


def stamps(n=90, side=32, seed=0, name="blobs"):
    """Round sources of various size and brightness on a noisy sky."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    width = rng.uniform(1.5, 4.0, (n, 1, 1))
    height = rng.uniform(0.3, 0.8, (n, 1, 1))
    images = 0.1 + height * np.exp(-(x**2 + y**2) / (2 * width**2))
    images += 0.02 * rng.standard_normal(images.shape)
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=np.clip(images, 0, 1)[:, None].astype("f4"),
        ids=np.array([f"{name}{i:03d}" for i in range(n)]),
        groups=np.array([f"{name}{i:03d}" for i in range(n)]),
        setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    )


@pytest.fixture
def simreal(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


# ------------------------------------------------------------------ images


def test_a_pooled_encoder_fitted_in_every_repetition_keeps_the_level():
    null = RetrainedImages(stamps=stamps(), encoder="pca", n=40, source="blobs")
    rows = measure_levels([(null, 30)], ["mmd"], effort=SMALL)
    assert rows[0].passed
    assert rows[0].null == "images"
    assert "pca fitted to both sides anew" in rows[0].note


def test_an_encoder_fitted_to_one_side_is_flagged(monkeypatch):
    """The suite can fail: the same images, the same test, an encoder that saw one side only."""
    import simreal.encode.run as encode

    right = encode.fit_encoder
    monkeypatch.setattr(
        encode, "fit_encoder", lambda name, sets, **how: right(name, sets[:1], **how)
    )
    monkeypatch.setattr(level, "RERUN_FACTOR", 1)  # the outcome is clear enough
    null = RetrainedImages(stamps=stamps(), encoder="pca", n=40, source="blobs")
    rows = measure_levels([(null, 20)], ["mmd"], effort=SMALL)
    assert rows[0].rejection > 0.5
    assert rows[0].passed is False


def test_two_sets_become_one_without_the_conditions_of_single_images():
    first, second = stamps(5), stamps(7, name="more")
    first = first.replace(setup=first.setup.replace(noise=np.full((5, 1), 0.02)))
    both = one_set(first, second)
    assert len(both) == 12
    assert both.setup.noise is None
    np.testing.assert_array_equal(both.images.read(slice(5, 12)), second.images.read(slice(0, 7)))


@pytest.fixture
def few_kinds(monkeypatch):
    kinds = {"psf": (0.0, 0.5, 1.0, 2.0), "contamination": (0.0, 0.2, 0.4, 0.8)}
    monkeypatch.setattr(ladder, "damage_kinds", lambda stamps, n_levels: kinds)


def fitted(tmp_path, images):
    folder = tmp_path / "encoder"
    folder.mkdir()
    save_encoder(fit_encoder("pca", [images]), folder)
    return folder


def test_the_ladder_rises_with_the_damage(tmp_path, few_kinds):
    images = stamps(150)
    fitting, scored = (images.rows(rows) for rows in ladder_parts(images.groups, seed=0))
    assert not set(fitting.groups) & set(scored.groups)
    rows = run_ladder(
        fitting, scored, ["mmd", "sliced_wasserstein"], encoder=fitted(tmp_path, fitting),
        size=(2, 4), effort=SMALL,
    )  # fmt: skip
    assert [(row.metric, row.kind) for row in rows] == [
        (m, k) for m in ("mmd", "sliced_wasserstein") for k in ("psf", "contamination")
    ]
    for row in rows:
        assert row.monotone, row
        assert row.starts_at_floor, row
        assert row.n == len(scored) // 2
        assert len(row.seed_spearman) == 2
    # Without damage every kind reads the same: same halves, same encoder.
    assert rows[0].means[0] == rows[1].means[0]


def test_a_ladder_of_too_few_objects_says_so(tmp_path, few_kinds):
    images = stamps(30)
    fitting, scored = (images.rows(rows) for rows in ladder_parts(images.groups, seed=0))
    few = scored.rows(np.arange(12))
    rows = run_ladder(
        fitting, few, ["occupancy"], encoder=fitted(tmp_path, fitting), size=(2, 4), effort=SMALL
    )
    assert all(row.means is None for row in rows)
    assert "needs 20 groups" in rows[0].reason


def test_every_kind_of_damage_starts_from_none():
    kinds = damage_kinds(stamps(2), 6)
    assert len(kinds) >= 8
    for severities in kinds.values():
        assert len(severities) == 6
        assert severities[0] == 0
        assert (np.diff(severities) > 0).all()


# ------------------------------------------------------------------ settings and tables


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"parts": ("levle",)}, "did you mean 'level'"),
        ({"nulls": ("gauss",)}, "did you mean 'gaussian'"),
        ({"metrics": ("mdm",)}, "did you mean 'mmd'"),
        ({"encoder": "simclear"}, "did you mean 'simclr'"),
        ({"repetitions": 3}, "allowed is 20 or more"),
    ],
)
def test_wrong_words_are_refused_before_any_work(given, words):
    with pytest.raises(UsageError, match=words):
        CalibrateSettings(**given)


def test_the_toys_stand_in_for_images_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    card, note = module._card(CalibrateSettings())
    assert card.name == "toy-survey"
    assert "the images of sdss are not here" in note
    with pytest.raises(UsageError, match="sdss"):  # named, they are not replaced
        run_calibration(CalibrateSettings(obs="sdss", parts=("ladder",)))


def planted_row(**changes):
    row = PlantedRow(
        name="one-sided PCA", summary="s", right="r", expected="1.00", repetitions=60,
        rejection=1.0, correct=0.05, ks_p=0.0, correct_ks_p=0.5, band=(0.0, 0.15), auc=None,
        correct_auc=float("nan"), caught=True, passed=True,
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


def written(found):
    settings = {"seed": 0, "n": 100, "n_permutations": 199, "survey_encoder": "pca"}
    return document(found, settings=settings, survey="toy", seconds=61.0)


def test_the_document_is_plain_json_and_its_tables_say_the_same():
    results = written(Calibration(planted=(planted_row(), planted_row(passed=False))))
    again = json.loads(json.dumps(results, allow_nan=False))
    assert {"level", "power", "coverage", "ladder", "planted_errors"} <= set(again)
    assert again["planted_errors"][0]["rejection"] == 1.0
    assert again["planted_errors"][0]["correct_auc"] is None  # not a number is null
    assert again["planted_errors"][0]["band"] == [0.0, 0.15]
    assert again["passed"] is False
    text = table(again)
    assert text.splitlines()[0].split()[:2] == ["part", "name"]
    assert "1 passed, 1 failed, 0 reported" in text
    marked = markdown(again)
    assert marked.startswith(BEGIN)
    assert marked.endswith(END)
    assert "### Planted errors" in marked
    assert marked.count("| FAIL |") == 1
    assert "### Level" not in marked


def test_ladders_stand_in_the_documentation_step_by_step(tmp_path, few_kinds):
    images = stamps(150)
    fitting, scored = (images.rows(rows) for rows in ladder_parts(images.groups, seed=0))
    rows = run_ladder(
        fitting, scored, ["mmd"], encoder=fitted(tmp_path, fitting), size=(2, 4), effort=SMALL
    )
    marked = markdown(written(Calibration(ladder=rows, judged=frozenset({"mmd"}))))
    assert "| kind | 0 | 1 | 2 | 3 | Spearman | per seed |" in marked
    assert (
        sum(line.startswith(("| psf |", "| contamination |")) for line in marked.splitlines()) == 2
    )


# ------------------------------------------------------------------ the command


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setitem(module.QUICK, "planted_repetitions", 20)


def test_the_command_prints_json_and_nothing_else(simreal, quick, tmp_path):
    out = tmp_path / "deep" / "calibration.json"
    code, text, err = simreal(
        "calibrate", "--quick", "--part", "planted", "--json", "--workers", "1", "--out", str(out)
    )
    found = json.loads(text)
    assert code == (0 if found["passed"] else 7)
    assert err == ""
    assert json.loads(out.read_text()) == found
    assert len(found["planted_errors"]) == 5
    assert all(row["caught"] for row in found["planted_errors"] if "bandwidth" not in row["name"])


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 7)])
def test_a_bar_that_is_missed_is_exit_code_7(simreal, monkeypatch, passed, code):
    found = Calibration(planted=(planted_row(passed=passed),))
    monkeypatch.setattr(module, "calibrate", lambda *given, **named: found)
    left, out, _ = simreal("calibrate", "--part", "planted", "--quick")
    assert left == code
    assert ("FAIL" in out) is not passed


def test_the_command_refuses_a_wrong_word_in_one_line(simreal):
    code, out, err = simreal("calibrate", "--metric", "mdm")
    assert (code, out) == (2, "")
    assert err.startswith("simreal: error: unknown metric 'mdm': did you mean 'mmd'")
    assert err.count("\n") == 1


@pytest.mark.slow  # renders a toy survey and runs all parts: a minute
def test_the_quick_calibration_runs_from_end_to_end(simreal):
    code, text, _ = simreal("calibrate", "--quick", "--json")
    found = json.loads(text)
    assert code == 0, [row for row in found["verdicts"] if row["passed"] is False]
    nulls = {row["null"] for row in found["level"]}
    assert nulls == {"gaussian", "survey", "images"}
    for part in ("level", "power", "coverage", "ladder", "planted_errors"):
        assert found[part], part
    assert "toy-survey" in found["survey"]


def test_a_survey_too_small_for_two_sides_is_one_line():
    with pytest.raises(NotComputableError, match="need 40 groups, there are 20"):
        RetrainedImages(stamps=stamps(20), encoder="pca", n=20)
