"""A query goes through the matching of its run, or is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simreal.cli import main
from simreal.core.cards import load_card
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError, UsageError
from simreal.data.adapters.toy import rendered
from simreal.data.ingest import card_for, ingest
from simreal.data.toy_universe.options import parse_options
from simreal.data.toy_universe.population import draw_population
from simreal.match.recipe import Recipe
from simreal.match.run import match_pair
from simreal.pipeline.analogues import (
    AnalogueRequest,
    _card,
    band_shift,
    frame_of,
    match_query,
    read_image,
    run_analogues,
)

RECIPE = Recipe(frame="radius", stamp=32)


def write_images(folder, name, n, *, shifted=False):
    """Write small toy composites as PNG; a `shifted` survey shows blue half a pixel aside."""
    card = load_card(name)
    options = {**card.files.options, "n_galaxies": n, "views": 1}
    view = card.view.model_copy(
        update={"field_of_view": 64 * 0.396, "pixel_scale": 0.396, "views_per_object": 1}
    )
    files = card.files.model_copy(update={"options": options})
    card = card.model_copy(update={"view": view, "files": files})
    galaxies = draw_population(parse_options(options), name=name, seed=0)
    pixels = np.concatenate([block for block, _ in rendered(card, galaxies, seed=0)])
    if shifted:
        mixed = (pixels[:, 2].astype(float) + np.roll(pixels[:, 2], 1, axis=-1)) / 2
        pixels[:, 2] = np.clip(mixed, 0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(np.moveaxis(image, 0, -1)).save(folder / f"{name}-{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Match two small collections of files; return what a query of one of them meets."""
    root = tmp_path_factory.mktemp("analogues")
    sets, cards = {}, {}
    for side, name in (("sim", "toy-twin"), ("obs", "toy-survey")):
        folder = write_images(root / side, name, 34, shifted=side == "obs")
        cards[side] = card_for(str(folder), role="observed")
        sets[side] = ingest(cards[side], seed=0, store=root / f"{side}.h5").images
    matched = match_pair(
        sets["sim"], sets["obs"], views=(cards["sim"].view, cards["obs"].view),
        recipe=RECIPE, seed=3,
    )  # fmt: skip
    obs = matched.obs
    like = Embedding(
        name="obs", sampling="random", vectors=np.zeros((len(obs), 2), np.float32), ids=obs.ids,
        groups=obs.groups, setup=obs.setup, encoder_digest="e", source_digest="s",
        properties=obs.properties,
    )  # fmt: skip
    return root, cards["obs"], sets["obs"], matched, like


class TestMatching:
    def test_a_query_gets_the_stamp_that_the_run_gave_it(self, survey):
        root, card, native, matched, like = survey
        frame = frame_of(like, RECIPE, 3)
        shift = band_shift(native, card.view, frame)
        assert shift is not None
        # Half a native pixel to the right, of two: the frame is wider than its 32 pixels.
        assert shift[2, 0] > 0.05
        for row in (0, 17):
            name = str(matched.obs.ids[row])
            query = read_image(root / "obs" / f"{name}.png", card)
            stamp, conditions = match_query(query, card.view, like=like, frame=frame, shift=shift)
            expected = matched.obs.images.read(np.array([row]))
            np.testing.assert_array_equal(stamp.images.read(slice(None)), expected)
            assert not any(each["outside"] for each in conditions.values())
            assert stamp.setup.frame_width == matched.obs.setup.frame_width

    def test_another_exposure_is_refused_or_allowed(self, survey):
        root, card, _, matched, like = survey
        frame = frame_of(like, RECIPE, 3)
        query = read_image(root / "obs" / f"{matched.obs.ids[0]}.png", card)
        rng = np.random.default_rng(0)
        pixels = query.images.read(slice(None))
        noisy = query.replace(images=np.clip(pixels + 0.15 * rng.normal(size=pixels.shape), 0, 1))
        given = {"like": like, "frame": frame, "shift": None}
        with pytest.raises(FootingError, match="exposure differs: rms of the sky is") as told:
            match_query(noisy, card.view, **given)
        assert "--allow exposure goes on" in str(told.value)
        _, conditions = match_query(noisy, card.view, **given, allow=("exposure",))
        assert conditions["exposure"]["outside"]

    def test_a_field_that_does_not_hold_the_frame(self, survey):
        root, card, _, matched, like = survey
        query = read_image(root / "obs" / f"{matched.obs.ids[0]}.png", card)
        wide = like.replace(setup=like.setup.replace(frame_width=30.0))
        with pytest.raises(NotComputableError, match="its field holds a frame"):
            match_query(query, card.view, like=wide, frame=frame_of(wide, RECIPE, 3), shift=None)

    def test_no_frame_no_match(self, survey):
        like = survey[4]
        bare = like.replace(setup=like.setup.replace(frame="native", frame_width=None))
        with pytest.raises(UsageError, match="names no frame; repeat the run"):
            frame_of(bare, RECIPE, 3)


