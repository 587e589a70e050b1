"""A folder of composites: every odd file read right, every bad one named, the rest untouched."""

import os
import unicodedata

import numpy as np
import pytest
from astropy import units as u
from PIL import Image

from simreal.core.cards import Card, Credit, Files, PropertyColumn, View
from simreal.core.errors import NothingUsableError, StorageError, UsageError
from simreal.core.images import property_values
from simreal.data.adapters.rgb_images import read

SIZE = (12, 10)


@pytest.fixture(autouse=True)
def _data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))


def picture(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def put(folder, name, seed=0, *, array=None, **options):
    folder.mkdir(exist_ok=True)
    array = picture(seed) if array is None else array
    Image.fromarray(array).save(folder / name, **options)
    return folder / name


def card_of(properties=None, **files):
    fields = {"adapter": "rgb_images", "folder": "images", **files}
    return Card(
        name="mine",
        title="Mine",
        role="observed",
        track="rgb",
        sampling="curated",
        sampling_note="of the test",
        files=Files(**fields),
        view=View(geometry="sky", bands=("red", "green", "blue")),
        properties={} if properties is None else properties,
        credit=Credit(citation=(), licence="none", fetch="Make it."),
    )


def ingested(tmp_path, card=None, name="store.h5"):
    return read(card or card_of(), seed=0, store=tmp_path / "out" / name)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for i in range(6):
        put(folder, f"g{i}.png", i)
    return folder


def by_id(found):
    return {str(i): j for j, i in enumerate(found.images.ids)}


def test_a_plain_folder(tmp_path, images):
    found = ingested(tmp_path)
    assert found.images.ids.tolist() == [f"g{i}" for i in range(6)]
    assert found.images.groups.tolist() == found.images.ids.tolist()
    assert found.images.images.shape == (6, 3, *SIZE)
    assert found.rejected == ()
    assert (found.images.name, found.images.role, found.images.sampling) == (
        "mine", "observed", "curated"
    )  # fmt: skip
    pixels = found.images.images.read(slice(None))
    expected = np.moveaxis(picture(3), -1, 0).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(pixels[3], expected)
    step = found.images.history[0]
    assert (step.name, step.before["files"], step.after["images"]) == ("ingest", 6, 6)


@pytest.mark.parametrize(
    "name",
    [
        "a b  c.png", "galaxie d'été.png", "銀河 1.png", "-rf.png", "NGC 4565 (2).v2.png",
        "%20#?.png", "a" * 200 + ".png", "mixed.PNG", "x.JpEg", "+1.tiff", "=cmd.png",
    ],
)  # fmt: skip
def test_odd_names_are_ids(tmp_path, images, name):
    put(images, name, 99)
    found = ingested(tmp_path)
    assert found.rejected == ()
    assert name.rpartition(".")[0] in by_id(found)


def test_numbers_stay_text(tmp_path):
    folder = tmp_path / "images"
    for i, name in enumerate(["007", "1237648720693755918", "1e5", "nan"]):
        put(folder, f"{name}.png", i)
    found = ingested(tmp_path)
    assert sorted(found.images.ids.tolist()) == ["007", "1237648720693755918", "1e5", "nan"]


def test_sixteen_bits_beside_eight_keep_the_eight_exact(tmp_path, images):
    before = ingested(tmp_path, name="a.h5")
    deep = np.random.default_rng(1).integers(0, 65536, SIZE, dtype=np.uint16)
    put(images, "deep.png", array=deep)
    after = ingested(tmp_path, name="b.h5")
    rows = [by_id(after)[f"g{i}"] for i in range(6)]
    assert after.images.rows(rows).digest == before.images.digest
    pixels = after.images.images.read(np.array([by_id(after)["deep"]]))
    np.testing.assert_array_equal(pixels[0, 0], deep.astype(np.float32) / np.float32(65535))


BAD = {
    "truncated png": ("E_TRUNC", lambda p: p.write_bytes(p.read_bytes()[:-40])),
    "truncated in the middle": ("E_TRUNC", lambda p: p.write_bytes(p.read_bytes()[:200])),
    "truncated in the header": ("E_TRUNC", lambda p: p.write_bytes(p.read_bytes()[:20])),
    "empty": ("E_EMPTY", lambda p: p.write_bytes(b"")),
    "html": ("E_HTML", lambda p: p.write_bytes(b"<!DOCTYPE html>\n<html>404</html>")),
    "html without doctype": ("E_HTML", lambda p: p.write_bytes(b"<html>Sign in</html>")),
    "xml": ("E_HTML", lambda p: p.write_bytes(b"<?xml version='1.0'?><Error/>")),
    "fits": ("E_FORMAT", lambda p: p.write_bytes(b"SIMPLE  =   T" + b" " * 2880)),
    "zeros": ("E_FORMAT", lambda p: p.write_bytes(b"\0" * 900)),
    "cmyk": ("E_MODE", lambda p: Image.new("CMYK", SIZE[::-1], (9, 8, 7, 6)).save(p, "JPEG")),
    "cmyk tiff": ("E_MODE", lambda p: Image.new("CMYK", SIZE[::-1], (9, 8, 7, 6)).save(p, "TIFF")),
    "float": ("E_MODE", lambda p: Image.fromarray(np.eye(10, dtype=np.float32)).save(p, "TIFF")),
    "black": ("E_BLANK", lambda p: Image.new("RGB", SIZE[::-1]).save(p)),
    "white": ("E_BLANK", lambda p: Image.new("RGB", SIZE[::-1], (255, 255, 255)).save(p)),
    "one colour": ("E_BLANK", lambda p: Image.new("RGB", SIZE[::-1], (3, 2, 1)).save(p)),
    "transparent": (
        "E_BLANK",
        lambda p: Image.new("RGBA", SIZE[::-1], (9, 9, 9, 0)).save(p, "PNG"),
    ),
    "wider": ("E_SIZE", lambda p: Image.fromarray(picture(1, (12, 11))).save(p)),
    "turned": ("E_SIZE", lambda p: Image.fromarray(picture(1, (10, 12))).save(p)),
    "tiny": ("E_SIZE", lambda p: Image.fromarray(picture(1, (2, 2))).save(p)),
    "a folder": ("", lambda p: (p.unlink(), p.mkdir())),
    "a pipe": ("E_READ", lambda p: (p.unlink(), os.mkfifo(p))),
    "a link to itself": ("E_READ", lambda p: (p.unlink(), p.symlink_to(p))),
    "a link to nothing": ("E_READ", lambda p: (p.unlink(), p.symlink_to("/nonexistent"))),
    "bad checksum": ("E_CORRUPT", lambda p: p.write_bytes(flipped(p.read_bytes(), 60))),
}


def flipped(data, at):
    damaged = bytearray(data)
    damaged[at] ^= 0xFF
    return bytes(damaged)


@pytest.mark.parametrize("kind", sorted(BAD))
@pytest.mark.parametrize("name", ["a first.png", "é.jpg", "zz.tif"])
def test_a_bad_file_is_named_and_changes_nothing(tmp_path, images, kind, name):
    good = ingested(tmp_path, name="good.h5")
    code, spoil = BAD[kind]
    spoil(put(images, name, 50, **({} if name.endswith("png") else {"format": "PNG"})))
    found = ingested(tmp_path, name="all.h5")
    assert found.images.digest == good.images.digest
    np.testing.assert_array_equal(
        found.images.images.read_stored(slice(None)), good.images.images.read_stored(slice(None))
    )
    assert [each.code for each in found.rejected] == ([code] if code else [])
    for each in found.rejected:
        assert each.reason.startswith(f"{name}: ")
        assert "allowed" in each.reason
        assert "\n" not in each.reason
        assert each.path == f"images/{name}"
        assert each.id == name.rpartition(".")[0]
        assert len(each.sha256) == (0 if each.code == "E_READ" else 64)


def test_an_unreadable_file_is_named(tmp_path, images, monkeypatch):
    # Root reads everything, so the refusal is played.
    import builtins

    real = builtins.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("g2.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    found = ingested(tmp_path)
    assert [(each.id, each.code) for each in found.rejected] == [("g2", "E_READ")]
    assert "Permission denied" in found.rejected[0].reason
    assert len(found.images) == 5


def test_control_characters_in_a_name_stay_on_one_line(tmp_path, images):
    put(images, "two\nlines\x1b[31m.png", 8)
    found = ingested(tmp_path)
    assert [each.code for each in found.rejected] == ["E_NAME"]
    assert "two\\nlines\\x1b" in found.rejected[0].reason
    assert all(letter.isprintable() for letter in found.rejected[0].reason)


def test_broken_utf8_in_a_name_can_be_written(tmp_path, images):
    data = (images / "g0.png").read_bytes()
    try:
        with open(os.fsencode(images) + b"/bad\xff.png", "wb") as handle:
            handle.write(data)
    except OSError:
        pytest.skip("this file system refuses such names itself")
    found = ingested(tmp_path)
    assert [each.code for each in found.rejected] == ["E_NAME"]
    (found.rejected[0].reason + found.rejected[0].id + found.rejected[0].path).encode("utf-8")


def test_two_files_with_one_id_keep_the_first_good_one(tmp_path, images):
    put(images, "g1.jpg", 71, format="PNG")
    (images / "g2.jpeg").write_bytes(b"")
    found = ingested(tmp_path)
    assert [(e.path, e.code) for e in found.rejected] == [
        ("images/g1.png", "E_DUPID"),
        ("images/g2.jpeg", "E_EMPTY"),
    ]
    assert "g1.jpg" in found.rejected[0].reason
    assert len(found.images) == 6


def test_hidden_files_and_others_are_not_read(tmp_path, images):
    (images / "._g1.png").write_bytes(b"resource fork")
    (images / ".DS_Store").write_bytes(b"x")
    (images / "README.txt").write_text("read me")
    (images / "stack.gif").write_bytes(b"GIF89a")
    put(images / "deeper", "g9.png", 9)
    found = ingested(tmp_path)
    assert len(found.images) == 6
    assert found.rejected == ()
    assert "2 files are not PNG, JPEG or TIFF by name" in found.notes[0]


def test_loops_of_links_end(tmp_path, images):
    (images / "again").symlink_to(images, target_is_directory=True)
    put(images / "sub", "deep.png", 33)
    found = ingested(tmp_path, card_of(pattern="**/*.png"))
    assert found.images.ids.tolist() == [*(f"g{i}" for i in range(6)), "sub/deep"]


def test_patterns_and_exclusions(tmp_path, images):
    put(images, "star_1.png", 40)
    found = ingested(tmp_path, card_of(pattern="[gs]*.png", options={"exclude": ["star_*", "g5*"]}))
    assert found.images.ids.tolist() == [f"g{i}" for i in range(5)]
    assert "2 files left out by the card" in found.notes[0]


def test_repeated_pixels_share_a_group(tmp_path, images):
    put(images, "again 4.tif", 4)
    put(images, "other 4.png", 4)
    found = ingested(tmp_path)
    groups = dict(zip(found.images.ids.tolist(), found.images.groups.tolist(), strict=True))
    assert groups["g4"] == groups["again 4"] == groups["other 4"]
    assert found.images.n_groups == 6
    assert "2 images repeat the pixels of another" in found.images.history[0].note


def test_a_size_in_the_card_wins_over_the_majority(tmp_path, images):
    put(images, "small.png", array=picture(5, (4, 4)))
    found = ingested(tmp_path, card_of(size=(4, 4)))
    assert found.images.ids.tolist() == ["small"]
    assert {each.code for each in found.rejected} == {"E_SIZE"}
    assert "allowed is 4 x 4 (the card's files.size)" in found.rejected[0].reason
    assert any(note.startswith("warning: 6 of 7 files were rejected") for note in found.notes)


def test_few_rejections_are_no_warning(tmp_path, images):
    (images / "bad.png").write_bytes(b"")
    assert not any("warning" in note for note in ingested(tmp_path).notes)


def test_nothing_usable_says_why(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(3):
        (tmp_path / "images" / f"{i}.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(NothingUsableError, match=r"none of 3 files .* \(E_HTML 3\); first: 0.jpg"):
        ingested(tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(NothingUsableError, match=r"'\*' in .*images"):
        ingested(tmp_path)


def test_a_missing_folder_says_where_and_how(tmp_path, monkeypatch):
    with pytest.raises(UsageError) as caught:
        ingested(tmp_path)
    text = str(caught.value)
    for part in (str(tmp_path / "images"), "SIMREAL_DATA is", "Make it", "--sim toy-sim"):
        assert part in text
    assert "\n" not in text
    monkeypatch.delenv("SIMREAL_DATA")
    with pytest.raises(UsageError, match="SIMREAL_DATA is not set"):
        ingested(tmp_path)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path, images):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        ingested(tmp_path)


def test_wrong_cards_are_refused(tmp_path, images):
    with pytest.raises(UsageError, match="did you mean 'exclude'"):
        ingested(tmp_path, card_of(options={"exlude": []}))
    with pytest.raises(UsageError, match="file name pattern"):
        ingested(tmp_path, card_of(pattern="sub/*.png"))
    with pytest.raises(UsageError, match=r"needs files\.join"):
        ingested(tmp_path, card_of(table="t.csv"))
    with pytest.raises(UsageError, match=r"need files\.table"):
        ingested(tmp_path, card_of(group="halo"))


# --- tables -------------------------------------------------------------------------------


def column(name, unit="", **more):
    return PropertyColumn(column=name, unit=unit, description="of the test", **more)


MASS = {"mass": column("mass", "Msun"), "kind": column("kind", kind="text")}


def joined(tmp_path, text, *, properties=None, **files):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    card = card_of(properties or MASS, table="t.csv", join="file", **files)
    return ingested(tmp_path, card)


def rows(*changes, key="g{}.png"):
    lines = [[key.format(i), f"{i + 1}e10", "disc"] for i in range(6)]
    for i, *line in changes:
        lines[i] = line
    return "file,mass,kind\n" + "".join(",".join(line) + "\n" for line in lines)


@pytest.mark.parametrize("key", ["g{}.png", "g{}", '"g{}.png"', "images/../g{}.png"])
def test_rows_join_by_file_name_or_id(tmp_path, images, key):
    if ".." in key:
        with pytest.raises(NothingUsableError, match="E_NOROW 6"):
            joined(tmp_path, rows(key=key))
        return
    found = joined(tmp_path, rows(key=key)).images.properties
    np.testing.assert_allclose(found["mass"].to_value(u.Msun), np.arange(1, 7) * 1e10)
    assert found["kind"].tolist() == ["disc"] * 6


def test_rows_follow_the_files_not_the_table(tmp_path, images):
    lines = rows().splitlines()
    found = joined(tmp_path, "\n".join([lines[0], *reversed(lines[1:])])).images.properties
    np.testing.assert_allclose(found["mass"].value, np.arange(1, 7) * 1e10)


def test_names_join_whatever_their_normal_form(tmp_path, images):
    put(images, unicodedata.normalize("NFD", "galàxia é.png"), 60)
    text = rows() + unicodedata.normalize("NFC", "galàxia é.png") + ",1e9,disc\n"
    found = joined(tmp_path, text)
    assert found.rejected == ()
    assert unicodedata.normalize("NFC", "galàxia é") in by_id(found)


def test_a_file_without_a_row_is_named(tmp_path, images):
    found = joined(tmp_path, "\n".join(rows().splitlines()[:-1]))
    assert [(e.id, e.code) for e in found.rejected] == [("g5", "E_NOROW")]
    assert "t.csv" in found.rejected[0].reason
    assert "'file'" in found.rejected[0].reason


def test_rows_without_a_file_are_noted(tmp_path, images):
    found = joined(tmp_path, rows() + "gone.png,1,disc\n,5,blank id\n")
    assert found.rejected == ()
    assert any("1 of 8 rows of t.csv have no file here (first: gone.png)" in n for n in found.notes)


def test_the_same_row_twice_is_one_row_but_two_different_ones_are_an_error(tmp_path, images):
    text = rows() + "g1.png,2e10,disc\n" + "g2.png,9e10,disc\n"
    found = joined(tmp_path, text)
    assert [(e.id, e.code) for e in found.rejected] == [("g2", "E_DUPID")]
    assert "lines 4, 9" in found.rejected[0].reason


@pytest.mark.parametrize("cell", ["", "NaN", "--", "null", "abc", "inf", "1_0", "-99"])
def test_missing_values_stay_missing(tmp_path, images, cell):
    text = rows((2, "g2.png", cell, "disc"))
    found = joined(tmp_path, text, options={"missing": ["-99"]})
    values, valid, unit = property_values(found.images.properties, "mass")
    assert unit == "solMass"
    assert valid.tolist() == [True, True, False, True, True, True]
    assert values[3] == 4e10
    listed = any(f"line 4 mass {cell}" in note for note in found.notes)
    assert listed == (cell in ("abc", "inf", "1_0"))


@pytest.mark.parametrize("cell", ["", "nan", "abc", "inf"])
def test_a_required_property_must_be_there(tmp_path, images, cell):
    must = {**MASS, "mass": column("mass", "Msun", required=True)}
    found = joined(tmp_path, rows((2, "g2.png", cell, "disc")), properties=must)
    assert [(e.id, e.code) for e in found.rejected] == [("g2", "E_MISSING")]
    assert "'mass'" in found.rejected[0].reason
    assert not hasattr(found.images.properties["mass"], "mask")


def test_an_absent_column_or_table_stops_before_any_work(tmp_path, images):
    with pytest.raises(UsageError, match="did you mean 'mass'"):
        joined(tmp_path, rows(), properties={"m": column("Mass")})
    with pytest.raises(UsageError, match="'halo'"):
        joined(tmp_path, rows(), group="halo")
    with pytest.raises(UsageError, match="no table"):
        ingested(tmp_path, card_of(MASS, table="none.csv", join="file"))


def test_groups_come_from_the_table_and_join_over_repeated_pixels(tmp_path, images):
    put(images, "g6.png", 0)
    text = "file,halo\n" + "".join(
        f"g{i}.png,{halo}\n" for i, halo in enumerate(["A", "A", "B", "B", "", "C", "C"])
    )
    found = joined(tmp_path, text, properties={"halo": column("halo", kind="text")}, group="halo")
    # g6 repeats the pixels of g0, so their haloes A and C are one resampling unit.
    assert found.images.groups.tolist() == ["A", "A", "B", "B", "g4", "A", "A"]


def test_everything_survives_the_bad_ones_together(tmp_path, images):
    good = joined(tmp_path, rows()).images
    for i, (_, spoil) in enumerate(BAD.values()):
        spoil(put(images, f"bad {i}.png", 70 + i))
    names = "".join(f"bad {i}.png,1,x\n" for i in range(len(BAD)))
    found = joined(tmp_path, rows() + names)
    assert found.images.digest == good.digest
    np.testing.assert_array_equal(found.images.properties["mass"], good.properties["mass"])
    assert len(found.rejected) == sum(1 for code, _ in BAD.values() if code)
    assert any(note.startswith("warning") for note in found.notes)
