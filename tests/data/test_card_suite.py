"""The contract of a user's own card and files: good ones pass, every slip is named with its fix."""

import html.parser
import re
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from simreal.core.cards import (
    Calibration,
    Card,
    Credit,
    Files,
    PropertyColumn,
    View,
    catalogue_names,
    load_card,
)
from simreal.core.images import ImageSet, Setup
from simreal.data.card_suite import judge_card, look_at, own_field
from simreal.data.contact_sheet import as_bytes, colour_order, contact_sheet

SIDE = 48
#: [nJy] An exponential disc of this flux and scale length, in every image.
FLUX, LENGTH = 5e4, 4.0


def disc(centre=(0.0, 0.0), *, flux=FLUX):
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    light = np.exp(-np.hypot(y - centre[1], x - centre[0]) / LENGTH)
    return flux * light / light.sum()


@pytest.fixture
def mocks(tmp_path, monkeypatch):
    """Write a collection of 12 survey-like cubes and its table; return (folder, card maker)."""
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    folder = tmp_path / "mocks"
    folder.mkdir()

    def write(*, centre=(0.0, 0.0), noise=8.0, n=12):
        for i in range(n):
            random = np.random.default_rng(i)
            planes = [disc(centre) * f + random.normal(0, noise, (SIDE, SIDE)) for f in (1, 1.5)]
            cube = np.array(planes, dtype=np.float32)
            fits.PrimaryHDU(cube).writeto(folder / f"gal_{i:03d}.fits", overwrite=True)
        lines = ["name,mass,host"] + [f"gal_{i:03d},{1e10 * (i + 1)},{i // 2}" for i in range(n)]
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")

    def card(*, files=None, view=None, calibration=None, **fields):
        return Card(
            **{
                "name": "mine",
                "title": "Mine <&>",
                "role": "simulated",
                "track": "flux",
                "sampling": "random",
                "sampling_note": "all",
                "files": Files(
                    **{
                        "adapter": "fits_cube",
                        "folder": "mocks",
                        "pattern": "*.fits",
                        "table": "table.csv",
                        "join": "name",
                        "options": {"planes": ["sdss-g", "sdss-r"]},
                        **(files or {}),
                    }
                ),
                "view": View(
                    **{
                        "geometry": "random",
                        "bands": ("sdss-g", "sdss-r"),
                        "unit": "nJy / pix",
                        "rendition": "survey",
                        **(view or {}),
                    }
                ),
                "calibration": Calibration(
                    **{
                        "unit": "nJy",
                        "pixel_scale": 0.4,
                        "mask": "none",
                        "already_dimmed": True,
                        **(calibration or {}),
                    }
                ),
                "properties": {
                    "stellar_mass": PropertyColumn(column="mass", unit="Msun", description="m")
                },
                "credit": Credit(citation=("Me 2026",), licence="CC BY 4.0", fetch="Make it."),
                **fields,
            }
        )

    write()
    return write, card, folder


def judged(card, tmp_path, **options):
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    found = judge_card(card, work=work, **options)
    return found, {each.check: each for each in found.findings}


