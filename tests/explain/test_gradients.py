import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable

import simreal
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import Setup
from simreal.explain import gradient_encoding
from simreal.explain.gradient_directions import (
    angle,
    cone,
    drawn_errors,
    own_positions,
    permutation_p,
    slope,
)
from simreal.explain.gradient_encoding import encoded, linear_predictions, shuffled_columns
from simreal.explain.gradients import ASSOCIATION, GradientSettings, gradients
from simreal.explain.probes import KnnLearner, cross_validated, learn_linear
from simreal.explain.targets import Sample

QUICK = GradientSettings(draws=200, permutations=99, probe_permutations=19)


def embedded(vectors, groups=None, encoder="e", name="mine", **columns):
    ids = np.array([f"g{i:04d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids,
        groups=ids if groups is None else groups, encoder_digest=encoder, source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def uneven(rng, n, d):
    """Return noise whose widths fall from axis to axis, as those of real embeddings do."""
    return rng.normal(size=(n, d)) * np.exp(-np.arange(d) / 4)


def driven(seed=0, n=300, d=12, correlation=0.8, strength=0.7):
    """Return an embedding that one property drives along a known direction; a second follows."""
    rng = np.random.default_rng(seed)
    mass = rng.normal(size=n)
    age = correlation * mass + np.sqrt(1 - correlation**2) * rng.normal(size=n)
    along = np.ones(d) / np.sqrt(d)
    return embedded(strength * np.outer(mass, along) + uneven(rng, n, d), mass=mass, age=age), along


def sample_of(points, y, groups):
    codes = np.unique(groups, return_inverse=True)[1]
    return Sample(
        points=points, y=y, codes=codes, strata=np.zeros(codes.max() + 1, int), n_classes=0
    )


class TestSlope:
    def test_the_known_direction_lies_inside_its_cone(self):
        rng = np.random.default_rng(5)
        inside = []
        for _ in range(150):
            along = rng.normal(size=10)
            along /= np.linalg.norm(along)
            values = rng.normal(size=80)
            points = 0.6 * np.outer(values, along) + uneven(rng, 80, 10)
            found = slope(points, values)
            width = cone(found.vector, *drawn_errors([found.influence], 300, rng=rng))
            off = np.degrees(np.arccos(found.vector @ along / found.length))
            inside.append(width is None or off <= width)
        # 95 % of 150: fewer than 134 come by chance once in 200, more than 148 once in 50.
        assert 134 <= sum(inside) <= 149

    def test_the_share_is_that_of_the_variance(self):
        rng = np.random.default_rng(1)
        values = rng.normal(size=4000)
        points = np.outer(values, [3.0, 4.0, 0.0]) + 5 * rng.normal(size=(4000, 3))
        # 25 of 25 + 3 × 25.
        share = slope(points, values).share
        assert share.low < 0.25 < share.high
        assert share.high - share.low < 0.1

    def test_no_bias_where_there_is_nothing(self):
        rng = np.random.default_rng(2)
        shares = [
            slope(rng.normal(size=(40, 6)), rng.normal(size=40)).share.value for _ in range(200)
        ]
        # A plain R² would be 1 / 39.
        assert abs(np.mean(shares)) < 4 * np.std(shares) / np.sqrt(200) < 0.008

    def test_scale_and_turn_of_the_embedding_change_no_share_and_no_cone(self):
        rng = np.random.default_rng(3)
        values, points = rng.normal(size=100), rng.normal(size=(100, 4))
        points[:, 0] += values
        turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        found = [slope(p, v) for p, v in ((points, values), (7 * points @ turn, 100 - 3 * values))]
        assert found[1].share.value == pytest.approx(found[0].share.value)
        np.testing.assert_allclose(found[1].vector, -7 * found[0].vector @ turn)
        assert found[1].noise == pytest.approx(49 * found[0].noise)

    def test_held_fixed_only_the_driver_moves(self):
        embedding, along = driven()
        points = embedding.vectors.astype(float)
        mass, age = (np.asarray(embedding.properties[name]) for name in ("mass", "age"))
        rng = np.random.default_rng(0)
        assert permutation_p(slope(points, age), 199, rng=rng) == 0.005
        partial_age, partial_mass = (
            slope(points, age, mass[:, None]),
            slope(points, mass, age[:, None]),
        )
        assert permutation_p(partial_age, 199, rng=rng) > 0.05
        assert permutation_p(partial_mass, 199, rng=rng) == 0.005
        assert partial_mass.vector @ along / partial_mass.length > 0.95
        assert partial_age.own_variance == pytest.approx(0.36, abs=0.06)

    def test_a_curve_in_what_is_held_is_not_left_to_the_other(self):
        rng = np.random.default_rng(4)
        held = rng.normal(size=400)
        values = held**2 + 0.5 * rng.normal(size=400)
        points = np.outer(held**2, [1.0, 0.0]) + rng.normal(size=(400, 2))
        assert permutation_p(slope(points, values, held[:, None]), 99, rng=rng) > 0.05

    @pytest.mark.parametrize(
        ("n", "values", "held", "words"),
        [
            (20, np.arange(20.0), None, "got 20 objects for 2 fitted columns"),
            (40, np.ones(40), None, "all 40 values are the same"),
            (40, np.arange(40.0), 2 * np.arange(40.0)[:, None], "predict 100.0 % of its variance"),
        ],
    )
    def test_what_cannot_be_told(self, n, values, held, words):
        points = np.random.default_rng(0).normal(size=(n, 2))
        with pytest.raises(NotComputableError, match=words):
            slope(points, values, held)

    def test_vectors_all_alike(self):
        with pytest.raises(NotComputableError, match="all 40 vectors are the same"):
            slope(np.full((40, 2), 1e4), np.arange(40.0))

    def test_errors_scatter_as_the_slopes_of_fresh_samples_do(self):
        rng = np.random.default_rng(6)
        slopes = []
        for _ in range(400):
            values = rng.normal(size=100)
            # Scatter grows with the value: constant-variance formulae would be wrong.
            noise = rng.normal(size=(100, 2)) * np.exp(0.5 * values)[:, None]
            slopes.append(slope(np.outer(values, [1.0, 0.0]) + noise, values))
        seen = np.var([found.vector[1] for found in slopes])
        told = np.mean([found.noise for found in slopes]) / 2
        assert told == pytest.approx(seen, rel=0.35)
        assert np.mean([(found.influence[:, 1] ** 2).sum() for found in slopes]) == pytest.approx(
            seen, rel=0.25
        )


class TestAngles:
    @pytest.mark.parametrize("degrees", [0.0, 60.0, 120.0])
    def test_known_angles(self, degrees):
        rng = np.random.default_rng(7)
        first, second = rng.normal(size=(2, 300))
        turn = np.radians(degrees)
        points = np.outer(first, [1.0, 0, 0]) + np.outer(second, [np.cos(turn), np.sin(turn), 0])
        points = np.concatenate([points, np.zeros((300, 9))], axis=1) + rng.normal(size=(300, 12))
        slopes = slope(points, first, second[:, None]), slope(points, second, first[:, None])
        influences = [each.influence for each in slopes]
        found = angle(
            *slopes,
            tuple(drawn_errors(influences, 500, rng=rng)),
            shared_noise=float((influences[0] * influences[1]).sum()),
            n=300,
        )
        assert found.low <= degrees <= found.high
        assert found.high - found.low < 40
        assert found.value == pytest.approx(degrees, abs=20)

    def test_no_angle_of_what_is_no_longer_than_its_error(self):
        rng = np.random.default_rng(8)
        a, points = rng.normal(size=60), rng.normal(size=(60, 5))
        away = a - a.mean()
        points -= np.outer(away, away @ points / (away @ away))
        embedding = embedded(points, a=a, b=points[:, 0])
        found = gradients(embedding, settings=QUICK)
        assert found.angles[0].angle.value is None
        assert found.angles[0].angle.reason == "a gradient is no longer than its error"
        assert found["a"].direction.cone is None
        assert found["a"].direction.p_value == 1.0
        assert found["b"].direction.cone < 30

    def test_many_objects_draw_as_few(self):
        rng = np.random.default_rng(9)
        influence = rng.normal(size=(500, 3)) * [1.0, 2.0, 0.1]
        (drawn,) = drawn_errors([influence], 4000, rng=rng)
        expected = np.sqrt(500) * np.array([1.0, 2.0, 0.1])
        np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.1)

    def test_no_cone_where_no_direction_is_excluded(self):
        assert cone(np.array([1.0, 0.0]), np.array([[0.0, 2.0]] * 5)) is None
        assert cone(np.zeros(2), np.ones((5, 2))) is None


class TestPlaces:
    def test_each_object_by_the_gradient_of_all_others(self):
        rng = np.random.default_rng(0)
        points, values = rng.normal(size=(30, 4)), rng.normal(size=30)
        centred = points - points.mean(axis=0)
        for i, place in enumerate(own_positions(points, values)):
            rest = np.delete(np.arange(30), i)
            vector = slope(points[rest], values[rest]).vector
            assert place == pytest.approx(centred[i] @ vector / np.linalg.norm(vector))


class TestEncoded:
    def test_the_score_is_that_of_the_probes(self, monkeypatch):
        monkeypatch.setattr(gradient_encoding, "REPEATS", 2)
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(90), rng.integers(1, 4, 90))
        values = rng.normal(size=90)[groups]
        points = rng.normal(size=(len(groups), 6))
        points[:, 0] += values
        sample = sample_of(points, values, groups)
        predicted, mean = linear_predictions(sample, values[:, None], rng=np.random.default_rng(3))
        theirs = cross_validated(sample, learn_linear, method="", rng=np.random.default_rng(3))
        lost = sample.weights @ (values - predicted[:, 0]) ** 2
        total = sample.weights @ (values - mean[:, 0]) ** 2
        assert 1 - lost / total == pytest.approx(theirs.scores["r2"].value, abs=1e-9)

        line, near = encoded(sample, neighbours=7, n_permutations=19, rng=np.random.default_rng(5))
        state = np.random.default_rng(5)
        shuffled_columns(sample, 19, rng=state)
        seeds = state.integers(2**31, size=2)
        for found, learn in ((line, learn_linear), (near, KnnLearner(k=7))):
            again = [
                cross_validated(sample, learn, method="", rng=np.random.default_rng(each))
                for each in seeds
            ]
            mean = np.mean([each.scores["r2"].value for each in again])
            # Means of errors, not of ratios.
            assert found.r2.value == pytest.approx(mean, abs=2e-3)
            assert found.p_value == 0.05

    def test_half_of_the_variance(self):
        rng = np.random.default_rng(1)
        points = rng.normal(size=(600, 5))
        line, near = encoded(
            sample_of(points, points[:, 0] + rng.normal(size=600), np.arange(600)),
            neighbours=10, n_permutations=49, rng=rng,
        )  # fmt: skip
        assert line.r2.low < 0.5 < line.r2.high
        assert line.p_value == near.p_value == 0.02
        assert near.null_high < 0.1 < near.r2.value < line.r2.value

    def test_p_values_of_noise_are_uniform(self, monkeypatch):
        monkeypatch.setattr(gradient_encoding, "REPEATS", 1)
        rng = np.random.default_rng(2)
        p_values = np.array([
            [each.p_value for each in encoded(
                sample_of(rng.normal(size=(40, 3)), rng.normal(size=40), np.arange(40)),
                neighbours=5, n_permutations=19, rng=rng,
            )]
            for _ in range(40)
        ])  # fmt: skip
        # P(p <= 0.25) = 0.25: more than 19 of 40 once in 2,000.
        assert ((p_values <= 0.25).sum(axis=0) <= 19).all()
        assert ((p_values <= 0.75).sum(axis=0) >= 21).all()


