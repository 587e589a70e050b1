"""Selection matching: pairs, cells, weights, balance and everything that is left out."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from simreal.core.errors import NotComputableError, NothingUsableError, UsageError
from simreal.match import pairing
from simreal.match.matched_selection import (
    Criterion,
    SelectionSettings,
    effective_size,
    select,
    selection_fragment,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def names(n, prefix="g"):
    return np.array([f"{prefix}{i:05d}" for i in range(n)])


def on(text, **changes):
    """Return settings that match on the criteria spelled in `text`."""
    return SelectionSettings(criteria=tuple(map(Criterion.parse, text.split())), **changes)


def shifted(n_sim=600, n_obs=1200, *, shift=0.7, extra=0.0, seed=1):
    """Return two sides whose masses differ by `shift`, with colour = mass + noise (+ extra)."""
    random = rng(seed)
    mass = random.normal(shift, 1, n_sim), random.normal(0, 1, n_obs)
    return [
        {"mass": m, "colour": m + random.normal(0, 0.5, len(m)) + (extra if side == 0 else 0)}
        for side, m in enumerate(mass)
    ]


def matched(sides, settings, groups=None, seed=3):
    if groups is None:
        groups = tuple(
            names(len(next(iter(side.values()))), p) for side, p in zip(sides, "so", strict=True)
        )
    return select(*sides, groups, settings=settings, rng=rng(seed))


class TestPairing:
    @pytest.mark.parametrize("seed", range(5))
    def test_there_are_as_many_pairs_as_there_can_be(self, seed):
        random = rng(seed)
        a, b = random.uniform(0, 8, (40, 2)), random.uniform(0, 8, (25, 2))
        i, j = pairing.nearest_pairs(a, b, observed_per_simulated=1, rng=random)
        near = np.abs(a[:, None] - b[None]).max(2) <= 1
        most = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()
        assert len(i) == most > 10
        assert near[i, j].all()
        assert len(set(i.tolist())) == len(set(j.tolist())) == len(i)

    def test_among_as_many_pairs_the_closest_are_taken(self):
        # Greedy takes 0.5-0.6 (0.1 apart) and is left with 0.0-1.0; the sum is least this way.
        a, b = np.array([[0.0], [0.5]]), np.array([[0.6], [1.0]])
        i, j = pairing.nearest_pairs(a, b, observed_per_simulated=1, rng=rng())
        assert (i.tolist(), j.tolist()) in [([0, 1], [0, 1]), ([0, 1], [1, 0])]
        total = np.abs(a[i] - b[j]).sum()
        assert total == pytest.approx(1.1)

    def test_a_difference_of_exactly_the_tolerance_is_allowed(self):
        i, _ = pairing.nearest_pairs(
            np.array([[0.0]]), np.array([[1.0]]), observed_per_simulated=1, rng=rng()
        )
        assert len(i) == 1

    def test_two_partners_or_none(self):
        a = np.array([[0.0], [10.0]])
        b = np.array([[0.1], [0.2], [10.1]])
        i, j = pairing.nearest_pairs(a, b, observed_per_simulated=2, rng=rng())
        assert i.tolist() == [0, 0]
        assert sorted(j.tolist()) == [0, 1]

    def test_weights_of_cells_are_those_of_hand(self):
        # 3 of 4 simulated but 1 of 2 observed lie in cell 0: weights (1/2)/(3/4) and (1/2)/(1/4).
        weights = pairing.cell_weights(np.array([0, 0, 0, 1]), np.array([0, 1]))
        assert weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
        assert effective_size(weights) == pytest.approx(16 / (3 * 4 / 9 + 4))

    def test_a_draw_fills_the_cells_alike_and_is_fair(self):
        sim = np.repeat([0, 1, 2, 3], [30, 5, 9, 0])
        obs = np.repeat([0, 1, 2, 3], [4, 50, 9, 7])
        picked = np.zeros(len(sim))
        for seed in range(400):
            a, b = pairing.drawn_alike(sim, obs, observed_per_simulated=1, rng=rng(seed))
            counts = np.bincount(sim[a], minlength=4)
            assert counts.tolist() == np.bincount(obs[b], minlength=4).tolist() == [4, 5, 9, 0]
            picked += a
        # 4 of the 30 in cell 0 are drawn: each is expected 53.3 +- 6.8 times in 400 draws.
        assert picked[:30].sum() == 1600
        assert np.abs(picked[:30] - 1600 / 30).max() < 5 * 6.8


class TestCriterion:
    @pytest.mark.parametrize(
        ("text", "tolerance", "scale"),
        [
            ("redshift=0.01", 0.01, "linear"),
            ("stellar_mass=0.2dex", 0.2, "log"),
            ("radius=10%", math.log10(1.1), "log"),
            ("flux=1e-2", 0.01, "linear"),
        ],
    )
    def test_it_reads_what_is_typed(self, text, tolerance, scale):
        found = Criterion.parse(text)
        assert found.tolerance == pytest.approx(tolerance)
        assert found.scale == scale

    @pytest.mark.parametrize(
        "text", ["mass", "mass=", "mass=a", "=1", "mass=1mag", "mass=0", "mass=-1", "mass=nan"]
    )
    def test_it_refuses_what_it_cannot_read(self, text):
        with pytest.raises(UsageError, match=r"mass|PROPERTY=TOLERANCE"):
            Criterion.parse(text)


@pytest.mark.parametrize(
    "settings",
    [
        on("mass=0.1"),
        on("mass=0.1", method="nearest"),
        on("mass=0.1", keep="weights"),
    ],
    ids=["strata", "nearest", "weights"],
)
class TestEveryMethod:
    def test_a_difference_in_mixture_goes_away(self, settings):
        found = matched(shifted(), settings)
        mass, colour = found.balance
        assert (mass.matched_on, colour.matched_on) == (True, False)
        assert mass.smd_before == pytest.approx(0.7, abs=0.15)
        assert abs(mass.smd_after) < 0.05
        # Colour hangs on mass alone, so it follows; its scatter .5 / sqrt(n / 2) is about 0.04.
        assert colour.smd_before > 0.4
        assert abs(colour.smd_after) < 0.12
        assert found.balanced

    def test_a_true_difference_stays(self, settings):
        found = matched(shifted(extra=0.5), settings)
        # 0.5 over the spread of the colour, sqrt(1 + 0.25).
        assert found.balance[1].smd_after == pytest.approx(0.5 / math.sqrt(1.25), abs=0.12)

    def test_every_row_is_kept_or_listed_once(self, settings):
        sides = shifted()
        sides[0]["mass"][:3] = np.nan
        found = matched(sides, settings)
        for side, rows, n in (("sim", found.sim_rows, 600), ("obs", found.obs_rows, 1200)):
            lost = [each.row for each in found.unmatched if each.side == side]
            assert sorted([*rows.tolist(), *lost]) == list(range(n))
        assert sum(each.kind == "missing" for each in found.unmatched) == 3
        assert [each.reason for each in found.unmatched[:3]] == ["mass is missing"] * 3

    def test_the_same_seed_gives_the_same_and_another_order_the_same_size(self, settings):
        sides = shifted()
        one, two = matched(sides, settings), matched(sides, settings)
        assert one.sim_rows.tolist() == two.sim_rows.tolist()
        assert one.obs_rows.tolist() == two.obs_rows.tolist()
        order = rng(9).permutation(600)
        turned = [{name: v[order] for name, v in sides[0].items()}, sides[1]]
        assert matched(turned, settings).n_kept == one.n_kept

    def test_a_dead_end_says_what_to_do(self, settings):
        sides = [{"mass": np.arange(50.0)}, {"mass": np.arange(50.0) + 1e6}]
        with pytest.raises(NothingUsableError, match="widen the tolerances"):
            matched(sides, settings)

    def test_the_fragment_is_json(self, settings):
        found = matched(shifted(), settings)
        fragment = selection_fragment(found)
        assert json.loads(json.dumps(fragment, allow_nan=False)) == fragment
        assert fragment["matched_fraction"]["sim"] == found.n_kept["sim"] / 600
        lost = sum(sum(counts.values()) for counts in fragment["unmatched"].values())
        assert lost == len(found.unmatched)


class TestNearest:
    def test_partners_are_within_every_tolerance(self):
        sides = shifted()
        found = matched(sides, on("mass=0.05 colour=0.2", method="nearest"))
        pairs = {}
        for side, rows, values in zip(
            ("sim", "obs"), (found.sim_rows, found.obs_rows), sides, strict=True
        ):
            for stratum, row in zip(found.strata[side], rows, strict=True):
                pairs.setdefault(stratum, {})[side] = row
                assert math.isfinite(values["mass"][row])
        assert len(pairs) == len(found.sim_rows) > 100
        for pair in pairs.values():
            for name, most in (("mass", 0.05), ("colour", 0.2)):
                gap = abs(sides[0][name][pair["sim"]] - sides[1][name][pair["obs"]])
                assert gap <= most * (1 + 1e-6)

    def test_wider_tolerances_never_keep_fewer(self):
        found = matched(shifted(), on("mass=0.02", method="nearest"))
        kept = [row.n_sim for row in found.sensitivity]
        assert kept == sorted(kept)
        assert kept[0] < kept[-1]
        assert [row.factor for row in found.sensitivity] == [0.5, 0.71, 1.0, 1.41, 2.0]
        assert kept[2] == found.n_kept["sim"]

    def test_logarithms_make_tolerances_ratios(self):
        sides = [
            {"mass": np.array([1e9, 1e10, 1e11, -1.0])},
            {"mass": np.array([1.5e9, 9e9, 2e11])},
        ]
        found = matched(sides, on("mass=0.2dex", method="nearest", force=True))
        assert found.sim_rows.tolist() == [0, 1]
        reasons = {each.row: each.reason for each in found.unmatched if each.side == "sim"}
        assert reasons[3] == "mass = -1 has no logarithm"
        assert reasons[2].startswith("mass = 1e+11: the nearest observed object has 2e+11")


class TestStrata:
    def test_weights_bring_the_mixture_exactly(self):
        sides = shifted()
        found = matched(sides, on("mass=0.25", keep="weights"))
        for cell in np.unique(found.strata["obs"]):
            share = found.weights["sim"][found.strata["sim"] == cell].sum() / found.n_kept["sim"]
            observed = (found.strata["obs"] == cell).mean()
            assert share == pytest.approx(observed)
        assert found.weights["obs"].tolist() == [1.0] * found.n_kept["obs"]

    def test_the_effective_size_is_that_of_theory(self):
        # Weights exp(-shift x) over N(shift, 1) have n_eff / n = exp(-shift^2) (lognormal
        # moments); at a shift of 0.5 that is 0.779.
        sides = shifted(8000, 8000, shift=0.5)
        found = matched(sides, on("mass=0.1", keep="weights"))
        assert found.effective["sim"] / found.n_kept["sim"] == pytest.approx(0.779, abs=0.04)

    def test_draws_keep_twice_as_many_observed_where_asked(self):
        found = matched(shifted(), on("mass=0.2", observed_per_simulated=2))
        assert found.n_kept["obs"] == 2 * found.n_kept["sim"]
        sim = np.bincount(found.strata["sim"], minlength=100)
        obs = np.bincount(found.strata["obs"], minlength=100)
        assert obs[: len(sim)].tolist() == (2 * sim).tolist()


class TestGroups:
    def test_views_of_one_galaxy_are_one_object(self):
        # 100 galaxies in 4 views each against 100 in one view.
        random = rng(5)
        mass = random.normal(size=100)
        sides = [{"mass": np.repeat(mass, 4)}, {"mass": mass + 0.001}]
        groups = np.repeat(names(100), 4), names(100, "o")
        found = matched(sides, on("mass=0.01", method="nearest"), groups)
        assert found.n_groups == {"sim": 100, "obs": 100}
        assert found.n_kept["sim"] == found.n_kept["obs"]
        assert len(found.sim_rows) == 4 * found.n_kept["sim"]
        assert found.weights["sim"].sum() == pytest.approx(found.n_kept["sim"])
        assert found.weights["sim"].max() == 0.25

    def test_a_view_unlike_the_others_is_left_out_by_name(self):
        values = np.concatenate([np.full(3, 0.5), [0.9], np.linspace(0.3, 0.7, 40)])
        groups = np.concatenate([np.repeat("a", 4), names(40)])
        sides = [{"axis_ratio": values}, {"axis_ratio": np.linspace(0.3, 0.7, 80)}]
        found = matched(sides, on("axis_ratio=0.05"), (groups, names(80, "o")))
        (lost,) = [each for each in found.unmatched if each.kind == "views differ"]
        assert (lost.row, lost.side) == (3, "sim")
        assert lost.reason.startswith("axis_ratio = 0.9, in its group typically 0.5")

    def test_means_count_a_galaxy_once(self):
        # One galaxy at 1 seen nine times and one at 0 have the mean 1/2, not 9/10.
        sides = [{"x": np.array([1.0] * 9 + [0.0])}, {"x": np.array([1.0, 0.0])}]
        groups = np.array(["a"] * 9 + ["b"]), np.array(["c", "d"])
        found = matched(sides, on("x=0.1", force=True), groups)
        row = found.balance[0]
        assert (row.sim_before, row.obs_before, row.smd_before) == pytest.approx((0.5, 0.5, 0.0))
        assert (row.sim_after, row.smd_after, row.variance_ratio) == pytest.approx((0.5, 0.0, 1.0))


class TestRefusals:
    def test_too_few_are_refused_unless_forced(self):
        sides = [{"x": np.arange(29.0)}, {"x": np.arange(29.0)}]
        with pytest.raises(NotComputableError, match=r"29\.0 effective simulated objects"):
            matched(sides, on("x=0.1"))
        found = matched(sides, on("x=0.1", force=True))
        assert "no population claim" in found.warnings[0]
        assert matched([{"x": np.arange(30.0)}] * 2, on("x=0.1")).warnings == ()

    def test_lopsided_weights_are_refused(self):
        # 990 simulated at 0 and 10 at 1 against the reverse: nearly all weight on ten objects.
        side = np.repeat([0.0, 1.0], [990, 10])
        sides = [{"x": side}, {"x": 1 - side}]
        # Weights 10/990 and 99: (sum)^2 / sum of squares = 1e6 / (10 * 99^2 + 990 / 99^2) = 10.2.
        with pytest.raises(NotComputableError, match=r"10\.2 effective simulated"):
            matched(sides, on("x=0.1", keep="weights"))
        share = replace(on("x=0.1", keep="weights"), fewest_effective=1)
        with pytest.raises(NotComputableError, match="allowed are 200 or more"):
            matched(sides, share)

    def test_an_unbalanced_match_says_so(self):
        found = matched(shifted(), on("mass=4"))
        assert not found.balanced
        assert "tighten its tolerance" in found.warnings[0]

    def test_a_wrong_name_gets_the_nearest(self):
        with pytest.raises(UsageError, match="did you mean 'mass'"):
            matched(shifted(), on("mas=0.1"))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"method": "closest"}, "selection method"),
            ({"keep": "some"}, "selection keep"),
            ({"method": "nearest", "keep": "weights"}, "weights belong to strata"),
            ({"criteria": ()}, "one or more"),
            ({"observed_per_simulated": 0}, "1 or more"),
        ],
    )
    def test_settings_are_checked(self, changes, words):
        with pytest.raises(UsageError, match=words):
            replace(on("x=1"), **changes)

    def test_columns_have_one_value_per_row(self):
        with pytest.raises(UsageError, match="2 rows"):
            matched([{"x": np.zeros(3)}, {"x": np.zeros(2)}], on("x=1"), (names(2), names(2)))