def test_a_card_in_order_passes_every_check(mocks, tmp_path):
    _, card, folder = mocks
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found, by = judged(card(), tmp_path)
    assert found.passed
    assert found.n_rejected == 0
    assert [each.check for each in found.findings if each.state != "kept"] == []
    # 31.4 - 2.5 log10(5e4) = 19.65, less the light outside the stamp; 1.5 times is 0.44 mag.
    assert "sdss-g 19." in by["brightness"].found
    assert "3 of them rejected by name" in by["broken files change nothing"].found
    # The half-light radius of an exponential disc is 1.678 scale lengths: 2.7 arcsec.
    assert "half-light radius 2." in by["pixel scale"].found
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "check", "state", "words"),
    [
        ({"calibration": {"unit": "Jy"}}, "brightness", "broken", "calibration.unit"),
        (
            {"calibration": {"pixel_scale": 39.6}},
            "pixel scale",
            "broken",
            "correct the pixel scale and its unit",
        ),
        ({"view": {"rendition": "idealised"}}, "sky", "broken", 'rendition = "survey"'),
        ({"view": {"views_per_object": 4}}, "objects and views", "look", "files.group"),
        ({"files": {"pattern": "*.fit"}}, "files", "broken", "files.pattern"),
        ({"files": {"options": {}}}, "reads", "broken", "state the order of the bands"),
        (
            {"files": {"options": {"planes": ["mine-g", "mine-r"]}},
             "view": {"bands": ("mine-g", "mine-r")}},
            "bands", "look", "sdss-r",
        ),
        ({"properties": {}, "files": {"table": None, "join": None}}, "properties", "look", "join"),
        (
            {"credit": Credit(citation=(), licence="not stated", fetch="-")},
            "credit", "look", "[credit]",
        ),
    ],
)  # fmt: skip
def test_a_slip_in_the_card_is_named_with_its_fix(mocks, tmp_path, changes, check, state, words):
    _, card, _ = mocks
    found, by = judged(card(**changes), tmp_path)
    assert by[check].state == state
    assert words in by[check].fix
    assert found.passed == (state != "broken")


def test_light_seen_near_by_is_judged_by_its_absolute_magnitude(mocks, tmp_path):
    _, card, _ = mocks
    near = {"pixel_scale": 0.25, "pixel_scale_unit": "kpc", "already_dimmed": False}
    # 19.7 mag at 10 Mpc (distance modulus 30) is -10.3, at 1000 Mpc (40) it is -20.3; at 10 pc it
    # would be fainter than any galaxy.
    for distance, state, shown in (
        (10.0, "kept", "sdss-g -10."),
        (1000.0, "kept", "sdss-g -20."),
        (1e-5, "broken", "sdss-g 19."),
    ):
        _, by = judged(card(calibration={**near, "distance": distance}), tmp_path)
        assert by["brightness"].state == state
        assert f"absolute AB magnitudes {shown}" in by["brightness"].found


def test_the_card_of_the_docs_is_allowed(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "add-a-simulation.md"
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "my-mocks.toml").write_text(block)
    assert load_card(str(tmp_path / "my-mocks.toml")).calibration.unit == "MJy/sr"


def test_objects_beside_the_middle_are_told(mocks, tmp_path):
    write, card, _ = mocks
    write(centre=(21.0, 21.0))
    _, by = judged(card(), tmp_path)
    assert by["centre"].state == "broken"
    assert "centre the stamps" in by["centre"].fix


def test_rejected_files_are_counted_and_the_first_is_told(mocks, tmp_path):
    _, card, folder = mocks
    (folder / "gal_003.fits").write_bytes(b"")
    found, by = judged(card(), tmp_path)
    assert found.n_rejected == 1
    assert by["reads"].state == "look"
    assert "gal_003.fits" in by["reads"].found
    for i in range(4):
        (folder / f"gal_00{i}.fits").write_bytes(b"")
    found, by = judged(card(), tmp_path)
    assert by["reads"].state == "broken"
    assert not found.passed


def test_an_error_shows_the_users_folder_and_no_other(mocks, tmp_path):
    _, card, folder = mocks
    for path in folder.iterdir():
        path.write_bytes(b"")
    _, by = judged(card(), tmp_path)
    assert str(folder) in by["reads"].found


