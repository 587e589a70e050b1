"""The board: rows from run folders alone, ranked only where they may be, the same bytes again."""

import json
import shutil

import numpy as np
import pytest

from simreal.core.benchmark_cards import BenchmarkRow, load_benchmark
from simreal.core.errors import NotComputableError, UsageError
from simreal.data.store import read_embedding, write_embedding
from simreal.pipeline import leaderboard
from simreal.pipeline.board import build_board, check_metrics
from simreal.pipeline.cache import StageCache
from simreal.pipeline.conformity import settings_of
from simreal.pipeline.leaderboard import is_finished, make_leaderboard, read_runs
from simreal.pipeline.manifest import write_manifest
from simreal.report.leaderboard import board_to_json


@pytest.fixture
def bench(made_bench, tmp_path):
    shutil.copytree(made_bench.root, tmp_path / "bench")
    return type(made_bench)(tmp_path / "bench")


def row(board, name):
    return next(one for one in board["rows"] if one["name"] == name)


def test_only_simulations_that_may_be_ranked_are(built_board):
    assert [(one["name"], one["status"]) for one in built_board["rows"]] == [
        ("near", "ranked"), ("far", "ranked"), ("again", "reference"), ("wrong", "reference"),
    ]  # fmt: skip
    assert row(built_board, "near")["ranks"]["mmd"]["rank"] == 1
    assert row(built_board, "far")["ranks"]["mmd"] == {
        "rank": 2, "tied_with": [], "p_rank": pytest.approx([0, 1], abs=0.05),
    }  # fmt: skip
    assert row(built_board, "wrong")["ranks"] == {}
    assert "never ranked" in row(built_board, "again")["reason"]


def test_a_cell_is_the_value_between_floor_and_ceiling_at_the_cards_n(built_board):
    """By hand: (value - floor) / (ceiling - floor)."""
    for one in built_board["rows"]:
        for cell in one["cells"]["luminance"].values():
            floor = cell["floor"]["median"]
            excess = (cell["value"] - floor) / (cell["ceiling"] - floor)
            assert cell["excess"] == pytest.approx(excess)
            assert cell["n"] == 20
    assert row(built_board, "far")["cells"]["luminance"]["mmd"]["excess_low"] > 0.2
    assert row(built_board, "near")["cells"]["luminance"]["mmd"]["excess_low"] < 0


def test_the_floor_row_is_the_floor_in_units_of_the_excess(built_board):
    floor = built_board["floor"]
    assert floor["of"] == "again"
    of, cell = floor["cells"]["colour"]["mmd"], row(built_board, "again")["cells"]["colour"]["mmd"]
    span = cell["ceiling"] - cell["floor"]["median"]
    assert of["excess_high"] == pytest.approx(
        (cell["floor"]["high"] - cell["floor"]["median"]) / span
    )
    for metrics in floor["cells"].values():
        assert all(of["excess_low"] < 0 < of["excess_high"] for of in metrics.values())


def test_a_change_of_resolution_is_given_as_a_share_of_the_excess(built_board):
    weak = built_board["weak_convergence"]
    found = weak["metrics"]["mmd"]
    # The fine run is at the floor and the coarse one far: resolution moves all of the excess.
    assert found["share"]["value"] == pytest.approx(1.0, abs=0.15)
    assert found["moved"]["value"] == pytest.approx(
        found["excess_coarse"] - found["excess_fine"], abs=0.15
    )
    assert found["share"]["low"] < found["share"]["value"] < found["share"]["high"]
    assert "not for others" in weak["unit"]


def test_the_same_folders_give_the_same_bytes_with_and_without_a_cache(
    made_bench, built_board, tmp_path
):
    card, observed = made_bench.loaded()
    runs = read_runs(card, observed, made_bench.runs)
    cache = StageCache(tmp_path / "cache")
    texts = {board_to_json(build_board(card, runs, cache=cache)) for _ in range(2)}
    assert texts == {board_to_json(built_board)}
    assert not {"time", "date", "seconds", "platform"} & set(json.loads(texts.pop()))


def changed_verdict(bench, verdict):
    path = bench.runs / "near" / "results.json"
    content = json.loads(path.read_text())
    content["audit"]["verdict"] = verdict
    path.write_text(json.dumps(content))
    write_manifest(path.parent)


def board_of(bench):
    card, observed = bench.loaded()
    return build_board(card, read_runs(card, observed, bench.runs))


