"""The gradients of a finished run, the strips of its stamps, and the tutorial as it stands."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.data.adapters.toy import rendered
from simreal.data.store import write_embedding
from simreal.data.toy_universe.options import parse_options
from simreal.data.toy_universe.population import draw_population
from simreal.encode.run import embed, fit_encoder
from simreal.explain.gradients import GradientSettings
from simreal.pipeline import gradients as module
from simreal.pipeline.gradients import GradientRequest, run_gradients, stored_stamps

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-gradients.md"
QUICK = GradientSettings(draws=100, permutations=19, probe_permutations=19, bins=4, shown=2)


def toy_images(name, n, views):
    """Render a few toy galaxies small, two views of each simulated one."""
    card = load_card(name)
    options = {**card.files.options, "n_galaxies": n, "views": views}
    view = card.view.model_copy(
        update={"field_of_view": 16.0, "pixel_scale": 0.5, "views_per_object": views}
    )
    files = card.files.model_copy(update={"options": options})
    card = card.model_copy(update={"view": view, "files": files})
    galaxies = draw_population(parse_options(options), name=name, seed=0)
    pixels = np.concatenate([block for block, _ in rendered(card, galaxies, seed=0)])
    from astropy.table import QTable
    from astropy.units import Unit

    rows = np.repeat(np.arange(n), views)
    table = QTable({
        "stellar_mass": 10.0 ** np.array([g.log_mass for g in galaxies])[rows] * Unit("Msun"),
        "half_light_radius": np.array([g.radius for g in galaxies])[rows] * Unit("arcsec"),
        "bulge_to_total": np.array([g.bulge_to_total for g in galaxies])[rows],
    })  # fmt: skip
    return ImageSet(
        name=name, role="observed", sampling="random", properties=table,
        images=ArraySource((pixels / np.float32(255)).astype(np.float32)),
        ids=np.array([f"{name}-{i:04d}-v{v}" for i in range(n) for v in range(views)]),
        groups=np.array([f"{name}-{i:04d}" for i in rows]),
        setup=Setup(track="rgb", bands=("red", "green", "blue"), unit="display"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    """Write what a run of the tutorial leaves, from few and small galaxies."""
    sides = {"sim": toy_images("toy-sim", 80, 2), "obs": toy_images("toy-survey", 40, 1)}
    encoder = fit_encoder("random_convolution", list(sides.values()), seed=0)
    folder = tmp_path_factory.mktemp("tutorial") / "runs" / "toy-sim_vs_toy-survey"
    for side, images in sides.items():
        for variant in ("luminance", "colour"):
            path = folder / "embeddings" / variant / f"{side}.h5"
            write_embedding(path, embed(encoder, images))
    rows = [{"variant": "luminance", "lead": True}]
    (folder / "results.json").write_text(json.dumps({"comparisons": rows}))
    return folder, sides


def test_the_tutorial_as_it_stands(toy_run, monkeypatch, capsys):
    folder, _ = toy_run
    monkeypatch.chdir(folder.parents[1])
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 7
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    found = names["found"]
    assert found.n_groups == 80
    assert found["stellar_mass"].unit == "log10 solMass"
    # Galaxies of the toy universe are brighter and larger with mass: an embedding of their
    # pixels that did not hold it would be of no use.
    assert found["stellar_mass"].direction.p_value < 0.05
    assert found["half_light_radius"].linear.p_value < 0.05
    assert "Associations, not causes" in capsys.readouterr().out
    assert Path("gradients.png").stat().st_size > 10_000
    assert json.loads(Path("gradients.json").read_text())["other"] == "toy-survey"


class TestRun:
    def test_strips_of_both_sides(self, toy_run, tmp_path, monkeypatch):
        folder, sides = toy_run
        monkeypatch.setattr(module, "stored_stamps", lambda _: sides)
        request = GradientRequest(properties=("stellar_mass",), settings=QUICK)
        found = run_gradients(folder, request, out=tmp_path)
        assert (found.document["variant"], found.document["side"]) == ("luminance", "sim")
        assert found.document["strips"] == {"drawn": True, "reason": None}
        assert json.loads((tmp_path / "gradients.json").read_text()) == found.document
        assert {path.relative_to(tmp_path).as_posix() for path in found.files} == {
            "gradients.json", "gradients.png", "gradients.pdf", "strips/stellar_mass.png",
        }  # fmt: skip
        with Image.open(tmp_path / "strips" / "stellar_mass.png") as picture:
            width, height = picture.size
        # Four parts of 128 pixels side by side, four rows.
        assert 4 * 128 < width < 5 * 128
        assert 4 * 128 < height < 6 * 128

    def test_the_objects_shown_are_those_named(self, toy_run):
        folder, sides = toy_run
        request = GradientRequest(properties=("half_light_radius",), settings=QUICK)
        each = run_gradients(folder, request).found["half_light_radius"]
        shown = module._along(sides["sim"], each, own=True, which=1)
        place = {name: row for row, name in enumerate(sides["sim"].ids.tolist())}
        for k, part in enumerate(each.bins):
            expected = sides["sim"].images.read(np.array([place[part.ids[1]]]))
            np.testing.assert_array_equal(shown.images.read(slice(None))[k], expected[0])

    def test_wrong_folders_and_words(self, toy_run, tmp_path):
        folder, _ = toy_run
        with pytest.raises(UsageError, match="no embeddings; name the folder of a finished run"):
            run_gradients(tmp_path)
        with pytest.raises(UsageError, match="did you mean 'colour'"):
            run_gradients(folder, GradientRequest(variant="color"))
        with pytest.raises(UsageError, match="side: got 'simm': did you mean 'sim'"):
            GradientRequest(side="simm")
        with pytest.raises(UsageError, match="no such settings file"):
            stored_stamps(folder)
        (tmp_path / "embeddings" / "colour").mkdir(parents=True)
        with pytest.raises(UsageError, match=r"sim\.h5 is missing; repeat the run"):
            run_gradients(tmp_path)