def test_a_sample_keeps_the_files_of_an_object_together(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    for band in "gr":
        (tmp_path / "many" / band).mkdir(parents=True)
        for i in range(40):
            plane = (disc() + rng.normal(0, 8, (SIDE, SIDE))).astype(np.float32)
            fits.PrimaryHDU(plane).writeto(tmp_path / "many" / band / f"o_{band}_{i:03d}.fits")
    card = load_card("ceers").model_copy(
        update={
            "files": Files(
                adapter="fits_stamps",
                folder="many",
                pattern="**/*.fits",
                options={
                    "path": "{filter}/o_{filter}_{id}.fits",
                    "filters": {"sdss-g": "g", "sdss-r": "r"},
                },
            ),
            "view": View(
                geometry="sky", bands=("sdss-g", "sdss-r"), unit="nJy / pix", rendition="survey"
            ),
            "calibration": Calibration(
                unit="nJy", pixel_scale=0.4, mask="none", already_dimmed=True
            ),
            "properties": {},
        }
    )
    found, by = judged(card, tmp_path, sample=10)
    assert len(found.images) == 10
    assert found.n_rejected == 0
    assert "sample of 20 files" in by["files"].found
    found, _ = judged(card, tmp_path, sample=None)
    assert len(found.images) == 40


def test_the_half_light_radius_is_that_of_an_exponential():
    # 1.678 scale lengths; light outside the stamp and whole pixels cost a little.
    flux, radius, contrast, negative = look_at(disc().astype(np.float32)[None], None)
    assert radius == pytest.approx(1.678 * LENGTH, abs=1.0)
    assert flux[0] == pytest.approx(FLUX, rel=0.1)
    assert contrast > 5
    assert negative == 0


def test_padding_does_not_count_as_border_or_mask():
    image = np.zeros((1, 90, 90), np.float32)
    mask = np.ones((1, 90, 90), bool)
    inside = (slice(None), slice(21, 69), slice(21, 69))
    image[inside] = disc() + np.random.default_rng(0).normal(0, 8, (SIDE, SIDE))
    mask[inside] = False
    assert own_field(mask[:]) == (slice(21, 69), slice(21, 69))
    assert look_at(image, mask)[3] == look_at(image[inside], None)[3] > 0.1


class _Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.loads, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        if tag in ("script", "link", "iframe"):
            self.loads.append(tag)


def test_the_contact_sheet_stands_alone(mocks, tmp_path):
    _, card, _ = mocks
    found, _ = judged(card(), tmp_path)
    text = contact_sheet(found)
    page = _Page()
    page.feed(text)
    assert len(page.images) == 10
    assert all(each["src"].startswith("data:image/png;base64,") for each in page.images)
    assert all(each["alt"] for each in page.images)
    assert page.loads == []
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "Mine &lt;&amp;&gt;" in text
    for each in found.findings:
        assert each.check in text


def test_red_light_is_shown_red():
    def of(track, *bands):
        return ImageSet(
            name="one",
            role="observed",
            sampling="curated",
            images=np.zeros((1, len(bands), 4, 4), np.float32),
            ids=np.array(["a"]),
            groups=np.array(["a"]),
            setup=Setup(track=track, bands=bands, unit="any"),
        )

    assert colour_order(of("rgb", "red", "green", "blue")) == (0, 1, 2)
    assert colour_order(of("flux", "sdss-g", "sdss-r", "sdss-i")) == (2, 1, 0)
    assert colour_order(of("flux", "sdss-i", "sdss-r", "sdss-g")) == (0, 1, 2)
    assert colour_order(of("flux", "hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y")) == (4, 2, 0)
    assert colour_order(of("flux", "acs-f814w")) == (0,)


def test_the_y_axis_of_calibrated_images_points_up():
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 15, 10] = 1
    shown = as_bytes(image, None, (0,), linear=True)
    assert np.unravel_index(shown[..., 0].argmax(), (20, 20)) == (4, 10)


@pytest.mark.real
@pytest.mark.parametrize("name", ["ceers", "cosmos", "tng50-skirt-sdss", "tng50-hsc", "hsc-rgb"])
def test_real_collections_pass_within_a_minute(real_data, tmp_path, name):
    if name not in catalogue_names():
        pytest.skip(f"no card {name}")
    card = load_card(name)
    real_data(card.files.folder.split("/")[0])
    start = time.perf_counter()
    found, _ = judged(card, tmp_path)
    assert time.perf_counter() - start < 60
    assert [each for each in found.findings if each.state == "broken"] == []
