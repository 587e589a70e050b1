import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from simreal.compare import run as compare_run
from simreal.compare.contract import MetricMeta
from simreal.compare.run import compare_embeddings
from simreal.compare.sample import draw_sample, usable_n
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError, UsageError
from simreal.core.images import Setup

ALL = ("sliced_wasserstein", "mmd", "occupancy")
QUICK = InferenceSettings(n_permutations=99, n_floor_splits=50, n_subsamples=50)
SETUP = Setup(track="rgb", bands=("luminance",), unit="display")


def embedding(name, n_groups, *, views=1, seed=0, d=8, shift=0.0, **changes):
    rng = np.random.default_rng([seed, n_groups, views])
    galaxy = rng.normal(size=(n_groups, 1, d))
    vectors = (galaxy + 0.3 * rng.normal(size=(n_groups, views, d))).reshape(-1, d)
    vectors[:, 0] += shift
    groups = np.repeat([f"{name}{i:04d}" for i in range(n_groups)], views)
    fields = {
        "name": name,
        "sampling": "random",
        "vectors": vectors,
        "ids": np.array([f"{g}/{i}" for i, g in enumerate(groups)]),
        "groups": groups,
        "setup": SETUP,
        "encoder_digest": "encoder",
        "source_digest": name,
    }
    return Embedding(**(fields | changes))


OBS = embedding("obs", 90)
SIM = embedding("sim", 40, seed=1, shift=1.5)


def numbers(comparison):
    floor = comparison.floor
    return (
        comparison.estimate.value,
        comparison.estimate.low,
        comparison.estimate.high,
        comparison.p_value,
        None if floor is None else (floor.median, floor.low, floor.high),
    )


def compare(obs=OBS, sim=SIM, metrics=ALL, settings=QUICK, seed=3, **options):
    return compare_embeddings(obs, sim, metrics=metrics, settings=settings, seed=seed, **options)


@pytest.fixture(scope="module")
def compared():
    return compare()


def test_every_number_comes_with_n_interval_floor_and_p(compared):
    assert [one.metric for one in compared.comparisons] == list(ALL)
    assert compared.n == 40
    for one in compared.comparisons:
        assert one.estimate.low <= one.estimate.value <= one.estimate.high
        assert (one.estimate.n_sim, one.estimate.n_obs, one.floor.n) == (40, 40, 40)
        assert one.floor.n_splits == 50
        assert one.excess is None
        assert one.p_value <= one.p_adjusted
        assert one.estimate.value > one.floor.high
        assert one.p_value == 0.01
    assert [one.estimate.estimand for one in compared.comparisons] == [
        "expectation at this n",
        "population value",
        "expectation at this n",
    ]
    assert compared.transform["views_per_group"] == 1


def test_the_same_seed_gives_the_same_numbers_and_a_variant_changes_none(compared):
    again = compare(variant="luminance")
    assert [numbers(c) for c in again.comparisons] == [numbers(c) for c in compared.comparisons]
    assert {c.variant for c in again.comparisons} == {"luminance"}
    other = compare(seed=4)
    assert [numbers(c) for c in other.comparisons] != [numbers(c) for c in compared.comparisons]


def test_another_metric_changes_no_other_number(compared):
    for name in ALL:
        alone = compare(metrics=[name]).comparisons[0]
        together = next(c for c in compared.comparisons if c.metric == name)
        assert numbers(alone) == numbers(together)


def test_the_order_of_the_rows_changes_nothing(compared):
    rng = np.random.default_rng(0)
    shuffled = compare(OBS.rows(rng.permutation(len(OBS))), SIM.rows(rng.permutation(len(SIM))))
    for a, b in zip(shuffled.comparisons, compared.comparisons, strict=True):
        assert numbers(a) == numbers(b)


def test_one_population_reads_like_its_floor():
    found = compare(sim=embedding("sim", 40, seed=2))
    for one in found.comparisons:
        assert one.p_value > 0.05
        assert one.floor.low / 2 - 0.02 < one.estimate.value < 2 * one.floor.high