class TestReading:
    def test_what_cannot_be_read_is_one_line(self, survey, tmp_path):
        root, card = survey[0], survey[1]
        good = sorted((root / "obs").glob("*.png"))[0]
        cases = {
            "text.png": b"no picture",
            "cut.png": good.read_bytes()[:400],
            "empty.jpg": b"",
        }
        for name, content in cases.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UsageError) as told:
                read_image(tmp_path / name, card)
            assert str(told.value).startswith(str(tmp_path / name))
            assert "\n" not in str(told.value)
            assert "query" not in str(told.value)
        with pytest.raises(UsageError, match="no such image file"):
            read_image(tmp_path / "gone.png", card)
        files = card.files.model_copy(update={"adapter": "sunrise"})
        with pytest.raises(UsageError, match="adapter 'sunrise'"):
            read_image(good, card.model_copy(update={"files": files}))

    def test_the_size_a_card_names_is_held(self, survey):
        root, card = survey[0], survey[1]
        good = sorted((root / "obs").glob("*.png"))[0]
        files = card.files.model_copy(update={"size": (100, 100)})
        with pytest.raises(UsageError, match="got 64 x 64 pixels, allowed is 100 x 100"):
            read_image(good, card.model_copy(update={"files": files}))

    def test_a_name_that_reads_as_a_pattern(self, survey, tmp_path):
        good = sorted((survey[0] / "obs").glob("*.png"))[0]
        odd = tmp_path / "a[1]*b.png"
        odd.write_bytes(good.read_bytes())
        assert read_image(odd, survey[1]).ids.tolist() == ["a[1]*b.png"]


class TestFooting:
    def test_other_conditions_are_named(self):
        from simreal.pipeline.plan import make_plan
        from simreal.pipeline.settings import RunSettings

        plan = make_plan(RunSettings(sim="toy-twin", obs="toy-survey"))
        assert _card(None, plan).name == "toy-survey"
        with pytest.raises(FootingError, match="display differs"):
            _card("decals-rgb", plan)
        with pytest.raises(FootingError, match="neither PSF nor sky"):
            _card("toy-ideal", plan)
        with pytest.raises(FootingError, match="track differs"):
            _card("ceers", plan)
        flux = make_plan(RunSettings(sim="toy-twin", obs="toy-survey", track="flux"))
        with pytest.raises(NotComputableError, match="allowed is rgb so far"):
            _card(None, flux)

    def test_words(self):
        with pytest.raises(UsageError, match="did you mean 'exposure'"):
            AnalogueRequest(allow=("exposur",))
        with pytest.raises(UsageError, match="k = 0"):
            AnalogueRequest(k=0)


class TestCommand:
    @pytest.fixture
    def simreal(self, capsys):
        def run(*arguments):
            with pytest.raises(SystemExit) as left:
                main(["analogues", *map(str, arguments)])
            return left.value.code, capsys.readouterr().err.splitlines()

        return run

    def test_one_line_for_what_is_missing(self, simreal, survey, tmp_path):
        image = sorted((survey[0] / "obs").glob("*.png"))[0]
        cases = [
            ((image,), "either --run, a finished run, or --in"),
            ((image, "--run", tmp_path, "--in", "eagle"), "either --run"),
            ((image, "--in", "eagle"), "name the encoder (--encoder-from"),
            ((image, "--run", tmp_path, "--encoder-from", "x"), "a run has its own encoder"),
            ((tmp_path / "gone.png", "--run", tmp_path), "gone.png: no such image file"),
            ((image, "--run", tmp_path), "no embeddings; name the folder of a finished run"),
            ((image, "--run", tmp_path, "--allow", "seeing"), "allow: got 'seeing'"),
        ]
        for arguments, words in cases:
            code, lines = simreal(*arguments)
            assert code == 2
            assert [line for line in lines if words in line], (arguments, lines)


@pytest.mark.slow
def test_from_files_to_an_answer(tmp_path, monkeypatch):
    from simreal.pipeline.run import run_comparison
    from simreal.pipeline.settings import RunSettings

    monkeypatch.setenv("SIMREAL_CACHE", str(tmp_path / "cache"))
    sim = write_images(tmp_path / "mocks", "toy-twin", 60)
    obs = write_images(tmp_path / "sky", "toy-survey", 120)
    card = tmp_path / "mocks.toml"
    card.write_text(
        'name = "mocks"\ntitle = "Mocks"\nrole = "simulated"\ntrack = "rgb"\nsampling = "random"\n'
        f'sampling_note = "none"\n[files]\nadapter = "rgb_images"\nfolder = "{sim}"\n'
        'pattern = "*.png"\n[view]\ngeometry = "random"\nbands = ["red", "green", "blue"]\n'
        'unit = "display"\nrendition = "survey"\n[credit]\ncitation = []\nlicence = "none"\n'
        'fetch = "none"\n'
    )
    settings = RunSettings(
        sim=str(card), obs=str(obs), encoder="pca", audit="none", check_encoders=(),
        metrics=("mmd",), permutations=99, floor_splits=50, stamp=32, mode="frozen",
    )  # fmt: skip
    run = run_comparison(settings, out=tmp_path / "run").folder
    scored = json.loads((run / "results.json").read_text())["obs"]["n"]
    image = sorted(obs.glob("*.png"))[5]
    found = run_analogues(image, run, AnalogueRequest(k=4), out=tmp_path / "out")
    assert found.found.n_obs in (scored, scored - 1)
    assert (found.document["trained_on"], found.found.left_out) in (
        (True, ()),
        (False, (image.stem,)),
    )
    assert {path.name for path in found.files} == {"analogues.json", "analogues.png"}
    assert Path(tmp_path / "out" / "analogues.png").stat().st_size > 1000
    assert json.loads((tmp_path / "out" / "analogues.json").read_text()) == found.document
