"""A frozen encoder with a model card: what it was trained on is never scored."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from simreal.core.errors import NotComputableError, SimrealError, StorageError, UsageError
from simreal.core.images import ImageSet, Setup
from simreal.encode.shipped import load_variant, read_model_card
from simreal.measure.pixel_hash import pixel_hashes
from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.encoding import model_card, positions, without_seen
from simreal.pipeline.plan import make_plan
from simreal.pipeline.settings import RunSettings, expanded, resolve
from simreal.pipeline.stages import Work, read_stage, silent
from simreal.pipeline.train import TrainSettings, _split, run_training

N = 32


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Pictures of elliptical galaxies as files, so that no seed of a run changes them."""
    folder, rng = tmp_path_factory.mktemp("survey"), np.random.default_rng(3)
    y, x = np.mgrid[-36:36, -36:36]
    for number in range(N):
        width, ratio = rng.uniform(3, 6), rng.uniform(0.5, 1)
        light = np.exp(-0.5 * (x**2 + (y / ratio) ** 2) / width**2)
        planes = 0.1 + light[..., None] * rng.uniform(0.4, 0.8, size=3)
        noisy = np.clip(planes + rng.normal(scale=0.02, size=planes.shape), 0, 1)
        Image.fromarray(np.rint(255 * noisy).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


def settings(survey, **changes):
    return TrainSettings(obs=str(survey), encoder="pca", stamp=32, threads=1, **changes)


@pytest.fixture(scope="module")
def made(survey, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # The cache of every test, which a fixture of a whole module comes too early for.
        patch.setenv("SIMREAL_CACHE", str(tmp_path_factory.getbasetemp() / "simreal-cache"))
        out = tmp_path_factory.mktemp("made") / "mine"
        return run_training(settings(survey), out=out, command="simreal train --obs x")


def comparison(made, survey, **changes):
    asked = {"sim": "toy-sim", "obs": str(survey), "encoder_from": str(made.folder), **changes}
    return expanded(RunSettings(**asked))


class TestCard:
    def test_it_says_what_was_trained_on_and_what_was_not(self, made, survey):
        card = read_model_card(made.folder)
        assert card == json.loads(json.dumps(dict(made.card) | {"kind": card["kind"], "format": 1}))
        training, held_out = card["training"], card["held_out"]
        assert training["n_images"] + held_out["n_images"] == card["data"]["n_images"] == N
        assert not set(training["ids"]) & set(held_out["ids"])
        assert not set(training["hashes"]) & set(held_out["hashes"])
        assert training["n_matched"] <= training["n_images"]
        matching = card["matching"]
        assert (matching["stamp"], matching["frame"]) == (32, "radius")
        for variant, bands in (("luminance", 1), ("colour", 3)):
            said = card["variants"][variant]
            assert said["shape"] == [bands, 32, 32]
            assert load_variant(made.folder / variant).digest == said["digest"]

    def test_the_encoder_saw_the_training_list_and_nothing_else(self, made):
        card = read_model_card(made.folder)
        for variant in card["variants"]:
            native = load_variant(made.folder / variant).hashes["native"].tolist()
            assert len(native) == card["training"]["n_matched"]
            assert set(native) <= set(card["training"]["hashes"])

    def test_a_human_finds_the_command_and_the_limits(self, made):
        page = (made.folder / "MODEL_CARD.md").read_text()
        for part in ("# mine", "simreal train --obs x", "## May score", "no label to probe"):
            assert part in page

    def test_the_same_again_is_the_same_encoder_and_costs_nothing(self, made, survey, tmp_path):
        seen = []
        again = run_training(
            settings(survey), out=tmp_path / "again", progress=lambda *a: seen.append(a[0])
        )
        assert again.card["variants"] == made.card["variants"]
        assert not [label for label in seen if "principal" in label or "measure" in label]

    def test_a_place_that_cannot_be_written_is_one_line(self, made, survey, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="could not write the encoder") as refused:
            run_training(settings(survey), out=tmp_path / "file")
        assert "\n" not in str(refused.value)

    def test_the_split_is_by_group_and_by_name(self):
        groups = np.repeat([f"g{i}" for i in range(500)], 2)
        place = positions(groups, seed=3)
        assert (place[::2] == place[1::2]).all()
        # Uniform in [0, 1): the mean of 500 scatters by 1 / sqrt(12 * 500) = .013.
        assert abs(place.mean() - 0.5) < 0.05
        np.testing.assert_array_equal(place[::-1], positions(groups[::-1], seed=3))


class TestComparison:
    @pytest.mark.parametrize("seed", [0, 7])
    def test_only_what_was_held_out_is_scored_whatever_the_seed(self, made, survey, seed):
        plan = make_plan(comparison(made, survey, seed=seed, sim=str(survey)))
        work = Work(plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=silent)
        read = read_stage(work)
        assert sorted(read["obs"].images.ids) == sorted(made.card["held_out"]["ids"])
        # Of one collection against itself neither half holds a training image.
        halved = read_stage(replace(work, plan=replace(plan, null_test=True)))
        scored = [*halved["sim"].images.ids, *halved["obs"].images.ids]
        assert sorted(scored) == sorted(made.card["held_out"]["ids"])
        held_out = len(made.card["held_out"]["ids"])
        assert f"{held_out} of {N} images" in read["obs"].notes[-1]
        assert read["obs"].images.history[-1].name == "not trained on"

    def test_renamed_files_are_known_by_their_pixels(self, made, survey, tmp_path):
        for number, path in enumerate(sorted(survey.iterdir())):
            (tmp_path / f"other{number}.png").write_bytes(path.read_bytes())
        plan = make_plan(comparison(made, tmp_path))
        work = Work(plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=silent)
        from simreal.pipeline.stages import _scorable, ingest_stage

        obs = _scorable(work, ingest_stage(work, plan.obs_card, plan.read_keys["obs"]))
        assert len(obs.images) == made.card["held_out"]["n_images"]
        assert set(pixel_hashes(obs.images.images)) == set(made.card["held_out"]["hashes"])

    def test_the_card_decides_what_was_not_asked_for(self, made, survey):
        found = comparison(made, survey)
        width = made.card["matching"]["frame_width"]
        assert (found.mode, found.encoder, found.stamp) == ("frozen", "pca", 32)
        assert (found.frame, found.frame_width) == ("radius", width)
        given = resolve(
            {"sim": "toy-sim", "obs": str(survey), "encoder_from": str(made.folder),
             "frame_width": 1.1 * width}
        )  # fmt: skip
        assert given.frame_width == 1.1 * width
        assert make_plan(given).recipe.frame_width == 1.1 * width

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"stamp": 64}, "stamps of 32 pixels, got --stamp 64"),
            ({"frame": "angular"}, "in the frame radius, got --frame angular"),
            ({"frame_width": 1.0}, "got --frame-width 1; allowed is 15 % about it"),
            ({"encoder": "pixels"}, "holds the encoder 'pca', got --encoder pixels"),
            ({"mode": "pooled"}, "a stored encoder is a frozen one"),
            ({"track": "flux", "obs": "toy-survey"}, "trained on the rgb track"),
            ({"encoder_from": "sdss-rgb-v2"}, "did you mean 'sdss-rgb-v1'"),
        ],
    )
    def test_what_it_does_not_know_is_refused_in_one_line(self, made, survey, changes, words):
        with pytest.raises(UsageError, match=re.escape(words)) as refused:
            make_plan(comparison(made, survey, **changes))
        assert "\n" not in str(refused.value)

    @pytest.mark.slow
    def test_another_training_list_is_another_comparison(self, made, survey, tmp_path):
        other = run_training(settings(survey, share=0.3), out=tmp_path / "other")
        keys = [make_plan(comparison(each, survey)).match_key for each in (made, other)]
        assert keys[0] != keys[1]
        assert len(other.card["training"]["ids"]) < len(made.card["training"]["ids"])