def test_regions_are_labelled_for_every_image(compared):
    found = compared.occupancy
    assert found.region_sim.shape == (len(SIM),)
    assert found.region_obs.shape == (len(OBS),)
    assert len(found.regions) == found.k
    assert sum(region.n_sim for region in found.regions) == 40
    assert sum(region.n_obs for region in found.regions) == 40
    assert found.jensen_shannon_bits == compared.comparisons[2].estimate.value
    assert found.claims
    for i, region in enumerate(found.regions):
        rows = [np.flatnonzero(SIM.ids == one)[0] for one in region.sim_ids]
        assert (found.region_sim[rows] == i).all()


def test_a_planted_missing_class_is_found():
    """A fifth of the observed set sits where the simulation has nothing."""
    vectors = OBS.vectors.copy()
    vectors[:18, 3] += 12
    found = compare(obs=OBS.replace(vectors=vectors), sim=embedding("sim", 45, seed=2))
    missing = [region for region in found.occupancy.regions if region.direction == "missing"]
    assert len(missing) == 1
    assert missing[0].n_sim == 0
    assert {int(name[3:7]) for name in (i.split("/")[0] for i in missing[0].obs_ids)} <= set(
        range(18)
    )


def test_curated_samples_get_no_claim():
    found = compare(sim=SIM.replace(sampling="curated")).occupancy
    assert not found.claims
    assert "sim" in found.reason
    assert {region.direction for region in found.regions} == {"not claimed"}


def test_the_same_data_is_at_distance_zero():
    found = compare(OBS, OBS)
    for one in found.comparisons:
        assert (one.estimate.value, one.p_value, one.p_adjusted) == (0.0, 1.0, 1.0)
        assert any("same data on both sides" in note for note in one.notes)


def test_different_encoders_are_refused():
    with pytest.raises(FootingError, match="come from different encoders"):
        compare(sim=SIM.replace(encoder_digest="another"))


def test_another_footing_is_refused_by_name_or_noted():
    sim = SIM.replace(setup=SETUP.replace(rendition="idealised", display="asinh"))
    with pytest.raises(FootingError, match="they differ in display, rendition; match them"):
        compare(sim=sim)
    with pytest.raises(FootingError, match="they differ in display; match them"):
        compare(sim=sim, allow=("rendition",))
    found = compare(sim=sim, metrics=["mmd"], allow=("rendition", "display"))
    assert "not on the same footing in display, rendition" in found.comparisons[0].notes[0]


def test_an_unknown_allowance_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'noise'"):
        compare(allow=("noises",))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [((), "name one or more"), (("mdm",), "unknown metric 'mdm': did you mean 'mmd'")],
)
def test_metrics_are_named(metrics, message):
    with pytest.raises(UsageError, match=message):
        compare(metrics=metrics)


def test_too_few_groups_for_one_metric_is_a_reason_not_a_number():
    found = compare(sim=embedding("sim", 15, seed=1))
    by_name = {one.metric: one for one in found.comparisons}
    assert by_name["occupancy"].estimate.value is None
    assert "occupancy needs 20 groups per side or more, 15 are left" in (
        by_name["occupancy"].estimate.reason
    )
    assert by_name["occupancy"].p_value is None
    assert by_name["mmd"].p_adjusted <= 2 * by_name["mmd"].p_value + 1e-12
    assert found.occupancy is None


@pytest.mark.parametrize("n_groups", [1, 3, 9])
def test_too_few_groups_for_any_metric_is_not_computable(n_groups):
    with pytest.raises(NotComputableError, match=f"{n_groups}"):
        compare(sim=embedding("sim", n_groups, seed=1))


def test_n_is_half_the_observed_groups_unless_asked():
    assert usable_n(OBS, SIM) == 40
    assert usable_n(OBS, OBS) == 45
    assert usable_n(OBS, SIM, 25) == 25
    assert usable_n(OBS, embedding("s", 80), 70) == 70


def test_without_observed_groups_for_two_sets_there_is_no_floor():
    found = compare(
        sim=embedding("sim", 80, seed=1),
        metrics=["mmd"],
        settings=InferenceSettings(n_permutations=19, n_floor_splits=50, n_subsamples=50, n=60),
    )
    one = found.comparisons[0]
    assert found.n == 60
    assert one.floor is None
    assert any("need 120 observed groups, not 90" in note for note in one.notes)


