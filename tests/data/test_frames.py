"""The engine of all calibrated formats: quarantine, padding, repeats, properties, conditions."""

import numpy as np
import pytest

from simreal.core.conditions import load_conditions
from simreal.core.errors import NothingUsableError
from simreal.data._files import FoundFile
from simreal.data._frames import Frames, Source, read_frames
from simreal.data._quarantine import BadFileError
from tests.data.golden.scene import make_card, planes

BANDS = ("hsc-g", "hsc-r")
CALIBRATION = {
    "unit": "nJy", "pixel_scale": 0.3, "pixel_scale_unit": "arcsec", "mask": "bad",
    "already_dimmed": True,
}  # fmt: skip
SIDE = 24


def card(**changes):
    return make_card(
        "fits_cube", BANDS, CALIBRATION, **{"view": {"rendition": "survey"}, **changes}
    )


def frames(seed, *, size=(SIDE, SIDE), **changes):
    """Return a little galaxy; `changes` replace fields of `Frames`."""
    given = {"pixels": planes(seed, 2, size).astype("f4"), "pixel_scale": 0.3, **changes}
    return Frames(**given)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    (tmp_path / "files").mkdir()
    return tmp_path


def sources(folder, names, sizes=None):
    return [
        Source(
            id=name, file=FoundFile(name=f"{name}.fits", path=folder / f"{name}.fits"),
            size=None if sizes is None else sizes[name],
        )
        for name in names
    ]  # fmt: skip


def read(folder, objects, *, about=None, sizes=None, ids=None):
    """Read `objects`, a mapping of id to Frames or to what is raised; returns what was ingested."""

    def load(source):
        found = objects[source.id]
        if isinstance(found, Exception):
            raise found
        return found

    store = folder / f"store-{len(list(folder.glob('store*')))}.h5"
    listed = sources(folder, ids or list(objects), sizes)
    return read_frames(about or card(), store=store, sources=listed, load=load)


def with_pixels(seed, change):
    pixels = planes(seed, 2, (SIDE, SIDE)).astype("f4")
    change(pixels)
    return frames(seed, pixels=pixels)


def set_to(value, *where):
    def change(pixels):
        pixels[where] = value

    return change


CENTRE = (slice(8, 14), slice(8, 14))
BAD = {
    "E_EMPTY zeros": frames(9, pixels=np.zeros((2, SIDE, SIDE), "f4")),
    "E_EMPTY one band": with_pixels(9, set_to(0.0, 1)),
    "E_EMPTY nan": with_pixels(9, set_to(np.nan, slice(None))),
    "E_EMPTY masked": frames(9, mask=np.ones((2, SIDE, SIDE), bool)),
    "E_CONST": with_pixels(9, set_to(3.0, 0)),
    "E_NAN centre": with_pixels(9, set_to(np.nan, 0, *CENTRE)),
    "E_NAN field": with_pixels(9, set_to(np.nan, 1, slice(1, -1, 2), slice(1, -1, 2))),
    "E_BANDS": frames(9, pixels=planes(9, 3, (SIDE, SIDE)).astype("f4")),
    "E_SCALE none": frames(9, pixel_scale=None),
    "E_SCALE wide": frames(9, pixel_scale=61.0),
    "E_SCALE fine": frames(9, pixel_scale=0.0009),
    "E_SIZE small": frames(9, pixels=planes(9, 2, (7, SIDE)).astype("f4")),
    "E_SIZE large": frames(9, pixels=np.ones((2, 8, 4097), "f4")),
    "E_TRUNC": BadFileError("E_TRUNC", "got 3 bytes, allowed are 7; fetch it again"),
}


