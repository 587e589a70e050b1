"""From what a user types to an image set."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simreal.core.cards import catalogue_names, load_card
from simreal.core.errors import UsageError
from simreal.data.ingest import card_for, fingerprint, ingest

CARD = """
name = "mine"
title = "Mine"
role = "observed"
track = "rgb"
sampling = "random"
sampling_note = "of the test"
[files]
adapter = "{adapter}"
folder = "images"
[view]
geometry = "sky"
bands = ["red", "green", "blue"]
[credit]
citation = []
licence = "none"
fetch = "Make it."
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(images / f"{i}.png")
    return tmp_path


def card_file(folder, adapter="rgb_images"):
    path = folder / "mine.toml"
    path.write_text(CARD.format(adapter=adapter))
    return path


def test_a_name_a_card_and_a_folder(folder):
    assert card_for("sdss", role="simulated").role == "observed"
    assert card_for(str(card_file(folder)), role="simulated").name == "mine"
    bare = card_for(str(folder / "images"), role="simulated")
    assert (bare.role, bare.sampling, bare.track) == ("simulated", "curated", "rgb")
    assert bare.folder() == folder / "images"
    assert len(ingest(bare, seed=0, store=folder / "s.h5").images) == 4


def test_a_folder_is_named_after_what_it_holds(folder):
    deep = folder / "My Mocks (v2)" / "images"
    deep.mkdir(parents=True)
    (folder / "images" / "0.png").rename(deep / "0.png")
    assert card_for(str(deep), role="observed").name == "my-mocks-v2"
    above = card_for(str(deep.parent), role="observed")
    found = ingest(above, seed=0, store=folder / "s.h5").images
    assert found.ids.tolist() == ["images/0"]


def test_a_relative_folder_is_found_from_where_the_user_stands(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SIMREAL_DATA", "/nowhere")
    assert card_for("images", role="observed").folder() == folder / "images"
    assert card_for("./images", role="observed").folder() == folder / "images"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("egale", "did you mean 'eagle'"),
        ("/no/such/folder", "no such folder or card"),
        ("./nothing", "no such folder or card"),
        ("none.toml", "no such card"),
        ("", "unknown catalogue"),
    ],
)
def test_wrong_names_are_one_line(folder, typed, says):
    with pytest.raises(UsageError, match=says) as caught:
        card_for(typed, role="observed")
    assert "\n" not in str(caught.value)


def test_a_single_file_is_no_collection(folder):
    with pytest.raises(UsageError, match="got a file"):
        card_for(str(folder / "images" / "0.png"), role="observed")


def test_an_unknown_adapter_names_the_nearest(folder):
    card = load_card(str(card_file(folder, "rgb_image")))
    with pytest.raises(UsageError, match="did you mean 'rgb_images'"):
        ingest(card, seed=0, store=folder / "s.h5")


def test_the_fingerprint_follows_every_byte_and_the_card(folder):
    card = load_card(str(card_file(folder)))
    first = fingerprint(card, seed=0)
    assert fingerprint(card, seed=0) == first
    assert fingerprint(card, seed=1) == first, "files do not depend on the seed"
    seen = {first}
    image = folder / "images" / "0.png"
    image.write_bytes(image.read_bytes() + b"\0")
    seen.add(fingerprint(card, seed=0))
    image.rename(image.with_name("9.png"))
    seen.add(fingerprint(card, seed=0))
    (folder / "images" / "empty.png").touch()
    seen.add(fingerprint(card, seed=0))
    seen.add(fingerprint(card.model_copy(update={"sampling": "curated"}), seed=0))
    assert len(seen) == 5


def test_what_cannot_be_read_is_part_of_the_fingerprint(folder):
    card = load_card(str(card_file(folder)))
    first = fingerprint(card, seed=0)
    (folder / "images" / "loop.png").symlink_to("loop.png")
    assert fingerprint(card, seed=0) != first


def test_a_missing_folder_has_no_fingerprint(folder, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(folder / "nothing"))
    with pytest.raises(UsageError, match="toy-sim"):
        fingerprint(load_card("sdss"), seed=0)


def test_the_same_files_give_the_same_set(folder):
    card = load_card(str(card_file(folder)))
    one = ingest(card, seed=0, store=folder / "a.h5")
    two = ingest(card, seed=7, store=folder / "b.h5")
    assert one.images.digest == two.images.digest
    assert (folder / "a.h5").read_bytes() == (folder / "b.h5").read_bytes()


@pytest.mark.parametrize("name", catalogue_names())
def test_every_card_says_enough_to_be_honest(name):
    card = load_card(name)
    assert card.name == name
    assert card.sampling_note
    assert card.credit.licence
    assert card.credit.fetch
    json.dumps(card.model_dump(mode="json"))
    if card.files.adapter == "rgb_images":
        assert card.view.bands == ("red", "green", "blue")
        assert card.credit.citation
        assert card.view.note
    for about in card.properties.values():
        from astropy import units as u

        u.Unit(about.unit)
        assert about.description


EXPECTED = {
    "eagle": (302, 256), "eagle-recal25": (71, 256), "eagle-ref25": (59, 256),
    "eagle-ref50": (172, 256),
    "illustris": (71, 423), "hsc-rgb": (251, 96), "decals-rgb": (113, 424), "kids-rgb": (90, 424),
}  # fmt: skip
FOLDERS = {
    "eagle": "eagle", "eagle-recal25": "eagle", "eagle-ref25": "eagle", "illustris": "illustris_gz",
    "eagle-ref50": "eagle",
    "hsc-rgb": "hsc_gri", "decals-rgb": "decals_gz", "kids-rgb": "kids_gz",
}  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_real_collections_are_read_whole(name, real_data, tmp_path):
    real_data(FOLDERS[name])
    found = ingest(load_card(name), seed=0, store=tmp_path / "s.h5")
    n, size = EXPECTED[name]
    assert found.rejected == ()
    assert found.images.images.shape == (n, 3, size, size)
    block = found.images.images.read(slice(0, n, 10))
    assert 0 <= block.min() < block.max() <= 1


@pytest.mark.real
def test_eagle_has_masses_with_units_and_130_without_gas(real_data, tmp_path):
    real_data("eagle")
    table = ingest(load_card("eagle"), seed=0, store=tmp_path / "s.h5").images.properties
    mass = table["stellar_mass"].to_value("Msun")
    assert 9.9 < np.log10(mass.min()) < np.log10(mass.max()) < 11.1
    for name in ("gas_mass", "halo_mass", "kappa_co", "stellar_ellipticity"):
        assert int(table[name].mask.sum()) == 130
    assert set(table["simulation"]) == {"RefL0050N0752", "RecalL0025N0752", "RefL0025N0376"}


@pytest.mark.real
def test_sdss_is_read_whole_in_little_memory(real_data, tmp_path):
    import subprocess
    import sys

    if not Path("/proc/self/status").exists():
        pytest.skip("the peak memory of a process is read from /proc")
    real_data("sdss_gz2")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from simreal.core.cards import load_card\n"
        "from simreal.data.ingest import ingest\n"
        "found = ingest(load_card('sdss'), seed=0, store=Path(sys.argv[1]))\n"
        "n = len(found.images), len(found.rejected), found.images.n_groups\n"
        # ru_maxrss would keep the peak of the process this one was forked from.
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(*n, int(peak) // 1024)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.h5")],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert [int(word) for word in out[:3]] == [1374, 0, 1374]
    # The pixels are 741 MB as bytes and 3 GB as float32; the libraries alone take about 90 MB.
    assert int(out[3]) < 250