@pytest.mark.parametrize(
    ("verdict", "words"), [("confounded", "confounded by PSF"), ("underpowered", "display")]
)
def test_what_the_audit_refuses_is_shown_unranked_with_the_reason(bench, verdict, words):
    changed_verdict(bench, verdict)
    board = board_of(bench)
    near = row(board, "near")
    assert near["status"] == verdict
    assert words in near["reason"]
    assert near["ranks"] == {}
    assert near["cells"]["luminance"]["mmd"]["value"] is not None
    assert row(board, "far")["ranks"]["mmd"]["rank"] == 1


def test_a_run_that_is_missing_altered_or_too_small_is_incomplete_and_says_so(bench):
    shutil.rmtree(bench.runs / "far")
    (bench.runs / "near" / "results.json").write_text("{}")
    card, observed = bench.loaded()
    near, far, *_ = read_runs(card, observed, bench.runs)
    assert "results.json was altered" in near.reason
    assert "no finished run" in far.reason
    board = build_board(card, [near, far, *_])
    assert row(board, "near")["status"] == row(board, "far")["status"] == "incomplete"
    assert row(board, "near")["cells"] == {}
    assert board["weak_convergence"]["reason"].startswith("near: ")
    bench.write_run("far", 1.5, n=12)
    small = read_runs(card, observed, bench.runs)[1]
    assert "fewer rows than the card asks for: 12 simulated" in small.reason


# -- making --------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """What would be made, instead of making it."""
    asked = []

    def refuse(kind):
        def made(card, row, *_):
            asked.append((kind, row.name))
            raise NotComputableError("not made in this test")

        return made

    monkeypatch.setattr(leaderboard, "_make_run", refuse("run"))
    monkeypatch.setattr(leaderboard, "make_control", refuse("control"))
    return asked


def test_whole_runs_are_used_again_and_the_rerun_gives_the_same_bytes(bench, counted):
    first = make_leaderboard(str(bench.card), out=bench.board)
    assert (counted, first.made) == ([], ())
    assert set(first.reused) == {"near", "far", "again", "wrong"}
    names = ("board.json", "board.md", "board.html")
    texts = {name: (bench.board / name).read_bytes() for name in names}
    make_leaderboard(str(bench.card), out=bench.board)
    assert {name: (bench.board / name).read_bytes() for name in names} == texts
    assert (bench.board / "card.toml").read_bytes() == bench.card.read_bytes()


def test_runs_that_are_not_whole_are_made_again(bench, counted):
    (bench.runs / "near" / "results.json").write_text("{}")
    shutil.rmtree(bench.runs / "wrong")
    found = make_leaderboard(str(bench.card), out=bench.board)
    assert counted == [("run", "near"), ("control", "wrong")]
    assert row(found.board, "near")["reason"] == "not made in this test"
    assert row(found.board, "near")["status"] == "incomplete"


def test_a_control_is_made_again_when_the_run_it_is_made_of_was(bench, counted):
    path = bench.runs / "again" / "embeddings/colour/obs.h5"
    had = read_embedding(path)
    write_embedding(path, had.replace(vectors=np.asarray(had.vectors) + 0.5))
    write_manifest(bench.runs / "again")
    card, observed = bench.loaded()
    *_, wrong = read_runs(card, observed, bench.runs)
    assert wrong.reason == "made of another run of again than the one beside it"
    make_leaderboard(str(bench.card), out=bench.board)
    assert counted == [("control", "wrong")]


def test_a_run_of_other_settings_is_somebodys_and_is_left_alone(bench, counted):
    card, _ = bench.loaded()
    # A fuller audit and other threads change no number.
    for name, value in (("audit", "full"), ("threads", 7), ("bridges", ["hsc-rgb"])):
        assert is_finished_with(bench, "far", card.rows[1], **{name: value})
    with pytest.raises(UsageError, match=r"holds another run \(stamp is 32"):
        is_finished_with(bench, "far", card.rows[1], stamp=32)
    found = make_leaderboard(str(bench.card), out=bench.board)
    assert counted == []
    assert "holds another run" in row(found.board, "far")["reason"]
    assert json.loads((bench.runs / "far" / "results.json").read_text())["sim"]["name"] == "toy-sim"


def is_finished_with(bench, name, of, **settings):
    path = bench.runs / name / "results.json"
    content = json.loads(path.read_text())
    content["provenance"]["settings"].update(settings)
    path.write_text(json.dumps(content))
    write_manifest(path.parent)
    return is_finished(path.parent, bench.loaded()[0], of)