class TestQuarantine:
    @pytest.mark.parametrize("case", BAD)
    def test_a_broken_object_changes_nothing_about_the_others(self, folder, case):
        good = {"a": frames(1), "c": frames(2)}
        alone = read(folder, good)
        found = read(folder, {"a": good["a"], "b": BAD[case], "c": good["c"]})
        assert [(row.id, row.code) for row in found.rejected] == [("b", case.split()[0])]
        assert "b.fits" in found.rejected[0].reason
        assert found.images.ids.tolist() == ["a", "c"]
        assert found.images.digest == alone.images.digest
        assert found.images.images.shape == alone.images.images.shape

    def test_a_repeated_id_keeps_the_first(self, folder):
        found = read(folder, {"a": frames(1), "b": frames(2)}, ids=["a", "b", "a"])
        assert [row.code for row in found.rejected] == ["E_DUPID"]
        assert found.images.ids.tolist() == ["a", "b"]

    def test_nothing_left_is_said(self, folder):
        with pytest.raises(NothingUsableError, match=r"E_EMPTY|nothing but zeros"):
            read(folder, {"a": BAD["E_EMPTY zeros"]})

    def test_a_few_bad_pixels_are_masked_and_kept(self, folder):
        found = read(folder, {"a": with_pixels(1, set_to(np.nan, 0, 2, 3)), "b": frames(2)}).images
        assert np.argwhere(found.mask).tolist() == [[0, 0, 2, 3]]
        assert found.images.read(slice(0, 1))[0, 0, 2, 3] == 0
        assert np.isfinite(found.images.read(slice(None))).all()

    def test_whole_lines_missing_at_the_border_are_not_held_against_it(self, folder):
        edge = with_pixels(1, set_to(np.nan, slice(None), slice(None), slice(0, 5)))
        found = read(folder, {"a": edge})
        assert not found.rejected
        assert found.images.mask[0, :, :, :5].all()


class TestPadding:
    def test_smaller_images_are_centred_and_what_is_padded_is_masked(self, folder):
        small = frames(1, size=(16, 21))
        found = read(folder, {"a": small, "b": frames(2)}).images
        pixels = found.images.read(slice(0, 1))[0]
        # (24 - 16) // 2 = 4 rows below, (24 - 21) // 2 = 1 column to the left.
        np.testing.assert_array_equal(pixels[:, 4:20, 1:22], small.pixels)
        assert pixels.sum() == pytest.approx(small.pixels.sum(), rel=1e-6)
        assert not found.mask[0, :, 4:20, 1:22].any()
        assert found.mask[0].sum() == 2 * (SIDE * SIDE - 16 * 21)
        assert not found.mask[1].any()

    def test_sets_of_one_size_have_no_mask(self, folder):
        assert read(folder, {"a": frames(1), "b": frames(2)}).images.mask is None

    @pytest.mark.parametrize("known", [False, True])
    def test_one_broken_large_file_does_not_widen_the_others(self, folder, known):
        huge = frames(9, pixels=np.zeros((2, 60, 50), "f4"))
        sizes = {"a": (SIDE, SIDE), "b": (60, 50)} if known else None
        found = read(folder, {"a": frames(1), "b": huge}, sizes=sizes)
        assert found.images.images.shape == (1, 2, SIDE, SIDE)
        assert found.images.mask is None
        assert [row.code for row in found.rejected] == ["E_EMPTY"]

    def test_a_size_on_the_card_cuts_and_pads_around_the_middle(self, folder):
        about = card(files={"size": (20, 20)})
        found = read(folder, {"a": frames(1), "b": frames(2, size=(16, 16))}, about=about).images
        assert found.images.shape[2:] == (20, 20)
        np.testing.assert_array_equal(
            found.images.read(slice(0, 1))[0], frames(1).pixels[:, 2:22, 2:22]
        )
        assert found.mask[1, 0, 1, 10]
        assert not found.mask[1, 0, 2, 10]


class TestRepeats:
    def test_the_same_pixels_share_a_group_and_are_told(self, folder):
        found = read(folder, {"a": frames(1), "b": frames(2), "c": frames(1)})
        groups = dict(zip(found.images.ids.tolist(), found.images.groups.tolist(), strict=True))
        assert groups["a"] == groups["c"] != groups["b"]
        assert any("c" in note and "a" in note for note in found.notes)

    def test_views_keep_the_group_that_the_format_names(self, folder):
        found = read(folder, {"a": frames(1, group="g"), "b": frames(2, group="g"), "c": frames(3)})
        assert found.images.groups.tolist() == ["g", "g", "c"]