@pytest.mark.parametrize(
    ("views_sim", "views_obs", "rounds"), [(4, 4, 4), (4, 1, 1), (1, 4, 1), (3, 2, 2), (6, 5, 4)]
)
def test_every_group_has_the_same_number_of_views_in_the_test(views_sim, views_obs, rounds):
    obs, sim = embedding("o", 30, views=views_obs), embedding("s", 15, views=views_sim)
    sample, transform, _ = draw_sample(obs, sim, n=15, seed=0)
    assert sample.rounds.shape[:2] == (rounds, 30)
    assert sample.obs_rounds.shape[:2] == (rounds, 30)
    assert sample.is_sim.sum() == 15
    assert transform.n == rounds * 30


def test_one_group_short_of_views_thins_all():
    sim = embedding("s", 15, views=4)
    sample, _, _ = draw_sample(embedding("o", 30, views=4), sim.rows(np.arange(57)), n=15, seed=0)
    assert len(sample.rounds) == 1


def test_views_of_a_group_stay_together():
    """The rounds of one position are views of one galaxy: close to each other."""
    sample, _, _ = draw_sample(
        embedding("o", 30, views=4), embedding("s", 15, views=4), n=15, seed=0
    )
    within = np.linalg.norm(sample.rounds[0] - sample.rounds[1], axis=1)
    between = np.linalg.norm(sample.rounds[0] - np.roll(sample.rounds[1], 1, axis=0), axis=1)
    assert np.median(within) < 0.5 * np.median(between)


def test_a_constant_embedding_is_not_computable():
    flat = {"vectors": np.ones((90, 8))}, {"vectors": np.ones((40, 8))}
    with pytest.raises(NotComputableError, match="vectors of the pool are the same"):
        compare(OBS.replace(**flat[0]), SIM.replace(**flat[1]))


def test_a_metric_from_outside_needs_only_meta_and_statistic(monkeypatch):
    outside = SimpleNamespace(
        __name__="outside",
        META=MetricMeta(
            summary="gap of means",
            zero_point="above 0",
            minimum_groups=5,
            estimand="expectation at this n",
            bounds=(0.0, np.inf),
        ),
        statistic=lambda obs, sim, *, rng: float(np.linalg.norm(obs.mean(0) - sim.mean(0))),
    )
    monkeypatch.setattr(compare_run.plugins, "load", lambda *_: outside)
    one = compare(metrics=["outside"]).comparisons[0]
    assert one.p_value == 0.01
    assert one.estimate.value > one.floor.high


def test_a_module_that_is_no_metric_is_refused(monkeypatch):
    broken = SimpleNamespace(__name__="broken", META=None)
    monkeypatch.setattr(compare_run.plugins, "load", lambda *_: broken)
    with pytest.raises(UsageError, match="needs META"):
        compare(metrics=["broken"])


@pytest.mark.parametrize(
    "bad", [{"n_permutations": 5}, {"n_floor_splits": 49}, {"level": 1.0}, {"n": 0}]
)
def test_settings_that_say_nothing_are_refused(bad):
    with pytest.raises(UsageError, match="allowed is"):
        InferenceSettings(**bad)


def test_embeddings_compare_without_torch():
    code = """
        import sys

        class NoTorch:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "ot"):
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, NoTorch())
        import numpy as np
        from simreal.compare.run import compare_embeddings
        from simreal.compare.settings import InferenceSettings
        from simreal.core.embedding import Embedding
        from simreal.core.images import Setup
        from simreal.explain.outliers import realism
        from simreal.explain.projection import pca_map

        def embedding(name, n):
            names = [f"{name}{i}" for i in range(n)]
            return Embedding(name=name, sampling="random", ids=names, groups=names,
                vectors=np.random.default_rng(n).normal(size=(n, 4)),
                setup=Setup(track="rgb", bands=("g",), unit="display"),
                encoder_digest="e", source_digest=name)

        obs, sim = embedding("o", 60), embedding("s", 30)
        found = compare_embeddings(obs, sim, metrics=["sliced_wasserstein", "mmd", "occupancy"],
            settings=InferenceSettings(n_permutations=19, n_floor_splits=50, n_subsamples=50),
            seed=0)
        realism(obs, sim), pca_map(obs, sim)
        assert "torch" not in sys.modules
        print(len(found.comparisons))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"
