"""Every way to better a score by hand is refused, and says what was found."""

import copy
import json
import shutil

import numpy as np
import pytest

from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.data.store import read_embedding, write_embedding
from simreal.pipeline.manifest import write_manifest
from simreal.pipeline.verify import NotVerifiedError, board_changes, verify
from simreal.report.leaderboard import board_to_json


@pytest.fixture
def bench(made_bench, tmp_path):
    """A copy that may be damaged; the card names its encoder by the first place."""
    shutil.copytree(made_bench.root, tmp_path / "bench")
    return type(made_bench)(tmp_path / "bench")


@pytest.fixture
def run(bench):
    return bench.runs / "near"


def edit(path, change):
    """Change a JSON file and make the manifest good again, as a forger would."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_manifest(path.parent)


def refused(folder, words, **options):
    with pytest.raises(SimrealError) as error:
        verify(folder, **options)
    text = str(error.value)
    assert words in text
    assert "\n" not in text
    return error.value


def write_board(bench, board):
    (bench.board / "board.json").write_text(board_to_json(board))
    (bench.board / "card.toml").write_text(bench.card.read_text())
    listed = "synthetic-v1.observed.csv"
    shutil.copyfile(bench.root / listed, bench.board / listed)


# -- a run ---------------------------------------------------------------------------------


def test_a_run_as_it_was_left_is_verified(run, bench):
    found = verify(run, card=str(bench.card))
    assert found.what == "run"
    assert "4 comparisons recomputed from the embeddings agree" in found.checked


def test_an_edited_score_is_refused_with_and_without_the_manifest(run):
    path = run / "results.json"
    content = json.loads(path.read_text())
    content["comparisons"][0]["value"] *= 0.9
    path.write_text(json.dumps(content))
    refused(run, "results.json was altered")
    write_manifest(run)
    error = refused(run, "luminance mmd: the results say value =")
    assert "its embeddings give" in str(error)
    assert error.exit_code == 7


@pytest.mark.parametrize("name", ["low", "excess", "p_value", "floor"])
def test_every_number_beside_a_score_is_held_too(run, name):
    def change(content):
        row = content["comparisons"][0]
        if name == "floor":
            row["floor"]["high"] = 5.0
        else:
            row[name] = (row[name] or 0) * 0.5 + 0.3

    edit(run / "results.json", change)
    refused(run, "the results say " + ("floor high" if name == "floor" else name))


def test_a_missing_and_an_altered_file_are_named(run):
    (run / "observed.json").unlink()
    refused(run, "observed.json is missing")
    (run / "manifest.json").unlink()
    with pytest.raises(StorageError, match="no finished run"):
        verify(run)


@pytest.mark.parametrize("how", ["other run", "other variant", "sides", "other vectors"])
def test_swapped_embeddings_are_refused(run, bench, how):
    place = run / "embeddings"
    if how == "other run":
        for variant in ("luminance", "colour"):
            shutil.copyfile(bench.runs / f"again/embeddings/{variant}/sim.h5",
                            place / variant / "sim.h5")  # fmt: skip
        words = "was swapped"
    elif how == "other variant":
        shutil.copyfile(place / "colour/sim.h5", place / "luminance/sim.h5")
        words = "was swapped: it comes from the encoder"
    elif how == "sides":
        for variant in ("luminance", "colour"):
            one, other = place / variant / "sim.h5", place / variant / "obs.h5"
            content = one.read_bytes()
            one.write_bytes(other.read_bytes())
            other.write_bytes(content)
        words = "the results speak of"
    else:
        path = place / "luminance/sim.h5"
        had = read_embedding(path)
        write_embedding(path, had.replace(vectors=np.asarray(had.vectors) * 0.5))
        words = "its embeddings give"
    write_manifest(run)
    refused(run, words)


def test_another_seed_is_refused_by_its_numbers_and_by_the_card(run, bench):
    edit(run / "results.json", lambda content: content.update(seed=1))
    refused(run, "another seed: 1, the card asks for 0", card=str(bench.card))
    refused(run, "the results say")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("stamp", 32, "stamp is 32, the card asks for 64"),
        ("select", ["axis_ratio=0.5:"], "select is"),
        ("permutations", 199, "permutations is 199"),
        ("allow", ["noise"], "allow is"),
    ],
)
def test_other_settings_than_the_cards_are_refused(run, bench, name, value, words):
    edit(run / "results.json",
         lambda content: content["provenance"]["settings"].update({name: value}))  # fmt: skip
    refused(run, words, card=str(bench.card))


def test_another_observed_list_is_refused(run, bench):
    edit(run / "observed.json", lambda content: content["pixel_hashes"].__setitem__(3, "f" * 16))
    refused(run, "1 object with other pixels, the first is 'toy-survey-003'", card=str(bench.card))
    edit(run / "observed.json", lambda content: content["ids"].__setitem__(3, "elsewhere"))
    refused(run, "holds other objects than observed.json lists", card=str(bench.card))


def test_scoring_what_the_encoder_was_trained_on_is_refused(run, made_bench):
    import sys

    write_encoder = sys.modules[type(made_bench).__module__].write_encoder
    write_encoder(run, trained_on=[5, 7, 2000])
    write_manifest(run)
    refused(run, "the encoder was trained on 2 of the 60 observed objects it scores")
    shutil.rmtree(run / "encoder")
    write_manifest(run)
    refused(run, "what it was trained on cannot be told")


def test_fewer_rows_are_refused(run, bench):
    for variant in ("luminance", "colour"):
        path = run / "embeddings" / variant / "sim.h5"
        write_embedding(path, read_embedding(path).rows(np.arange(15)))
    write_manifest(run)
    refused(run, "rows were added or left out")
    edit(run / "results.json", lambda content: content["sim"].update(n=15, n_groups=15))
    refused(run, "fewer rows than the card asks for", card=str(bench.card))


def test_a_condition_that_differs_must_have_been_said(run, bench):
    for variant in ("luminance", "colour"):
        path = run / "embeddings" / variant / "sim.h5"
        had = read_embedding(path)
        write_embedding(path, had.replace(setup=had.setup.replace(frame="radius", frame_width=3)))
    write_manifest(run)
    refused(run, "of which the audit says nothing", card=str(bench.card))


def test_a_changed_card_is_refused(run, bench):
    bench.card.write_text(f'seal = "{bench.loaded()[0].digest}"\n' + bench.card.read_text())
    verify(run, card=str(bench.card))
    bench.card.write_text(bench.card.read_text().replace("n = 20", "n = 10", 1))
    refused(run, "changed after it was sealed", card=str(bench.card))


def test_another_version_of_a_metric_is_refused(run, bench):
    text = bench.card.read_text()
    bench.card.write_text(text.replace("mmd = { reads = ", "mmd = { reads = 9", 1))
    refused(run, "another version of the metric", card=str(bench.card))


def test_a_folder_that_is_neither_gets_one_line(tmp_path):
    with pytest.raises(UsageError, match="neither a run"):
        verify(tmp_path)


# -- a board -------------------------------------------------------------------------------


def test_a_board_is_verified_from_its_own_copy_of_the_card(bench, built_board):
    write_board(bench, built_board)
    found = verify(bench.board)
    assert found.what == "board"
    assert "every number of the board recomputed" in found.checked[-1]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda b: b["rows"][0]["cells"]["luminance"]["mmd"].update(excess=0.0),
         "rows[near].cells.luminance.mmd.excess"),
        (lambda b: b["rows"][0]["audit"].update(verdict="clean"), "rows[near].audit.verdict"),
        (lambda b: b["rows"][0].update(reason="x"), "rows[near].reason"),
        (lambda b: b["ranking"][0]["ranks"].reverse(), "ranking[0].ranks[0]"),
        (lambda b: b["ranking"][0]["p_rank"][0].reverse(), "ranking[0].p_rank[0][0]"),
        (lambda b: b["floor"]["cells"]["luminance"]["mmd"].update(excess_high=9.0),
         "floor.cells.luminance.mmd.excess_high"),
        (lambda b: b["weak_convergence"]["metrics"]["mmd"]["moved"].update(value=0.0),
         "weak_convergence.metrics.mmd.moved.value"),
        (lambda b: b["rows"][0]["digests"]["colour"].update(sim="0" * 64),
         "rows[near].digests.colour.sim"),
        (lambda b: b["rows"].reverse(), "rows[wrong].name"),
    ],
)  # fmt: skip
def test_an_edited_board_differs_at_the_place_that_was_edited(built_board, change, where):
    assert list(board_changes(built_board, built_board)) == []
    edited = copy.deepcopy(built_board)
    change(edited)
    first = next(board_changes(edited, built_board))
    assert first.startswith(f"board.{where}")
    assert "its runs give" in first


def test_a_board_with_fewer_or_with_foreign_rows_is_refused(bench, built_board):
    fewer = {**built_board, "rows": built_board["rows"][1:]}
    write_board(bench, fewer)
    with pytest.raises(NotVerifiedError, match="fewer rows: near is missing"):
        verify(bench.board)
    foreign = {**built_board["rows"][0], "name": "mine"}
    write_board(bench, {**built_board, "rows": [*built_board["rows"], foreign]})
    with pytest.raises(NotVerifiedError, match="mine is not on the card"):
        verify(bench.board)


def test_a_board_under_another_card_or_without_its_runs_is_refused(bench, built_board):
    write_board(bench, built_board)
    card = bench.board / "card.toml"
    card.write_text(card.read_text().replace("seed = 0", "seed = 3"))
    with pytest.raises(NotVerifiedError, match="the card was changed"):
        verify(bench.board)
    card.write_text(bench.card.read_text())
    shutil.rmtree(bench.runs / "far")
    with pytest.raises(StorageError, match="no finished run"):
        verify(bench.board)


def test_a_board_over_an_altered_or_swapped_run_is_refused(bench, built_board):
    write_board(bench, built_board)
    path = bench.runs / "near" / "results.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(StorageError, match=r"results\.json was altered"):
        verify(bench.board)
    path = bench.runs / "near" / "embeddings/luminance/sim.h5"
    had = read_embedding(path)
    write_embedding(path, had.replace(vectors=np.asarray(had.vectors) * 0.5))
    write_manifest(bench.runs / "near")
    with pytest.raises(NotVerifiedError, match="its runs give"):
        verify(bench.board)