class TestProperties:
    def about(self, folder, **files):
        (folder / "table.csv").write_text("name,mass,host\nb,2.5,h1\na,,h1\nz,9,h9\n")
        mass = {"column": "mass", "unit": "Msun", "description": "mass"}
        exposure = {"column": "EXPTIME", "unit": "s", "description": "exposure"}
        return card(
            files={"table": "table.csv", "join": "name", **files},
            properties={"stellar_mass": mass, "exposure": exposure},
        )

    def objects(self):
        return {
            "a": frames(1, properties={"EXPTIME": 10.0}),
            "b": frames(2, properties={"EXPTIME": 20.0}),
        }

    def test_the_table_and_the_headers_are_joined_by_name(self, folder):
        found = read(folder, self.objects(), about=self.about(folder)).images.properties
        mass = found["stellar_mass"]
        assert mass.unmasked[1].to_value("Msun") == 2.5
        assert mass.mask.tolist() == [True, False]
        np.testing.assert_array_equal(found["exposure"].to_value("s"), [10, 20])

    def test_a_column_can_name_the_group(self, folder):
        found = read(folder, self.objects(), about=self.about(folder, group="host")).images
        assert found.groups.tolist() == ["h1", "h1"]

    def test_a_header_that_lacks_it_is_a_missing_value(self, folder):
        objects = {**self.objects(), "b": frames(2)}
        exposure = read(folder, objects, about=self.about(folder)).images.properties["exposure"]
        assert np.asarray(exposure.mask).tolist() == [False, True]


class TestConditions:
    def test_what_files_say_of_every_image_is_kept_and_shared_where_equal(self, folder):
        rows = {
            "a": frames(1, noise=np.array([1.0, 2.0]), redshift=0.1, psf_fwhm=np.array([3.0, 3.0])),
            "b": frames(2, noise=np.array([1.0, 4.0]), redshift=0.2, psf_fwhm=np.array([3.0, 3.0])),
        }
        setup = read(folder, rows).images.setup
        assert setup.pixel_scale == 0.3
        assert setup.redshift.tolist() == [0.1, 0.2]
        assert setup.noise.tolist() == [[1, 2], [1, 4]]
        assert setup.psf_fwhm.tolist() == [3, 3]
        assert setup.unit == "nJy / pix"

    def test_what_one_file_lacks_is_not_known_of_the_set(self, folder):
        rows = {"a": frames(1, noise=np.array([1.0, 2.0])), "b": frames(2)}
        assert read(folder, rows).images.setup.noise is None

    def test_psf_stamps_are_padded_to_one_side(self, folder):
        small = np.zeros((2, 3, 3))
        small[:, 1, 1] = 1
        rows = {"a": frames(1, psf=small), "b": frames(2, psf=np.full((2, 5, 5), 1 / 25))}
        psf = read(folder, rows).images.setup.psf
        assert psf.shape == (2, 2, 5, 5)
        assert psf[0, 0, 2, 2] == 1
        assert psf[0].sum() == 2

    def test_a_named_survey_fills_in_psf_and_gain_and_nothing_that_files_say(self, folder):
        about = card(view={"rendition": "survey", "survey": "hsc"})
        survey = load_conditions("hsc")
        setup = read(folder, {"a": frames(1)}, about=about).images.setup
        widths = [survey.number(band, "psf_fwhm") / 0.3 for band in BANDS]
        assert setup.psf_fwhm.tolist() == pytest.approx(widths)
        assert setup.gain.tolist() == pytest.approx([survey.electrons(band) for band in BANDS])
        own = frames(1, psf_fwhm=np.array([2.0, 2.5]), gain=np.array([7.0, 8.0]))
        kept = read(folder, {"a": own}, about=about).images.setup
        assert kept.psf_fwhm.tolist() == [2.0, 2.5]
        assert kept.gain.tolist() == [7.0, 8.0]

    def test_an_ideal_rendition_has_no_survey_conditions(self, folder):
        about = card(view={"rendition": "idealised", "survey": "hsc"})
        setup = read(folder, {"a": frames(1)}, about=about).images.setup
        assert setup.psf_fwhm is None
        assert setup.gain is None