def test_a_set_that_was_seen_whole_cannot_be_scored():
    ids = np.array(["a", "b"])
    images = ImageSet(
        name="mine", role="observed", sampling="random", images=np.zeros((2, 1, 4, 4)), ids=ids,
        groups=ids, setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )  # fmt: skip
    card = {"name": "theirs", "training": {"hashes": ["11", "22"], "ids": ["b"]}}
    left = without_seen(images, np.array(["11", "33"]), card)
    assert left.ids.tolist() == ["b"]
    assert left.history[-1].before == {"images": 2, "groups": 2}
    strange = np.array(["33", "44"])
    assert without_seen(images, strange, card) is images
    # Another decoder makes other pixels of the same file, whose name is known.
    assert without_seen(images, strange, card, same_collection=True).ids.tolist() == ["a"]
    with pytest.raises(NotComputableError, match="'theirs' was trained on all 2 images"):
        without_seen(images, np.array(["11", "22"]), card)


def test_at_most_so_many_groups(survey):
    groups = np.repeat([f"g{i}" for i in range(200)], 2)
    whole, held_out = _split(groups, settings(survey))
    few, same = _split(groups, settings(survey, n=9))
    assert len(np.unique(groups[few])) == 9
    assert few.sum() == 18
    assert (whole | ~few).all()
    np.testing.assert_array_equal(held_out, same)
    np.testing.assert_array_equal(held_out, ~whole)
    assert not set(groups[whole]) & set(groups[held_out])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share": 1.0}, "share: got 1.0, allowed is above 0 and below 1"),
        ({"share": 0.0}, "share: got 0.0"),
        ({"share": 1e-9}, "leaves nothing to train on"),
        ({"labels": ("mass",)}, "has no property 'mass'"),
        ({"track": "rgbb"}, "did you mean 'rgb'"),
        ({"n": 0}, "n: got 0"),
    ],
)
def test_what_cannot_be_trained_is_one_line(survey, tmp_path, changes, words):
    with pytest.raises(SimrealError, match=re.escape(words)) as refused:
        run_training(settings(survey, **changes), out=tmp_path / "none")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "none" / "card.json").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"obs": "toy-sim"}, "allowed is an observed one"),
        ({"obs": "toy-survy"}, "did you mean 'toy-survey'"),
        ({"encoder": "pcaa"}, "did you mean 'pca'"),
        ({"stamp": 16}, "stamp: got 16"),
    ],
)
def test_wrong_names_are_one_line(tmp_path, changes, words):
    with pytest.raises(SimrealError, match=re.escape(words)):
        run_training(TrainSettings(**{"obs": "toy-survey", **changes}), out=tmp_path / "none")


def test_a_folder_that_a_comparison_left_has_no_model_card(tmp_path):
    assert model_card(None) is None
    assert model_card(str(tmp_path)) is None
