import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from scipy.stats import binom, fisher_exact

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.region_properties import (
    hodges_lehmann,
    median,
    nearest_pairs,
    paired_offset,
    signed_rank_p,
)
from simreal.explain.regions import (
    RegionSettings,
    find_regions,
    group_weights,
    log2_ratio,
    permuted_p_values,
)
from simreal.stats.clusters import assign, fit_centres

CORNERS = np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0], [0, 0, 20]], dtype=float)


def embedded(vectors, name="sky", groups=None, sampling="random", columns=None, encoder="e"):
    ids = np.array([f"{name}{i:05d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling=sampling, vectors=np.asarray(vectors, dtype=np.float32), ids=ids,
        groups=ids if groups is None else groups, encoder_digest=encoder, source_digest=name,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def clumps(counts, rng, name="sky", **given):
    """Return an embedding with so many objects at each of four corners."""
    kind = np.repeat(np.arange(len(counts)), counts)
    return embedded(CORNERS[kind] + rng.normal(size=(len(kind), 3)), name, **given)


def found_at(regions, side, embedding, corner):
    """Return the region that holds most of one corner's objects."""
    labels = regions.region_sim if side == "sim" else regions.region_obs
    away = np.linalg.norm(embedding.vectors - CORNERS[corner], axis=1)
    return regions.regions[int(np.bincount(labels[away < 8]).argmax())]


class TestCounts:
    def test_planted_directions_with_counts_ratio_and_exact_p(self):
        rng = np.random.default_rng(0)
        sky, mock = clumps([50, 50, 50, 50], rng), clumps([80, 50, 65, 5], rng, "mock")
        found = find_regions(sky, mock, settings=RegionSettings(k=4), rng=rng)
        over, same, missing = (found_at(found, "obs", sky, corner) for corner in (0, 1, 3))
        assert (over.n_sim, over.n_obs, over.direction) == (80, 50, "over-produced")
        assert (same.n_sim, same.n_obs, same.direction) == (50, 50, "consistent")
        assert (missing.n_sim, missing.n_obs, missing.direction) == (5, 50, "missing")
        assert missing.log2_ratio == pytest.approx(np.log2(5.5 / 50.5))
        # Delta method, by hand: 1.96 sqrt(1/5.5 - 1/200.5 + 1/50.5 - 1/200.5) / ln 2.
        width = 1.959964 * np.sqrt(1 / 5.5 + 1 / 50.5 - 2 / 200.5) / np.log(2)
        assert missing.high - missing.log2_ratio == pytest.approx(width, rel=1e-6)
        assert missing.p_value == pytest.approx(fisher_exact([[5, 195], [50, 150]]).pvalue)
        assert missing.p_adjusted == pytest.approx(4 * missing.p_value)
        assert found.claims
        assert found.test == "Fisher's exact test"

    def test_a_region_without_any_simulated_object_is_missing_and_finite(self):
        rng = np.random.default_rng(0)
        sky, mock = clumps([50, 50, 50, 50], rng), clumps([70, 70, 60, 0], rng, "mock")
        found = find_regions(sky, mock, settings=RegionSettings(k=4), rng=rng)
        gone = found_at(found, "obs", sky, 3)
        assert (gone.n_sim, gone.direction, gone.sim_ids) == (0, "missing", ())
        assert np.isfinite([gone.log2_ratio, gone.low, gone.high]).all()
        assert gone.high < -2

    def test_naming_the_sides_the_other_way_round_turns_every_sign(self):
        rng = np.random.default_rng(1)
        sky, mock = clumps([30, 60, 40, 50], rng), clumps([60, 20, 40, 50], rng, "mock")
        settings = RegionSettings(k=5)
        one = find_regions(sky, mock, settings=settings, rng=np.random.default_rng(2))
        other = find_regions(mock, sky, settings=settings, rng=np.random.default_rng(2))
        assert [r.log2_ratio for r in one.regions] == pytest.approx(
            [-r.log2_ratio for r in other.regions]
        )
        assert [r.p_value for r in one.regions] == pytest.approx([r.p_value for r in other.regions])

    @pytest.mark.parametrize(("share_sim", "share_obs"), [(0.1, 0.1), (0.02, 0.1), (0.3, 0.15)])
    def test_interval_covers_exactly_computed(self, share_sim, share_obs):
        """The chance that the interval holds the true ratio, summed over all possible counts."""
        n, m = 120, 200
        a, b = np.arange(n + 1), np.arange(m + 1)
        chance = binom.pmf(a, n, share_sim)[:, None] * binom.pmf(b, m, share_obs)[None]
        x, y, nn, mm = a[:, None] + 0.5, b[None] + 0.5, n + 0.5, m + 0.5
        ratio = np.log2(x / nn * mm / y)
        width = 1.959964 * np.sqrt(1 / x - 1 / nn + 1 / y - 1 / mm) / np.log(2)
        # The same numbers as the function gives, for one pair of counts.
        sim, obs = (np.eye(2)[np.repeat([0, 1], [k, t - k])] for k, t in ((7, n), (31, m)))
        got = log2_ratio(sim, obs)
        assert got[1][0] == pytest.approx(ratio[7, 31] - width[7, 31])
        held = np.abs(ratio - np.log2(share_sim / share_obs)) <= width
        assert 0.94 <= float((chance * held).sum()) <= 0.99

    def test_regions_fitted_to_the_counted_objects_cover_the_population_ratio(self):
        """Shares of the fitted regions in fresh objects lie in the intervals 95 % of the time."""
        rng = np.random.default_rng(3)
        held, n_regions, k = [], 0, 6
        fresh_sim, fresh_obs = rng.normal(size=(2, 40_000, 2))
        shift = np.array([0.5, 0.0])
        for trial in range(40):
            obs = rng.normal(size=(150, 2)).astype(np.float32)
            sim = (rng.normal(size=(150, 2)) + shift).astype(np.float32)
            centres = fit_centres(np.concatenate([obs, sim]), k, seed=trial, n_starts=1)
            weights = [np.eye(k)[assign(points, centres)] for points in (sim, obs)]
            _, low, high = log2_ratio(*weights)
            shares = [
                np.bincount(assign(points.astype(np.float32), centres), minlength=k) / 40_000
                for points in (fresh_sim + shift, fresh_obs)
            ]
            truth = np.log2(shares[0] / shares[1])
            held.append(((low <= truth) & (truth <= high)).mean())
            n_regions += k
        # Regions of one trial depend on each other: the error is that of the mean over trials.
        error = np.std(held, ddof=1) / np.sqrt(len(held))
        assert abs(np.mean(held) - 0.95) < 0.01 + 2.6 * error
        assert np.mean(held) > 0.92

    @pytest.mark.parametrize("trials", [20, pytest.param(300, marks=pytest.mark.slow)])
    def test_identical_populations_are_called_different_no_more_often_than_stated(self, trials):
        rng = np.random.default_rng(4)
        claimed = 0
        for _ in range(trials):
            points = rng.normal(size=(240, 3))
            found = find_regions(
                embedded(points[:120]), embedded(points[120:], "mock"),
                settings=RegionSettings(k=6), rng=rng,
            )  # fmt: skip
            claimed += any(r.direction != "consistent" for r in found.regions)
        # 99.5 percentile of a binomial at 5 %.
        assert claimed <= binom.ppf(0.995, trials, 0.05)


class TestViews:
    def test_a_group_counts_once_whatever_its_views(self):
        rng = np.random.default_rng(0)
        kind = np.repeat(np.arange(4), 20)
        groups = np.array([f"s{i:03d}" for i in range(80)])
        # Three views on the simulated side, two on the other: two of each are counted.
        sim = embedded(
            np.repeat(CORNERS[kind], 3, axis=0) + rng.normal(size=(240, 3)), "mock",
            groups=np.repeat(groups, 3),
        )  # fmt: skip
        obs = embedded(
            np.repeat(CORNERS[kind], 2, axis=0) + rng.normal(size=(160, 3)),
            groups=np.char.add("o", np.repeat(groups, 2)),
        )
        found = find_regions(obs, sim, settings=RegionSettings(k=4), rng=rng)
        assert found.views_per_group == 2
        assert found.test.endswith("permutations of groups")
        assert [(r.n_sim, r.n_obs) for r in found.regions] == [(20, 20)] * 4
        assert all(r.direction == "consistent" for r in found.regions)

    def test_views_in_two_regions_count_in_parts(self):
        weights = group_weights(np.array([[0, 1, 1], [1, 1, 1]]), 2)
        assert weights.sum(axis=0).tolist() == [0.5, 2.5]

    def test_permutations_agree_with_fishers_test_for_single_views(self):
        sim, obs = (np.eye(2)[np.repeat([0, 1], n)] for n in ([9, 31], [20, 20]))
        p = permuted_p_values(sim, obs, n_permutations=20_000, rng=np.random.default_rng(0))
        assert p == pytest.approx(fisher_exact([[9, 31], [20, 20]]).pvalue, abs=0.003)

    def test_halved_noise_of_split_views_narrows_the_interval(self):
        """Two independent views carry twice as much about a share as one."""
        rng = np.random.default_rng(0)
        one, two = ((rng.random((m, 4000)) < 0.3).mean(axis=0) for m in (1, 2))
        widths = []
        for share in (one, two):
            weights = np.stack([share, 1 - share], axis=1)
            _, low, high = log2_ratio(weights[:2000], weights[2000:])
            widths.append(high[0] - low[0])
        assert widths[1] / widths[0] == pytest.approx(np.sqrt(0.5), rel=0.05)

    def test_many_equal_views_do_not_make_identical_populations_different(self):
        """Views that are copies of each other are one object, not four."""
        rng = np.random.default_rng(5)
        claimed, trials = 0, 15
        for _ in range(trials):
            points = rng.normal(size=(80, 2))
            views = np.repeat(points, 4, axis=0) + 1e-3 * rng.normal(size=(320, 2))
            groups = np.repeat([f"g{i:03d}" for i in range(80)], 4)
            found = find_regions(
                embedded(views[:160], groups=groups[:160]),
                embedded(views[160:], "mock", groups=groups[160:]),
                settings=RegionSettings(k=4, n_permutations=999), rng=rng,
            )  # fmt: skip
            claimed += any(r.direction != "consistent" for r in found.regions)
        assert claimed <= binom.ppf(0.995, trials, 0.05)


class TestProperties:
    def pair(self, seed=0, mass_shift=0.0, size_shift=0.0, n=300):
        """Sizes follow mass; either may be shifted on the simulated side."""
        rng = np.random.default_rng(seed)
        sides = []
        for name, dm, ds in (("sky", 0.0, 0.0), ("mock", mass_shift, size_shift)):
            log_mass = 10.5 + dm + 0.4 * rng.normal(size=n)
            log_size = 0.5 + 0.6 * (log_mass - 10.5) + ds + 0.1 * rng.normal(size=n)
            sides.append(
                embedded(
                    rng.normal(size=(n, 3)),
                    name,
                    columns={
                        "stellar_mass": 10**log_mass * u.Msun,
                        "redshift": rng.uniform(0.02, 0.09, n),
                        "radius": 10**log_size * u.kpc,
                    },
                )
            )
        return sides

    def offset(self, sides, name="radius", where=None, **settings):
        found = find_regions(
            *sides, settings=RegionSettings(k=3, **settings), rng=np.random.default_rng(0)
        )
        rows = found.overall if where is None else found.regions[where].properties
        return next(row for row in rows if row.name == name)

    def test_a_difference_of_mass_alone_is_no_offset_of_size(self):
        row = self.offset(self.pair(mass_shift=0.3))
        # The medians differ by 0.6 x 0.3 dex, the offset at fixed mass does not.
        assert row.sim.low > row.obs.high
        assert row.offset.low < 0 < row.offset.high
        assert row.direction == "consistent"
        assert row.matched_on == ("stellar_mass", "redshift")

    def test_a_difference_of_size_is_found_with_its_amount(self):
        row = self.offset(self.pair(mass_shift=0.3, size_shift=0.1))
        # Sizes span a factor of ten and more: the offset is in dex.
        assert row.scale == "log10"
        assert row.direction == "larger"
        assert row.offset.low < 0.1 < row.offset.high
        assert row.offset.n > 150
        assert row.balance < 0.2

    def test_a_narrow_property_stays_in_its_unit(self):
        row = self.offset(self.pair(), "redshift", controls=("stellar_mass",))
        assert row.scale == "linear"
        assert row.direction == "consistent"

    def test_a_region_has_its_own_offset_with_its_own_pairs(self):
        sides = self.pair(size_shift=0.1, n=400)
        row = self.offset(sides, where=0)
        assert row.direction == "larger"
        assert row.offset.n < self.offset(sides).offset.n

    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_what_only_follows_mass_exactly_is_not_an_offset(self, power):
        sides = []
        for side in self.pair(mass_shift=0.3):
            table = side.properties.copy()
            table["luminosity"] = (np.log10(table["stellar_mass"].value) - 9) ** power
            sides.append(side.replace(properties=table))
        assert self.offset(sides, "luminosity").direction == "consistent"

    @pytest.mark.parametrize("trials", [60, pytest.param(1000, marks=pytest.mark.slow)])
    def test_offsets_cover_and_reject_as_often_as_stated(self, trials):
        rng = np.random.default_rng(1)
        covered = rejected = 0
        for _ in range(trials):
            x = {"sim": rng.normal(0.5, 1, (60, 1)), "obs": rng.normal(0, 1, (60, 1))}
            y = {s: 2 * x[s][:, 0] + rng.normal(size=60) + (s == "sim") * 0.4 for s in x}
            held = {s: x[s] / 0.25 for s in x}
            score, _, _ = paired_offset(y, held, rng=rng)
            covered += score.low <= 0.4 <= score.high
            null = {s: y[s] - (s == "sim") * 0.4 for s in x}
            rejected += paired_offset(null, held, rng=rng)[1] <= 0.05
        assert binom.ppf(0.001, trials, 0.95) <= covered <= binom.ppf(0.9995, trials, 0.95)
        assert rejected <= binom.ppf(0.999, trials, 0.05)

    @pytest.mark.parametrize("trials", [40, pytest.param(600, marks=pytest.mark.slow)])
    def test_pairs_that_agree_exactly_are_no_evidence(self, trials):
        """Most objects at one value, others by the control: at fixed control nothing differs."""
        rng = np.random.default_rng(2)
        rejected = 0
        for _ in range(trials):
            x = rng.normal(size=(160, 1))
            x[:80] += 0.4
            others = rng.random(160) < 1 / (1 + np.exp(1.5 + 2 * x[:, 0]))
            y = np.where(others, rng.uniform(0.2, 0.5, 160), 1.0)
            sides = {"sim": slice(0, 80), "obs": slice(80, 160)}
            _, p, _ = paired_offset(
                {s: y[rows] for s, rows in sides.items()},
                {s: x[rows] / 0.25 for s, rows in sides.items()},
                rng=rng,
            )
            rejected += p <= 0.01
        # Regressed like all others, 6 of the first 40 are rejected.
        assert rejected <= binom.ppf(0.999, trials, 0.01)

    def test_a_caliper_with_no_pairs_says_so(self):
        row = self.offset(self.pair(), caliper=1e-9)
        assert row.offset.value is None
        assert "within the caliper" in row.offset.reason
        assert row.direction == "not available"

    def test_a_control_is_not_offset_against_itself(self):
        row = self.offset(self.pair(), "stellar_mass")
        assert row.offset.reason == "not available: stellar_mass is what is held fixed"
        assert row.sim.value is not None

    def test_different_units_are_not_subtracted(self):
        sky, mock = self.pair()
        table = mock.properties.copy()
        table["radius"] = table["radius"].value * u.arcsec
        row = self.offset([sky, mock.replace(properties=table)])
        assert "radius is in arcsec in mock and in kpc in sky" in row.offset.reason

    def test_a_control_that_one_side_lacks_is_named(self):
        sky, mock = self.pair()
        table = sky.properties.copy()
        del table["redshift"]
        found = find_regions(
            sky.replace(properties=table), mock, settings=RegionSettings(k=3),
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert found.controls == ("stellar_mass",)
        assert found.controls_reason == "sky has no redshift"


class TestArithmetic:
    def test_pairs_are_as_many_as_possible_and_each_is_used_once(self):
        one, other = np.array([[0.0], [0.9]]), np.array([[0.5], [-0.9]])
        # Nearest first would pair 0.9 with 0.5 ... and 0 with -0.9: both within 1.
        first, second = nearest_pairs(one, other)
        assert sorted(zip(first, second, strict=True)) == [(0, 1), (1, 0)]

    def test_pairs_beyond_the_caliper_on_any_axis_are_none(self):
        first, _ = nearest_pairs(np.array([[0.0, 0.0]]), np.array([[0.5, 1.01]]))
        assert len(first) == 0

    def test_hodges_lehmann_interval_is_exact(self):
        rng = np.random.default_rng(0)
        ends = [hodges_lehmann(rng.normal(size=12)) for _ in range(400)]
        held = sum(low <= 0 <= high for _, low, high in ends)
        # 12 signed ranks: P(W <= 13) = .0212 and P(W <= 14) = .0261, so coverage 1 - 2 x .0212.
        assert abs(held / 400 - 0.9575) < 0.03

    def test_median_interval_by_hand(self):
        found = median(np.arange(10.0))
        # P(fewer than 2 of 10 below) = 11 / 1024 <= .025 < 56 / 1024.
        assert (found.value, found.low, found.high) == (4.5, 1.0, 8.0)

    def test_nothing_differs(self):
        assert signed_rank_p(np.zeros(30)) == 1.0


class TestImages:
    def test_central_and_edge_images_are_of_different_groups_and_ordered(self):
        rng = np.random.default_rng(0)
        sky, mock = clumps([60] * 4, rng), clumps([60] * 4, rng, "mock")
        found = find_regions(sky, mock, settings=RegionSettings(k=4), rng=rng)
        place = {name: i for i, name in enumerate(sky.ids.tolist())}
        for region in found.regions:
            rows = [place[i] for i in (*region.obs_ids, *region.obs_edge_ids)]
            corner = CORNERS[np.linalg.norm(CORNERS - sky.vectors[rows[0]], axis=1).argmin()]
            away = np.linalg.norm(sky.vectors[rows] - corner, axis=1)
            assert len(set(rows)) == 12
            assert away[:6].max() < away[6:].min()

    def test_names_do_not_repeat_a_group(self):
        rng = np.random.default_rng(0)
        groups = np.repeat([f"g{i:02d}" for i in range(20)], 3)
        sky = embedded(rng.normal(size=(60, 2)), groups=groups)
        mock = embedded(rng.normal(size=(60, 2)), "mock", groups=np.char.add("m", groups))
        found = find_regions(sky, mock, settings=RegionSettings(k=2, n_permutations=99), rng=rng)
        of = dict(zip(sky.ids.tolist(), sky.groups.tolist(), strict=True))
        for region in found.regions:
            named = [of[i] for i in (*region.obs_ids, *region.obs_edge_ids)]
            assert len(set(named)) == len(named)


class TestDensity:
    def test_noise_is_a_region_of_its_own_and_last(self):
        rng = np.random.default_rng(0)
        strays = rng.uniform(-60, 60, size=(40, 3))
        points = [
            np.concatenate([CORNERS[np.repeat([0, 1], 60)] + rng.normal(size=(120, 3)), part])
            for part in (strays[:20], strays[20:])
        ]
        sky, mock = embedded(points[0]), embedded(points[1], "mock")
        found = find_regions(sky, mock, settings=RegionSettings(method="hdbscan"), rng=rng)
        assert [r.name for r in found.regions] == ["region 1", "region 2", "noise"]
        assert sum(r.n_sim for r in found.regions) == 140
        assert found.regions[-1].n_obs >= 15
        assert found.method == "hdbscan, clusters of 10 or more"


class TestThirdSet:
    def test_regions_of_a_third_set(self):
        rng = np.random.default_rng(0)
        sky, mock = clumps([50, 50], rng), clumps([80, 20], rng, "mock")
        third = clumps([40, 40], rng, "training")
        found = find_regions(sky, mock, settings=RegionSettings(k=2), fit_on=third, rng=rng)
        assert found.fitted_on == "training: 80 groups that neither side has"
        assert {r.direction for r in found.regions} == {"over-produced", "missing"}

    def test_a_third_set_that_shares_groups_is_refused(self):
        rng = np.random.default_rng(0)
        sky, mock = clumps([50, 50], rng), clumps([80, 20], rng, "mock")
        with pytest.raises(UsageError, match="shares 10 groups with what is counted, 'sky00000'"):
            find_regions(sky, mock, fit_on=sky.rows(np.arange(10)), rng=rng)


class TestBadInput:
    def pair(self, **given):
        rng = np.random.default_rng(0)
        return clumps([30, 30], rng, **given), clumps([30, 30], rng, "mock", **given)

    def test_curated_samples_claim_nothing(self):
        rng = np.random.default_rng(0)
        sky = clumps([50, 50], rng, sampling="curated")
        found = find_regions(sky, clumps([90, 10], rng, "mock"), rng=rng)
        assert {r.direction for r in found.regions} == {"not claimed"}
        assert not found.claims
        assert "sky: a curated sample does not say how common its objects are" in str(found)

    def test_no_properties(self):
        found = find_regions(*self.pair(), rng=np.random.default_rng(0))
        assert found.overall == ()
        assert "properties: neither side has a numeric one" in str(found)

    def test_a_named_property_that_is_not_there(self):
        with pytest.raises(UsageError, match=r"property 'mas': they have none at all"):
            find_regions(
                *self.pair(), settings=RegionSettings(properties=("mas",)),
                rng=np.random.default_rng(0),
            )  # fmt: skip

    def test_a_property_on_one_side_only(self):
        sky, mock = self.pair()
        mock = mock.replace(properties=QTable({"sfr": np.linspace(0, 1, 60)}))
        found = find_regions(sky, mock, rng=np.random.default_rng(0))
        row = found.overall[0]
        assert row.sim.value == pytest.approx(0.5)
        assert row.obs.reason == row.offset.reason == "not available: sky has no sfr"

    def test_one_constant_property(self):
        columns = {"stellar_mass": np.linspace(1, 2, 60), "depth": np.full(60, 5.0)}
        found = find_regions(*self.pair(columns=columns), rng=np.random.default_rng(0))
        row = next(row for row in found.overall if row.name == "depth")
        assert row.offset.reason == "not available: depth is 5 for all objects"
        assert row.sim.value == 5.0

    def test_all_objects_in_one_region(self):
        rng = np.random.default_rng(0)
        sky, mock = (embedded(rng.normal(size=(60, 2)), name) for name in ("sky", "mock"))
        settings = RegionSettings(method="hdbscan", min_cluster_size=100)
        found = find_regions(sky, mock, settings=settings, rng=rng)
        assert [r.direction for r in found.regions] == ["not claimed"]
        assert "all 120 images are in one region" in found.reason

    def test_fewer_objects_than_regions(self):
        rng = np.random.default_rng(0)
        sky, mock = (embedded(rng.normal(size=(12, 2)), name) for name in ("sky", "mock"))
        with pytest.raises(NotComputableError, match="got 24 groups for 30 regions; ask for fewer"):
            find_regions(sky, mock, settings=RegionSettings(k=30), rng=rng)
        with pytest.raises(NotComputableError, match="got 24 groups for clusters of 25 or more"):
            find_regions(
                sky, mock, rng=rng,
                settings=RegionSettings(method="hdbscan", min_cluster_size=25),
            )  # fmt: skip

    def test_too_few_groups(self):
        rng = np.random.default_rng(0)
        sky, mock = embedded(rng.normal(size=(9, 2))), embedded(rng.normal(size=(50, 2)), "mock")
        with pytest.raises(NotComputableError, match="got 9 groups of sky, needed are 10"):
            find_regions(sky, mock, rng=rng)

    def test_all_vectors_the_same(self):
        sky, mock = embedded(np.ones((20, 2))), embedded(np.ones((20, 2)), "mock")
        with pytest.raises(NotComputableError, match="all 40 vectors of the pool are the same"):
            find_regions(sky, mock, rng=np.random.default_rng(0))

    def test_two_encoders(self):
        sky, _ = self.pair()
        with pytest.raises(UsageError, match="different encoders"):
            find_regions(sky, sky.replace(encoder_digest="f"), rng=np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"method": "umap"}, "got method 'umap', allowed: k-means, hdbscan"),
            ({"k": 1}, "got k 1, allowed is 2 or more"),
            ({"caliper": 0.0}, "got caliper 0.0, allowed is above 0"),
            ({"level": 1.0}, "got level 1.0, allowed is 0.5 to below 1"),
        ],
    )
    def test_settings(self, given, said):
        with pytest.raises(UsageError, match=said):
            RegionSettings(**given)


class TestOutput:
    def test_plain_values_and_a_table(self):
        rng = np.random.default_rng(0)
        columns = {
            "stellar_mass": np.repeat([1.0, 2.0], 50) + rng.normal(size=100) / 9,
            "size": np.arange(100.0),
            "galaxy_id": np.arange(100),
        }
        sky = clumps([50, 50], rng, columns=columns)
        found = find_regions(sky, clumps([85, 15], rng, "mock", columns=columns), rng=rng)
        document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert document["fitted_on"] == "pooled, unlabelled: one view of each of 100 + 100 groups"
        assert [p["name"] for p in document["overall"]] == ["stellar_mass", "size"]
        assert document["controls"] == ["stellar_mass"]
        assert "association" in document["meaning"]
        text = str(found)
        assert "over-produced" in text
        assert "missing" in text
        assert "none of them says what causes what" in text

    def test_the_same_seed_gives_the_same_numbers(self):
        sides = [clumps([40, 40, 40], np.random.default_rng(i), n) for i, n in ((1, "a"), (2, "b"))]
        one, two = (find_regions(*sides, rng=np.random.default_rng(7)).to_dict() for _ in range(2))
        assert one == two