def test_nothing_made_is_an_error_that_names_the_first_reason(bench, counted):
    shutil.rmtree(bench.runs)
    with pytest.raises(NotComputableError, match="near: not made in this test"):
        make_leaderboard(str(bench.card), out=bench.board)
    assert not (bench.board / "board.json").exists()


def test_a_simulation_can_be_entered_beside_the_card(bench, counted, tmp_path):
    card = tmp_path / "My Mock.toml"
    found = make_leaderboard(str(bench.card), out=bench.board, entered=[str(card)])
    assert counted == [("run", "my-mock")]
    assert row(found.board, "my-mock")["entered"]
    with pytest.raises(UsageError, match="on the board already"):
        make_leaderboard(str(bench.card), out=bench.board, entered=["near"])


def test_the_settings_of_a_row_are_the_cards_and_nothing_else_decides(made_bench):
    card, _ = made_bench.loaded()
    settings = settings_of(card, card.rows[0])
    assert (settings.sim, settings.obs, settings.mode) == ("toy-twin", "toy-survey", "frozen")
    assert (settings.seed, settings.metrics, settings.permutations) == (0, ("mmd", "energy"), 99)
    wrong = card.model_copy(update={"settings": {"stmap": 32}})
    with pytest.raises(UsageError, match="did you mean 'stamp'"):
        settings_of(wrong, card.rows[0])


def test_a_fault_that_does_not_exist_is_refused(made_bench, tmp_path):
    card, _ = made_bench.loaded()
    wrong = BenchmarkRow(name="w", kind="negative control", fault="starz", of="again")
    with pytest.raises(UsageError, match="did you mean 'stars'"):
        leaderboard.make_control(card, wrong, card.rows[2], tmp_path, lambda *_: None)


# -- the shipped cards ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy-v1", "sdss-rgb-v1"])
def test_a_shipped_card_is_sealed_and_speaks_of_the_encoder_that_is_shipped(name):
    from simreal.core.benchmark_cards import read_observed_list
    from simreal.encode.shipped import read_model_card, shipped_folder

    card, path = load_benchmark(name)
    assert card.seal == card.digest
    model = read_model_card(shipped_folder(card.encoder.name))
    assert {v: one["digest"] for v, one in model["variants"].items()} == dict(card.encoder.digests)
    observed = read_observed_list(card, path.parent)
    assert sorted(observed.pixel_hashes.tolist()) == sorted(model["held_out"]["hashes"])
    assert not set(observed.pixel_hashes.tolist()) & set(model["training"]["hashes"])
    check_metrics(card)


#: A released card never changes: make a new version instead of editing these.
RELEASED = {
    "toy-v1": "3df2e81ff52e8aca3eaf52d4cff1e721ca1895cf27fb03b4c445b04c5e6f0836",
    "sdss-rgb-v1": "b294e6d404eb0760f7531f9e621e05e483d4eb8f3ecb90a79c40d117638efa08",
}


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_a_released_card_has_not_changed(name):
    assert load_benchmark(name)[0].digest == RELEASED[name]


@pytest.mark.slow  # three runs of the toy universe: ten minutes; pytest -m slow -k toy_benchmark
def test_the_toy_benchmark_tells_planted_defects_from_none(tmp_path):
    from simreal.pipeline.verify import verify

    found = make_leaderboard("toy-v1", out=tmp_path / "board")
    first, second = found.board["rows"][:2]
    assert (first["name"], second["name"]) == ("toy-twin", "toy-sim")
    assert second["ranks"]["mmd"]["rank"] == 2
    shuffled = row(found.board, "pixels-shuffled")
    assert shuffled["cells"]["luminance"]["mmd"]["excess_low"] > 0.5
    before = (tmp_path / "board" / "board.json").read_bytes()
    again = make_leaderboard("toy-v1", out=tmp_path / "board")
    assert again.made == ()
    assert (tmp_path / "board" / "board.json").read_bytes() == before
    assert verify(tmp_path / "board").what == "board"
    assert verify(tmp_path / "board" / "runs" / "toy-sim", card="toy-v1").what == "run"
    embedded = read_embedding(tmp_path / "board/runs/noiseless/embeddings/luminance/sim.h5")
    assert np.isfinite(embedded.vectors).all()
