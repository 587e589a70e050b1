"""``simreal probe``: text, JSON, exit codes, and what it needs."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import QTable

from simreal.cli import main
from simreal.core.cards import catalogue_folder
from simreal.core.embedding import Embedding
from simreal.core.images import Setup
from simreal.data.store import write_embedding

QUICK = ("--labels", "25", "--draws", "3", "--permutations", "19")


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


def embedded(name, seed, n=120, **columns):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    vectors = rng.normal(size=(n, 4))
    vectors[:, 0] += 4 * y
    ids = np.array([f"{name}{i:03d}" for i in range(n)])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids, groups=ids,
        encoder_digest="e", source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


@pytest.fixture
def run_folder(tmp_path):
    """Write what a finished run keeps of its embeddings."""
    folder = tmp_path / "run"
    kind = np.where(np.arange(120) % 2 == 1, "spiral", "smooth")
    mass = np.arange(120.0)
    for variant, shift in (("colour", 0), ("luminance", 10)):
        obs = embedded("obs", shift, kind=kind, mass=mass)
        write_embedding(folder / "embeddings" / variant / "obs.h5", obs)
        sim = embedded("sim", shift + 1, mass=mass)
        write_embedding(folder / "embeddings" / variant / "sim.h5", sim)
    rows = [{"variant": "luminance", "lead": True}, {"variant": "colour", "lead": False}]
    (folder / "results.json").write_text(json.dumps({"comparisons": rows}))
    return folder


def valued(node, path=""):
    """Yield every score of a document with its place."""
    if isinstance(node, dict):
        if {"value", "low", "high", "n", "reason"} <= set(node):
            yield path, node
        for key, each in node.items():
            yield from valued(each, f"{path}.{key}")
    elif isinstance(node, list):
        for i, each in enumerate(node):
            yield from valued(each, f"{path}[{i}]")


class TestProbe:
    def test_a_class(self, simreal, run_folder, tmp_path):
        out_file = tmp_path / "made" / "probe.json"
        code, out, err = simreal("probe", run_folder, "--label", "kind", *QUICK, "--out", out_file)
        assert code == 0, err
        # The simulated side has no such property.
        assert "obs (obs): 120 images of 120 objects, 4 dimensions" in out
        assert "sim (sim)" not in out
        for words in (
            "smooth 60, spiral 60", "linear ", "10 neighbours", "number of labels",
            "search ", "precision at 25", "hdbscan", "k-means, k = 8", "noise",
        ):  # fmt: skip
            assert words in out
        document = json.loads(out_file.read_text())
        assert document["variant"] == "luminance"
        (side,) = document["sides"]
        assert side["linear"]["scores"]["accuracy"]["value"] > 0.9
        assert [row["n_labels"] for row in side["label_counts"]] == [25, 96]
        assert {row["handfuls"]["wanted"] for row in side["search"]["classes"]} == {
            "spiral", "smooth"
        }  # fmt: skip
        assert len(side["clusters"]["partitions"][1]["members"]) == 120

    def test_every_number_has_n_and_an_interval_or_a_reason(self, simreal, run_folder):
        out = simreal("probe", run_folder, "--label", "kind", *QUICK, "--json")[1]
        scores = dict(valued(json.loads(out)))
        assert len(scores) > 20
        for place, score in scores.items():
            if score["value"] is None:
                assert score["reason"], place
            else:
                assert score["low"] <= score["value"] <= score["high"], place
                assert score["method"], place
                assert score["n"] > 0, place

    def test_a_number_on_both_sides(self, simreal, run_folder):
        code, out, err = simreal(
            "probe", run_folder, "--label", "mass", "--log", "--json",
            "--part", "linear", "--part", "few-shot",
        )  # fmt: skip
        assert (code, err) == (0, "")
        sides = json.loads(out)["sides"]
        assert [side["side"] for side in sides] == ["obs", "sim"]
        for side in sides:
            assert set(side["linear"]["scores"]) == {"r2", "rmse"}
            assert side["label"]["n_labelled"] == 119
            assert "needs classes" in side["few_shot"]["reason"]

    def test_a_part_left_out_changes_no_other_number(self, simreal, run_folder):
        arguments = ("probe", run_folder, "--label", "kind", *QUICK, "--json")
        everything = json.loads(simreal(*arguments)[1])["sides"][0]
        alone = json.loads(simreal(*arguments, "--part", "search")[1])["sides"][0]
        assert alone["search"] == everything["search"]
        assert "linear" not in alone

    def test_search_by_example(self, simreal, run_folder):
        like = [word for i in range(1, 11, 2) for word in ("--like", f"obs{i:03d}")]
        arguments = ("probe", run_folder, *like, "--part", "search")
        code, out, _ = simreal(*arguments)
        assert code == 0
        assert "found       obs" in out
        assert "precision" not in out
        code, out, _ = simreal(*arguments, "--label", "kind", "--json")
        (side,) = json.loads(out)["sides"]
        assert len(side["search"]["found"]) == 25
        assert side["search"]["precision"]["wanted"] == "spiral"
        assert side["search"]["precision"]["n_right"] >= 23

    def test_one_embedding_without_a_label(self, simreal, run_folder):
        path = run_folder / "embeddings" / "colour" / "sim.h5"
        code, out, _ = simreal("probe", path, "--permutations", "19")
        assert code == 0
        assert "sim (all): 120 images" in out
        assert "silhouette" in out
        assert "neither examples nor a label" in out

    def test_the_same_seed_prints_the_same(self, simreal, run_folder):
        parts = ("--part", "linear", "--part", "few-shot")
        arguments = ("probe", run_folder, "--label", "kind", *parts, "--json")
        assert simreal(*arguments)[1] == simreal(*arguments)[1]
        assert simreal(*arguments)[1] != simreal(*arguments, "--seed", "1")[1]

    def test_a_label_that_cannot_be_learned_leaves_with_5(self, simreal, tmp_path):
        one = embedded("few", 0, n=30, kind=np.full(30, "spiral"))
        path = tmp_path / "few.h5"
        write_embedding(path, one)
        code, out, _ = simreal("probe", path, "--label", "kind", *QUICK)
        assert code == 5
        assert "not computable: kind: got spiral 30" in out
        assert "k-means" in out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--label", "knd"], "did you mean 'kind'"),
            (["--label", "kind", "--side", "sim"], "sim has no property 'kind'"),
            (["--side", "obbs"], "did you mean 'obs'"),
            (["--variant", "lumnance"], "did you mean 'luminance'"),
            (["--part", "cluster"], "did you mean 'clusters'"),
            (["--like", "obs999x"], "no object 'obs999x'"),
            (["--wanted", "spiral"], "name the label"),
            (["--label", "kind", "--wanted", "ring", "--part", "search"], "no class 'ring'"),
            (["--label", "kind", "--kind", "klass"], "did you mean 'class'"),
            (["--label", "kind", "--rank-by", "nearest"], "direction, distance"),
            (["--label", "kind", "--neighbours", "-1"], "neighbours: got -1"),
            (["--label", "kind", "--draws", "1", "--part", "label-counts"], "draws: got 1"),
            (["--clusters", "1"], "clusters.k: got 1"),
        ],
    )
    def test_wrong_words_get_one_line(self, simreal, run_folder, arguments, words):
        code, out, err = simreal("probe", run_folder, *arguments, "--json")
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1

    def test_what_is_no_run_is_refused(self, simreal, tmp_path):
        code, _, err = simreal("probe", tmp_path)
        assert code == 2
        assert "no embeddings" in err
        (tmp_path / "broken.h5").write_bytes(b"nothing")
        code, _, err = simreal("probe", tmp_path / "broken.h5")
        assert code == 6
        assert err.count("\n") == 1


def test_it_runs_without_torch(run_folder):
    """A machine that only reads finished runs need not have torch."""
    script = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from simreal.cli import main\n"
        f"main(['probe', {str(run_folder)!r}, '--label', 'kind', '--part', 'linear'])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "accuracy" in found.stdout


@pytest.mark.slow
def test_a_finished_toy_run_is_probed(simreal, tmp_path):
    cards = []
    for name in ("toy-twin", "toy-survey"):
        text = (catalogue_folder() / f"{name}.toml").read_text()
        cards.append(tmp_path / f"{name}.toml")
        cards[-1].write_text(re.sub(r"n_galaxies = \d+", "n_galaxies = 80", text))
    code, _, err = simreal(
        "compare", "--sim", cards[0], "--obs", cards[1], "--encoder", "pca", "--quick",
        "--check-encoder", "none", "--metric", "mmd", "--audit", "none", "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = simreal(
        "probe", tmp_path / "run", "--label", "stellar_mass", "--log", *QUICK, "--json"
    )
    assert code == 0, err
    sides = json.loads(out)["sides"]
    assert {side["side"] for side in sides} == {"sim", "obs"}
    twin = next(side for side in sides if side["side"] == "sim")
    assert twin["n_images"] > twin["n_groups"] > 60
    assert twin["linear"]["n_groups"] == twin["n_groups"]


class TestTable:
    @pytest.fixture
    def votes(self, tmp_path):
        """The layout of Galaxy Zoo 2, of 100 of the 120 observed objects."""
        path = tmp_path / "votes.csv"
        name = "t04_spiral_a08_spiral"
        lines = [f"dr7objid,{name}_count,t04_spiral_a09_no_spiral_count,{name}_debiased"]
        lines += [f"obs{i:03d},{15 if i else 1},15,{0.2 + 0.6 * (i % 2)}" for i in range(100)]
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_a_label_from_a_table(self, simreal, run_folder, votes):
        label = "t04_spiral_a08_spiral_debiased"
        code, out, err = simreal(
            "probe", run_folder, "--table", votes, "--join", "dr7objid", "--label", label, *QUICK
        )
        assert code == 0, err
        assert "100 of 120 objects are in" in out
        assert "1 have too few votes" in out
        code, out, err = simreal(
            "probe", run_folder, "--table", votes, "--join", "dr7objid", "--label", label, *QUICK,
            "--least-votes", "0", "--json",
        )  # fmt: skip
        document = json.loads(out)
        # The simulated side has no row in it, so it is not asked.
        assert [side["side"] for side in document["sides"]] == ["obs"]
        assert document["joined"]["obs"]["n_too_few_votes"] == 0
        side = document["sides"][0]
        assert side["label"]["n_labelled"] == 100
        assert side["linear"]["scores"]["r2"]["value"] > 0.5
        for partition in side["clusters"]["partitions"]:
            assert (
                "explained_share" in partition["label"]["agreement"] or partition["label"]["reason"]
            )

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (("--table", "x.csv"), "name with it the column of the ids"),
            (("--join", "id"), "name the table"),
            (
                ("--table", "x.csv", "--join", "id", "--label", "x", "--least-votes", "-1"),
                "0 or more",
            ),
        ],
    )
    def test_what_a_table_needs(self, simreal, run_folder, given, said):
        code, _, err = simreal("probe", run_folder, *given)
        assert code == 2
        assert said in err
