import json
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.core.results import Comparison, Estimate, Floor
from simreal.data.store import write_embedding
from simreal.explain.conditional import conditional_realism as in_bins
from simreal.explain.projection import pooled_pca
from simreal.pipeline.explain_regions import conditional_realism, read_pair, regions_of_run

FEW = InferenceSettings(n_permutations=99, n_floor_splits=50, n_subsamples=50, power=False)


def embedded(vectors, name="sky", groups=None, columns=None, encoder="e"):
    ids = np.array([f"{name}{i:05d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=np.asarray(vectors, dtype=np.float32), ids=ids,
        groups=ids if groups is None else groups, encoder_digest=encoder, source_digest=name,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def pair(n=400, seed=0, mass_shift=0.0, at_high_mass=0.0):
    """Looks follow mass; the simulation may have other masses, or other looks at high mass."""
    rng = np.random.default_rng(seed)
    sides = []
    for name, size, dm, extra in (("sky", 2 * n, 0.0, 0.0), ("mock", n, mass_shift, at_high_mass)):
        mass = 10.5 + dm + 0.4 * rng.normal(size=size)
        points = rng.normal(size=(size, 3))
        points[:, 0] += 3 * (mass - 10.5)
        points[:, 1] += extra * (mass > 10.5)
        sides.append(embedded(points, name, columns={"log_mass": mass}))
    return tuple(sides)


def counted(obs, sim):
    """Measure nothing but how many objects there are."""
    n = min(sim.n_groups, obs.n_groups)
    estimate = Estimate(
        value=float(sim.n_groups), low=0.0, high=float(10 * n), method="none", estimand="none",
        n_sim=n, n_obs=n,
    )  # fmt: skip
    return Comparison(
        metric="count", estimate=estimate, floor=Floor(median=0, low=0, high=0, n=n, n_splits=1),
        p_value=0.02, seed=0, sim_digest="", obs_digest="",
    )  # fmt: skip


class TestDistances:
    def test_a_difference_of_mass_alone_is_none_at_fixed_mass(self):
        sides = pair(mass_shift=0.3, n=200)
        whole = conditional_realism(sides, "log_mass", bins=1, metric="energy", settings=FEW)
        assert whole.bins[0].p_adjusted == 0.01
        found = conditional_realism(sides, "log_mass", bins=8, metric="energy", settings=FEW)
        assert len(found.bins) == 8
        assert sum(each.p_adjusted <= 0.05 for each in found.bins if each.p_adjusted) == 0

    def test_a_difference_at_high_mass_is_found_there_with_its_size(self):
        obs, sim = pair(at_high_mass=1.5, n=300)
        found = conditional_realism(
            (obs, sim), "log_mass", bins=[9.5, 10.5, 11.5],
            metric="sliced_wasserstein", settings=FEW,
        )  # fmt: skip
        p = [each.p_adjusted for each in found.bins]
        assert p[0] > 0.05
        assert p[1] <= 0.02
        # A pure shift has distance |shift| / sqrt(d), in the width of the pool of both sides.
        expected = 1.5 / np.sqrt(3) / pooled_pca(obs, sim).scale
        for each in found.bins[1:]:
            assert each.comparison.estimate.value == pytest.approx(expected, rel=0.15)
            assert each.comparison.floor.high < each.comparison.estimate.low

    def test_a_bin_with_too_few_says_so_and_the_others_stand(self):
        obs, sim = pair()
        found = conditional_realism(
            (obs, sim), "log_mass", bins=[5.0, 9.0, 10.5, 12.0], metric="energy", settings=FEW
        )
        assert found.bins[0].comparison is None
        assert found.bins[0].reason.startswith("not available: got")
        assert found.bins[1].comparison is not None
        assert "not available" in str(found)


class TestBins:
    def test_pooled_quantiles_hold_every_group_once(self):
        obs, sim = pair()
        found = in_bins(obs, sim, "log_mass", measure=counted, bins=5)
        assert sum(each.n_sim for each in found.bins) == 400
        assert sum(each.n_obs for each in found.bins) == 800
        assert all(abs(each.n_sim + each.n_obs - 240) <= 1 for each in found.bins)
        # Five equal p-values of .02 stay .02.
        assert [each.p_adjusted for each in found.bins] == pytest.approx([0.02] * 5)

    def test_views_of_one_group_stay_together(self):
        groups = np.repeat([f"g{i:02d}" for i in range(30)], 2)
        mass = np.repeat(np.arange(30.0), 2) + np.tile([-0.9, 0.9], 30)
        sky, mock = (
            embedded(np.eye(60), name, groups=np.char.add(name, groups), columns={"mass": mass})
            for name in ("sky", "mock")
        )
        found = in_bins(sky, mock, "mass", measure=counted, bins=[0.0, 9.5, 29.5])
        assert [each.n_sim for each in found.bins] == [10, 20]

    def test_missing_values_are_counted(self):
        obs, sim = pair()
        mass = sim.properties["log_mass"].copy()
        mass[:7] = np.nan
        sim = sim.replace(properties=QTable({"log_mass": mass}))
        assert in_bins(obs, sim, "log_mass", measure=counted).missing_sim == 7

    def test_a_property_on_one_side_only(self):
        obs, sim = pair()
        found = in_bins(obs.replace(properties=None), sim, "log_mass", measure=counted)
        assert (found.binned, found.bins[0].n_sim, found.bins[0].n_obs) == ("sim", 100, 800)
        assert found.reason.startswith("sky has no log_mass: each bin of mock is held against all")

    def test_numbers_are_plain_and_a_figure_is_drawn(self, tmp_path):
        obs, sim = pair()
        found = in_bins(obs, sim, "log_mass", measure=counted, bins=2, metric="count")
        document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert document["bins"][1]["value"] == found.bins[1].comparison.estimate.value
        assert document["bins"][0]["floor"]["n"] == document["bins"][0]["n"]
        assert "does not say that the property is why" in document["meaning"]
        assert found.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
        assert found.save(tmp_path / "a.json").read_bytes().startswith(b"{")


class TestRun:
    @pytest.fixture
    def run(self, tmp_path):
        rng = np.random.default_rng(0)
        for variant in ("colour", "luminance"):
            folder = tmp_path / "embeddings" / variant
            folder.mkdir(parents=True)
            for side in ("obs", "sim"):
                e = embedded(rng.normal(size=(80, 3)), side, columns={"mass": rng.random(80)})
                write_embedding(folder / f"{side}.h5", e)
        rows = {"comparisons": [{"variant": "luminance", "lead": True}]}
        (tmp_path / "results.json").write_text(json.dumps(rows))
        return tmp_path

    def test_a_folder_is_read_with_its_leading_variant(self, run):
        lead, named = (read_pair(run, variant=v)[0].digest for v in (None, "luminance"))
        assert lead == named != read_pair(run, variant="colour")[0].digest
        found = conditional_realism(run, "mass", bins=2, metric="energy", settings=FEW)
        assert (found.sim, found.obs, len(found.bins)) == ("sim", "obs", 2)
        assert regions_of_run(run).n_sim == 80

    def test_no_run(self, tmp_path):
        with pytest.raises(UsageError, match="no embeddings; name the folder of a run"):
            read_pair(tmp_path)

    def test_no_such_variant(self, run):
        with pytest.raises(UsageError, match="got 'color': did you mean 'colour'"):
            read_pair(run, variant="color")

    def test_no_such_metric(self, run):
        with pytest.raises(UsageError, match="enrgy"):
            conditional_realism(run, "mass", metric="enrgy")

    def test_strata_and_bins_are_not_both_asked_for(self, run):
        with pytest.raises(UsageError, match="strata are what the bins are"):
            conditional_realism(run, "mass", settings=replace(FEW, strata=("mass",)))


class TestBadInput:
    @pytest.mark.parametrize(
        ("bins", "said"),
        [
            (0, "got 0 bins, allowed are 1 to 50"),
            ([1.0], r"got edges \[1.0\], allowed are two or more rising numbers"),
            ([2.0, 1.0], "allowed are two or more rising numbers"),
        ],
    )
    def test_bins(self, bins, said):
        with pytest.raises(UsageError, match=said):
            in_bins(*pair(40), "log_mass", measure=counted, bins=bins)

    def test_no_property(self):
        obs, sim = (e.replace(properties=None) for e in pair(40))
        with pytest.raises(UsageError, match="they have none at all"):
            in_bins(obs, sim, "log_mass", measure=counted)

    def test_constant(self):
        sides = [e.replace(properties=QTable({"z": np.zeros(len(e))})) for e in pair(40)]
        with pytest.raises(NotComputableError, match="z is 0 for all objects"):
            in_bins(*sides, "z", measure=counted)

    def test_no_values_at_all(self):
        sides = [e.replace(properties=QTable({"z": np.full(len(e), np.nan)})) for e in pair(40)]
        with pytest.raises(NotComputableError, match="mock has no value of z; sky has no value"):
            in_bins(*sides, "z", measure=counted)

    def test_two_units(self):
        obs, sim = pair(40)
        obs = obs.replace(properties=QTable({"log_mass": np.arange(80.0) * u.kpc}))
        with pytest.raises(UsageError, match="log_mass is in no unit in mock and in kpc in sky"):
            in_bins(obs, sim, "log_mass", measure=counted)

    def test_too_few_everywhere(self):
        obs, sim = pair(5)
        with pytest.raises(NotComputableError, match="conditional realism at fixed log_mass: not"):
            conditional_realism((obs, sim), "log_mass", bins=3, settings=FEW)
