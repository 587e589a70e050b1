"""``simreal gradients``: text, JSON, exit codes."""

import json

import numpy as np
import pytest
from astropy.table import QTable

from simreal.cli import main
from simreal.core.embedding import Embedding
from simreal.core.images import Setup
from simreal.data.store import write_embedding


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


def embedded(name, seed, **columns):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(60, 4))
    if "mass" in columns:
        vectors[:, 0] += columns["mass"] / 10
    ids = np.array([f"{name}{i:03d}" for i in range(60)])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids, groups=ids,
        encoder_digest="e", source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "run" / "embeddings" / "luminance"
    columns = {"mass": np.arange(60.0), "age": np.arange(60.0) % 7, "flat": np.ones(60)}
    write_embedding(folder / "sim.h5", embedded("sim", 0, **columns))
    write_embedding(folder / "obs.h5", embedded("obs", 1))
    return tmp_path / "run"


class TestGradients:
    def test_a_table(self, simreal, run_folder, tmp_path):
        code, out, err = simreal(
            "gradients", run_folder, "--property", "mass", "--property", "age",
            "--permutations", "19", "--out", tmp_path / "made",
        )  # fmt: skip
        assert code == 0, err
        for words in (
            "sim: 60 images of 60 objects, 4 dimensions", "Associations, not causes",
            "mass: 60 objects", "read by a line", "cone", "others held fixed", "held: age",
            "no strips of images:", "written: ",
        ):  # fmt: skip
            assert words in out
        document = json.loads((tmp_path / "made" / "gradients.json").read_text())
        assert document["properties"][0]["direction"]["p_value"] == 0.05
        assert document["strips"]["drawn"] is False
        assert "run.toml: no such settings file" in document["strips"]["reason"]
        assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
            "gradients.json", "gradients.pdf", "gradients.png",
        ]  # fmt: skip

    def test_json_alone(self, simreal, run_folder):
        code, out, err = simreal(
            "gradients",
            run_folder,
            "--property",
            "mass",
            "--hold",
            "none",
            "--log",
            "age",
            "--json",
        )
        assert code == 0
        document = json.loads(out)
        assert document["properties"][0]["partial"]["reason"] == "no other property to hold fixed"
        assert err == ""

    def test_nothing_to_tell_is_exit_5(self, simreal, run_folder):
        code, out, _ = simreal("gradients", run_folder, "--property", "flat")
        assert code == 5
        assert "not computable: flat: got 60 objects with 1 different values" in out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--property", "mas"), "did you mean 'mass'"),
            (("--side", "obs"), "obs has no properties"),
            (("--bins", "1"), "bins: got 1, allowed is 2 or more"),
            (("--hold", "weight"), "no property 'weight'"),
        ],
    )
    def test_one_line(self, simreal, run_folder, arguments, words):
        code, out, err = simreal("gradients", run_folder, *arguments)
        assert (code, out) == (2, "")
        assert words in err.splitlines()[-1]
        assert len([line for line in err.splitlines() if line.startswith("simreal: error")]) == 1
