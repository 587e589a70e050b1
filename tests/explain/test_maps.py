import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import Setup
from simreal.explain.maps import cell_means, property_map
from simreal.explain.regions import RegionSettings, find_regions


def embedded(vectors, name="sky", groups=None, columns=None, encoder="e"):
    ids = np.array([f"{name}{i:05d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=np.asarray(vectors, dtype=np.float32), ids=ids,
        groups=ids if groups is None else groups, encoder_digest=encoder, source_digest=name,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def pair(n=60, shift=0.0):
    rng = np.random.default_rng(0)
    sides = []
    for name, extra in (("sky", 0.0), ("mock", shift)):
        points = rng.normal(size=(n, 4)) * [3, 2, 1, 1]
        size = points[:, 0] + rng.normal(size=n) + extra
        sides.append(embedded(points, name, columns={"size": size * u.kpc}))
    return tuple(sides)


class TestBins:
    def test_mean_error_and_count_by_hand(self):
        places = np.array([[0.0, 0], [0.1, 0], [0.2, 0], [1, 1], [1, 0.9], [1, 0]])
        sky = embedded(
            np.random.default_rng(0).normal(size=(6, 3)), columns={"a": [1.0, 2, 6, 5, 7, 9]}
        )
        side = property_map(sky, "a", projection=places, bins=2, fewest=2).sides[0]
        assert side.count.tolist() == [[3, 1], [0, 2]]
        assert side.mean[0, 0] == 3.0
        # Variance of 1, 2, 6 is 7; of three objects the mean has 7 / 3.
        assert side.error[0, 0] == pytest.approx(np.sqrt(7 / 3))
        assert (side.mean[1, 1], side.error[1, 1]) == (6.0, 1.0)
        assert np.isnan(side.mean[0, 1])
        assert np.isnan(side.mean[1, 0])

    def test_views_of_one_object_are_one_object(self):
        cells = np.zeros(8, dtype=np.int64)
        groups = np.repeat([0, 1], 4)
        count, mean, error = cell_means(cells, groups, np.array([1.0] * 4 + [3.0] * 4), 1)
        assert (count[0], mean[0]) == (2, 2.0)
        assert error[0] == pytest.approx(1.0)

    def test_errors_are_those_of_repeated_samples(self):
        rng = np.random.default_rng(0)
        cells = np.zeros(300, dtype=np.int64)
        groups = np.repeat(np.arange(100), 3)
        means, errors = [], []
        for _ in range(300):
            # Views of one object share most of what they scatter by.
            values = np.repeat(rng.normal(size=100), 3) + 0.3 * rng.normal(size=300)
            _, mean, error = cell_means(cells, groups, values, 1)
            means.append(mean[0])
            errors.append(error[0])
        assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)

    def test_missing_values_are_left_out_and_few_objects_show_nothing(self):
        places = np.zeros((12, 2)) + np.repeat([[0, 0], [1, 1]], 6, axis=0)
        values = np.arange(12.0)
        values[:2] = np.nan
        sky = embedded(np.random.default_rng(0).normal(size=(12, 3)), columns={"a": values})
        side = property_map(sky, "a", projection=places, bins=2).sides[0]
        assert (side.n, side.count[0, 0], side.count[1, 1]) == (10, 4, 6)
        assert np.isnan(side.mean[0, 0])
        assert side.mean[1, 1] == 8.5

    def test_wide_positive_values_are_logarithms(self):
        rng = np.random.default_rng(0)
        mass = 10 ** rng.normal(10.5, 0.6, 60) * u.Msun
        sky = embedded(rng.normal(size=(60, 3)), columns={"mass": mass})
        found = property_map(sky, "mass", bins=1)
        assert found.label == "log10 mass [solMass]"
        assert found.sides[0].mean[0, 0] == pytest.approx(np.log10(mass.value).mean())
        assert property_map(sky, "mass", bins=1, log=False).label == "mass [solMass]"


class TestPair:
    def test_both_sides_have_the_same_bins_and_their_difference(self):
        found = property_map(pair(300, shift=1.0), "size", bins=2)
        assert [side.side for side in found.sides] == ["obs", "sim"]
        difference, error = found.difference()
        assert np.abs((difference - 1.0) / error).max() < 4
        assert error == pytest.approx(np.hypot(found.sides[0].error, found.sides[1].error))
        assert sum(side.count.sum() for side in found.sides) == 600

    def test_regions_have_means_with_students_interval(self):
        sides = pair()
        regions = find_regions(*sides, settings=RegionSettings(k=3), rng=np.random.default_rng(0))
        found = property_map(sides, "size", regions=regions)
        for side, e, labels in zip(
            found.sides, sides, (regions.region_obs, regions.region_sim), strict=True
        ):
            for i, row in enumerate(side.regions):
                own = e.properties["size"].value[labels == i]
                assert (row.mean.n, row.mean.value) == (len(own), pytest.approx(own.mean()))
                assert row.mean.high > row.mean.value + own.std() / np.sqrt(len(own))

    def test_a_property_on_one_side_only(self):
        sky, mock = pair()
        found = property_map((sky.replace(properties=None), mock), "size")
        assert found.sides[0].reason == "not available: sky has no size"
        assert found.sides[1].reason == ""
        assert found.difference() is None
        assert "sky: not available: sky has no size" in str(found)
        found.plot()


class TestHowWellItIsHeld:
    def test_a_held_property_and_one_that_is_not(self):
        rng = np.random.default_rng(0)
        points = rng.normal(size=(250, 4))
        sky = embedded(
            points, columns={"held": points[:, 3] + rng.normal(size=250), "not": rng.random(250)}
        )
        held, other = (property_map(sky, name).sides[0] for name in ("held", "not"))
        # Half of the variance is the embedding's, half is noise.
        assert held.linear.r2.low < 0.5 < held.linear.r2.high
        assert held.linear.p_value == 1 / 100
        assert held.neighbours.p_value == 1 / 100
        assert other.linear.p_value > 0.05
        assert other.linear.r2.value < 0.05
        assert held.linear.null_high < 0.15

    def test_too_few_objects_say_so(self):
        rng = np.random.default_rng(0)
        sky = embedded(rng.normal(size=(15, 3)), columns={"a": rng.random(15)})
        side = property_map(sky, "a").sides[0]
        assert side.linear is None
        assert "got 15 objects" in side.encoded_reason


class TestOutput:
    def test_numbers_are_plain(self):
        document = json.loads(json.dumps(property_map(pair(), "size").to_dict(), allow_nan=False))
        assert "not what causes what" in document["meaning"]
        assert None in [x for row in document["sides"][0]["mean"] for x in row]

    def test_saved_as_numbers_and_pictures(self, tmp_path):
        found = property_map(pair()[1], "size", bins=4)
        for suffix, starts in ((".pdf", b"%PDF"), (".json", b"{")):
            path = found.save(tmp_path / "new" / f"map{suffix}")
            assert path.read_bytes().startswith(starts)
        with np.load(found.save(tmp_path / "map.npz")) as kept:
            assert kept["all_count"].tolist() == found.sides[0].count.tolist()
            assert kept["all_coordinates"].shape == (60, 2)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["map.npz", "new"]

    def test_a_name_that_says_nothing_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match=r"names that end in .json, .npz, .png, .pdf"):
            property_map(pair(), "size").save(tmp_path / "map.txt")

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot be written"):
            property_map(pair(), "size").save(tmp_path / "file" / "map.json")

    def test_sides_share_limits_and_colours(self):
        figure = property_map(pair(60, shift=3.0), "size", bins=3).plot()
        panels = [axes for axes in figure.axes if axes.collections and axes.get_title()]
        assert len(panels) == 9
        assert len({axes.get_xlim() for axes in panels}) == 1
        meshes = [axes.collections[0].get_clim() for axes in panels]
        assert meshes[0] == meshes[3]  # mean of both sides
        assert meshes[1] == meshes[4]  # error of both sides


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"projection": "umap"}, r"projection: got 'umap', allowed are 'pca' or coordinates"),
            ({"projection": (np.zeros((60, 2)),)}, "got 1 arrays, allowed are two"),
            (
                {"projection": (np.zeros((60, 3)), np.zeros((60, 2)))},
                r"got shape \(60, 3\) for sky, allowed is \(60, 2\)",
            ),
            (
                {"projection": (np.full((60, 2), np.nan), np.zeros((60, 2)))},
                "coordinates of sky are not all finite",
            ),
            ({"bins": 0}, "got 0 x 0 bins"),
            ({"fewest": 1}, "got fewest 1, allowed is 2 or more"),
        ],
    )
    def test_arguments(self, given, said):
        with pytest.raises(UsageError, match=said):
            property_map(pair(), "size", **given)

    def test_no_properties(self):
        sky = embedded(np.random.default_rng(0).normal(size=(30, 3)))
        with pytest.raises(UsageError, match="sky has no property 'size': there are none at all"):
            property_map(sky, "size")

    def test_text(self):
        sky = embedded(np.eye(30), columns={"kind": np.array(["spiral"] * 30), "size": np.ones(30)})
        with pytest.raises(UsageError, match="kind holds text; allowed: size"):
            property_map(sky, "kind")

    def test_constant(self):
        sky = embedded(np.eye(30), columns={"size": np.full(30, 4.0)})
        with pytest.raises(NotComputableError, match="size is 4 for all 30 images"):
            property_map(sky, "size")

    def test_all_missing(self):
        sky = embedded(np.eye(30), columns={"size": np.full(30, np.nan)})
        with pytest.raises(NotComputableError, match="no object has a value of size"):
            property_map(sky, "size")

    def test_two_units(self):
        sky, mock = pair()
        table = QTable({"size": mock.properties["size"].value * u.arcsec})
        with pytest.raises(UsageError, match="size is in kpc in sky and in arcsec in mock"):
            property_map((sky, mock.replace(properties=table)), "size")

    def test_two_encoders(self):
        sky, mock = pair()
        with pytest.raises(UsageError, match="different encoders"):
            property_map((sky, mock.replace(encoder_digest="f")), "size")

    def test_regions_of_another_pair(self):
        sides = pair()
        regions = find_regions(*sides, settings=RegionSettings(k=2), rng=np.random.default_rng(0))
        with pytest.raises(UsageError, match="regions: they are of 60 observed and 60 simulated"):
            property_map(pair(50), "size", regions=regions)