class TestGradients:
    def test_one_call_from_the_public_surface(self, tmp_path):
        embedding, along = driven()
        other = embedded(uneven(np.random.default_rng(1), 50, 12), name="sky")
        found = simreal.gradients(embedding, other=other, settings=QUICK)
        mass, age = found["mass"], found["age"]
        assert mass.direction.vector @ along / np.linalg.norm(mass.direction.vector) > 0.95
        assert mass.direction.p_adjusted <= 0.02
        assert age.direction.p_value == 0.01
        assert mass.partial.p_value == 0.01
        assert age.partial.p_value > 0.05
        assert (mass.partial.held, age.partial.held) == (("age",), ("mass",))
        assert mass.linear.r2.value > 0.3
        assert mass.place.low > 0.3
        # Deciles of all 300 objects; the other side falls into the same parts.
        assert [part.n for part in mass.bins] == [30] * 10
        assert sum(part.n_other for part in mass.bins) == 50
        assert mass.bins[0].value.value < -0.5 < 0.5 < mass.bins[9].value.value
        text = str(found)
        assert ASSOCIATION in text
        assert "cone" in text
        document = found.to_dict()
        assert document["note"] == ASSOCIATION
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        for name in ("g.json", "g.svg"):
            assert found.save(tmp_path / "made" / name).stat().st_size > 1000
        assert [p.name for p in (tmp_path / "made").iterdir() if p.suffix == ".part"] == []
        with pytest.raises(UsageError, match=r"allowed are names that end in \.json"):
            found.save(tmp_path / "g.txt")
        with pytest.raises(StorageError, match="cannot be written"):
            found.save(tmp_path / "made" / "g.json" / "g.json")

    def test_views_are_not_objects(self):
        embedding, _ = driven(n=60)
        single = gradients(embedding, ["mass"], settings=QUICK)["mass"]
        rows = np.repeat(np.arange(60), 4)
        many = embedded(
            embedding.vectors[rows], groups=embedding.groups[rows],
            mass=np.asarray(embedding.properties["mass"])[rows],
        )  # fmt: skip
        views = gradients(many, ["mass"], settings=QUICK)["mass"]
        assert views.n_groups == 60
        assert views.direction.cone == pytest.approx(single.direction.cone)
        assert views.direction.share.value == pytest.approx(single.direction.share.value)
        assert views.linear.r2.value == pytest.approx(single.linear.r2.value, abs=1e-6)
        assert len({name for part in views.bins for name in part.ids}) == 50

    def test_the_same_seed_gives_the_same_numbers(self):
        embedding, _ = driven(n=60)
        again = [gradients(embedding, settings=QUICK, rng=3).to_dict() for _ in range(2)]
        assert again[0] == again[1]

    def test_missing_values_and_logarithms(self):
        rng = np.random.default_rng(0)
        size = 10 ** rng.normal(1, 0.5, 100)
        points = np.outer(np.log10(size), [1.0, 0, 0]) + 0.3 * rng.normal(size=(100, 3))
        gas = MaskedColumn(rng.normal(size=100), mask=np.arange(100) < 50)
        embedding = embedded(points, size=size * u.kpc, gas=gas, level=rng.normal(size=100))
        found = gradients(embedding, settings=QUICK)
        assert found["size"].unit == "log10 kpc"
        assert found["size"].linear.r2.value > 0.5
        assert found["gas"].n_groups == found["gas"].direction.share.n == 50
        # Known for half of the objects only: held fixed for no other, unless it is named.
        assert found["size"].partial.held == ("level",)
        named = gradients(embedding, ["size"], settings=GradientSettings(
            hold=("gas",), log=(), draws=100, permutations=19, probe_permutations=19
        ))["size"]  # fmt: skip
        assert (named.unit, named.partial.held, named.partial.n) == ("kpc", ("gas",), 50)

    def test_what_was_measured_on_the_images_must_be_named(self):
        embedding, _ = driven(n=60)
        radius = np.asarray(embedding.properties["mass"])
        both = embedded(embedding.vectors, mass=radius, measured_radius=radius**3)
        assert [p.name for p in gradients(both, settings=QUICK).properties] == ["mass"]
        assert gradients(both, ["measured_radius"], settings=QUICK)["measured_radius"].linear

    def test_a_constant_property_says_so(self):
        embedding, _ = driven(n=60)
        constant = embedded(
            embedding.vectors, mass=np.ones(60), name="sim", kind=np.array(["a"] * 60)
        )
        found = gradients(constant, ["mass"], settings=QUICK)["mass"]
        assert "60 objects with 1 different values" in found.reason
        assert "all 60 values are the same" in found.direction.reason
        assert found.place.value is None
        text = str(gradients(constant, ["mass"], settings=QUICK))
        assert "not computable" in text
        with pytest.raises(UsageError, match="is a number and varies; it has mass, kind"):
            gradients(constant)

    @pytest.mark.parametrize(
        ("properties", "settings", "words"),
        [
            (["mas"], {}, "did you mean 'mass'"),
            ([], {}, "no property is named"),
            (["kind"], {}, "holds text"),
            (["mass"], {"hold": ("agee",)}, "did you mean 'age'"),
            (["mass"], {"log": ("size",)}, "no property 'size'"),
        ],
    )
    def test_wrong_names(self, properties, settings, words):
        embedding, _ = driven(n=30)
        table = {n: np.asarray(embedding.properties[n]) for n in ("mass", "age")}
        labelled = embedded(embedding.vectors, **table, kind=np.array(["a"] * 30))
        with pytest.raises(UsageError, match=words):
            gradients(labelled, properties, settings=GradientSettings(**settings))

    def test_no_properties_and_two_encoders(self):
        embedding, _ = driven(n=30)
        with pytest.raises(UsageError, match="has no properties"):
            gradients(embedded(embedding.vectors))
        with pytest.raises(UsageError, match="different encoders"):
            gradients(embedding, other=embedded(embedding.vectors, encoder="f"))
        with pytest.raises(UsageError, match="bins: got 1, allowed is 2 or more"):
            GradientSettings(bins=1)
        found = gradients(embedding, ["mass"], settings=QUICK)
        with pytest.raises(UsageError, match="did you mean 'mass'"):
            found["mas"]
