"""``simreal train`` and ``simreal embed``: what they print, write and refuse."""

import json

import numpy as np
import pytest
from PIL import Image

from simreal import read_embedding
from simreal.cli import main
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.data.store import read_set, write_set
from simreal.encode.frozen import fit_frozen
from simreal.encode.run import embed
from simreal.encode.settings import EncoderSettings
from simreal.encode.shipped import read_model_card, shipped_folder, write_model_card
from simreal.match.variants import shown

N = 24


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


def blob(rng):
    """An elliptical galaxy in the middle of a noisy colour picture."""
    y, x = np.mgrid[-36:36, -36:36]
    width, ratio, angle = rng.uniform(3, 6), rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = np.exp(-0.5 * (along**2 + (across / ratio) ** 2) / width**2)
    planes = light * rng.uniform(0.4, 0.8, size=(3, 1, 1)) + 0.1
    return np.clip(planes + rng.normal(scale=0.02, size=planes.shape), 0, 1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for number in range(N):
        pixels = np.rint(255 * blob(rng).transpose(1, 2, 0)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def stamps(n=20, *, name="mine", size=32, frame="radius", seed=0):
    ids = np.array([f"{name}{i}" for i in range(n)])
    return ImageSet(
        name=name, role="observed", sampling="random",
        images=ArraySource(np.random.default_rng(seed).random((n, 3, size, size))),
        ids=ids, groups=ids,
        setup=Setup(
            track="rgb", bands=("r", "g", "b"), unit="display", frame=frame, frame_width=4.0,
            noise=np.full((n, 3), 0.1),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "mine"
    digests = {}
    for variant in ("luminance", "colour"):
        encoder = fit_frozen("pca", shown(stamps(), variant), settings=EncoderSettings(threads=1))
        encoder.save(folder / variant)
        digests[variant] = {"digest": encoder.digest}
    matching = {"frame": "radius", "frame_width": 4.0, "stamp": 32}
    write_model_card(folder, {"name": "mine", "variants": digests, "matching": matching})
    return folder


class TestTrain:
    def test_a_folder_of_pictures(self, simreal, pictures, tmp_path):
        asked = ("train", "--obs", pictures, "--encoder", "pca", "--stamp", 32, "--share", 0.6)
        code, out, err = simreal(*asked, "--threads", 1, "--seed", 2, "--out", tmp_path / "ruler")
        assert code == 0, err
        card = read_model_card(tmp_path / "ruler")
        assert f"trained on  {card['training']['n_images']} images of" in out
        assert f"held out    {card['held_out']['n_images']} images of" in out
        assert card["name"] == "ruler"
        assert card["split"]["share"] == 0.6
        assert card["command"] == (
            f"simreal train --obs {pictures} --encoder pca --stamp 32 --share 0.6 "
            "--threads 1 --seed 2 --out ruler"
        )
        code, out, _ = simreal(*asked, "--seed", 2, "--out", tmp_path / "ruler", "--json")
        assert json.loads(out)["training"] == card["training"]

    @pytest.mark.parametrize(
        ("arguments", "words", "code"),
        [
            (("--obs", "sdsss"), "did you mean 'sdss'", 2),
            (("--obs", "toy-survey", "--share", "2"), "share: got 2.0, allowed is above 0", 2),
            (("--obs", "toy-survey", "--encoder", "simcrl"), "did you mean 'simclr'", 2),
            (("--obs", "eagle"), "allowed is an observed one", 2),
            ((), "Missing option '--obs'", 2),
        ],
    )
    def test_one_line_where_it_cannot_begin(self, simreal, arguments, words, code):
        got, out, err = simreal("train", *arguments)
        assert (got, out) == (code, "")
        assert words in err
        assert err.count("\n") == 1


def test_the_shipped_encoders_are_listed(simreal):
    code, out, _ = simreal("list", "encoders", "--json")
    said = {row["name"]: row["summary"] for row in json.loads(out)}
    assert code == 0
    assert "simclr" in said
    assert "simclr trained on 50 % of sdss" in said["sdss-rgb-v1"]
    assert "simclr trained on 50 % of toy-survey" in said["toy-rgb-v1"]


class TestEmbed:
    @pytest.fixture
    def stored(self, tmp_path):
        write_set(tmp_path / "obs.h5", stamps(700, name="new", seed=1))
        return tmp_path / "obs.h5"

    @pytest.mark.parametrize("variant", ["luminance", "colour"])
    def test_as_a_comparison_would(self, simreal, trained, stored, tmp_path, variant):
        """700 images are two blocks; what comes out is what one block gives."""
        out_file = tmp_path / "new" / "vectors.h5"
        code, out, err = simreal(
            "embed", stored, "--encoder-from", trained, "--variant", variant, "--out", out_file
        )
        assert code == 0, err
        assert f"700 images of 700 objects, as {variant}" in out
        found = read_embedding(out_file)
        from simreal.encode.run import load_encoder

        images = shown(read_set(stored), variant)
        whole = embed(load_encoder(trained / variant), images)
        np.testing.assert_allclose(found.vectors, whole.vectors, atol=1e-5)
        assert found.ids.tolist() == whole.ids.tolist()
        assert found.encoder_digest == whole.encoder_digest
        assert found.setup.bands == images.setup.bands
        assert not found.setup.differs_from(images.setup)

    def test_what_was_trained_on_is_counted(self, simreal, trained, tmp_path):
        write_set(tmp_path / "mixed.h5", stamps())
        code, out, _ = simreal(
            "embed", tmp_path / "mixed.h5", "--encoder-from", trained, "--out", tmp_path / "v.h5",
            "--json",
        )  # fmt: skip
        assert code == 0
        rows = json.loads(out)
        assert rows["notes"] == ["20 of 20 images were trained on"]
        assert (rows["n"], rows["variant"]) == (20, "luminance")

    @pytest.mark.parametrize(
        ("images", "options", "words"),
        [
            (stamps(size=48), (), "knows stamps (band, y, x) = (1, 32, 32), got (1, 48, 48)"),
            (stamps(frame="angular"), (), "knows the frame 'radius', got stamps in the frame"),
            (stamps(), ("--variant", "color"), "did you mean 'colour'"),
        ],
    )
    def test_stamps_it_does_not_know(self, simreal, trained, tmp_path, images, options, words):
        write_set(tmp_path / "other.h5", images)
        code, out, err = simreal(
            "embed", tmp_path / "other.h5", "--encoder-from", trained, *options,
            "--out", tmp_path / "v.h5",
        )  # fmt: skip
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
        assert not (tmp_path / "v.h5").exists()

    def test_other_bands(self, simreal, trained, tmp_path):
        grey = stamps()
        narrow = grey.replace(
            images=grey.images.read(slice(None))[:, :2],
            setup=grey.setup.replace(bands=("r", "g"), noise=None),
        )
        write_set(tmp_path / "two.h5", narrow)
        code, _, err = simreal(
            "embed", tmp_path / "two.h5", "--encoder-from", trained, "--variant", "colour",
            "--out", tmp_path / "v.h5",
        )  # fmt: skip
        assert code == 2
        assert "(3, 32, 32), got (2, 32, 32) as colour" in err

    def test_pictures_that_were_not_matched(self, simreal, trained, pictures, tmp_path):
        code, _, err = simreal(
            "embed", pictures, "--encoder-from", trained, "--out", tmp_path / "v.h5"
        )
        assert code == 2
        assert "make them with 'simreal match'" in err.splitlines()[-1]

    def test_names_that_are_unknown(self, simreal, stored, tmp_path):
        code, _, err = simreal(
            "embed", stored, "--encoder-from", "toy-rgb-v2", "--out", tmp_path / "v.h5"
        )
        assert code == 2
        assert "did you mean 'toy-rgb-v1'" in err
        code, _, err = simreal(
            "embed", tmp_path / "no.h5", "--encoder-from", "toy-rgb-v1", "--out", tmp_path / "v.h5"
        )
        assert code == 6
        assert err.count("\n") == 1


@pytest.mark.slow
def test_a_comparison_with_a_shipped_encoder(simreal, tmp_path):
    out_folder = tmp_path / "run"
    code, _, err = simreal(
        "compare", "--sim", "toy-sim", "--obs", "toy-survey", "--encoder-from", "toy-rgb-v1",
        "--quick", "--audit", "none", "--explain", "none", "--check-encoder", "none",
        "--metric", "mmd", "--threads", 1, "--out", out_folder,
    )  # fmt: skip
    assert code == 0, err
    results = json.loads((out_folder / "results.json").read_text())
    card = read_model_card(shipped_folder("toy-rgb-v1"))
    assert results["encoder"]["mode"] == "frozen"
    assert results["encoder"]["digest"] == card["variants"]["luminance"]["digest"]
    assert results["obs"]["n_read"] == card["held_out"]["n_images"]
    scored = set(read_embedding(out_folder / "embeddings" / "luminance" / "obs.h5").ids)
    assert scored <= set(card["held_out"]["ids"])
    assert any("338 of 700 images" in warning for warning in results["warnings"])
