"""The store gives back what was put in, or says in one line that it cannot."""

import os
import pickle
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simreal.core.embedding import Embedding
from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.core.images import ImageSet, Setup, Step
from simreal.data.store import (
    Description,
    StoreWriter,
    read_embedding,
    read_set,
    write_embedding,
    write_set,
)

UNITS = ["Msun", "kpc", "Msun / yr", "km / s", "", "mag", "1 / arcsec2", "10**-3 Jy"]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def plain_set(n=6, *, seed=0, bands=3, size=5, **changes):
    rng = np.random.default_rng(seed)
    fields = {
        "name": "plain",
        "role": "observed",
        "sampling": "random",
        "images": rng.random((n, bands, size, size), dtype=np.float32),
        "ids": np.array([f"g{i}" for i in range(n)]),
        "groups": np.array([f"g{i // 2}" for i in range(n)]),
        "setup": Setup(track="rgb", bands=tuple("rgbxyz"[:bands]), unit="display"),
    }
    return ImageSet(**{**fields, **changes})


def assert_same_table(a, b):
    if a is None or b is None:
        assert a is b
        return
    assert a.colnames == b.colnames
    for name in a.colnames:
        one, two = a[name], b[name]
        assert getattr(one, "unit", None) == getattr(two, "unit", None)
        assert hasattr(one, "to_value") == hasattr(two, "to_value")
        assert one.info.description == two.info.description
        mask = np.asarray(getattr(one, "mask", np.zeros(len(one), bool)))
        assert hasattr(one, "mask") == hasattr(two, "mask")
        np.testing.assert_array_equal(mask, np.asarray(getattr(two, "mask", np.zeros_like(mask))))
        x, y = (np.asarray(getattr(c, "unmasked", c)) for c in (one, two))
        x, y = np.ma.getdata(x), np.ma.getdata(y)
        assert x.dtype.kind == y.dtype.kind
        np.testing.assert_array_equal(x[~mask], y[~mask])


def assert_same_setup(a, b):
    for name in Setup.__dataclass_fields__:
        one, two = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(one, two) if isinstance(one, np.ndarray) else None
        assert isinstance(one, np.ndarray) == isinstance(two, np.ndarray)
        if not isinstance(one, np.ndarray):
            assert one == two


@st.composite
def tables(draw, n):
    table = QTable()
    for i in range(draw(st.integers(1, 4))):
        name = f"{i}" + draw(NAMES)
        mask = draw(st.none() | hnp.arrays(np.bool_, n))
        kind = draw(st.sampled_from(["quantity", "text", "integer", "truth", "plain"]))
        if kind == "quantity":
            values = draw(hnp.arrays(np.float64, n, elements=NUMBERS))
            quantity = u.Quantity(values, u.Unit(draw(st.sampled_from(UNITS))))
            table[name] = quantity if mask is None else Masked(quantity, mask=mask)
        else:
            element = {
                "text": NAMES,
                "integer": st.integers(-(2**62), 2**62),
                "truth": st.booleans(),
                "plain": NUMBERS,
            }[kind]
            values = np.array(draw(st.lists(element, min_size=n, max_size=n)))
            if kind == "text":
                values = values.astype(np.str_)
            table[name] = Column(values) if mask is None else MaskedColumn(values, mask=mask)
        table[name].info.description = draw(st.none() | NAMES)
    return table


@st.composite
def setups(draw, n, bands):
    positive = st.floats(1e-3, 1e3)
    per_image = draw(st.booleans())
    shape = (n, bands) if per_image else (bands,)
    psf = np.zeros((*shape, 3, 3))
    psf[..., 1, 1] = 1.0
    framed = draw(st.booleans())
    return Setup(
        track=draw(st.sampled_from(["rgb", "flux"])),
        bands=tuple("abcd"[:bands]),
        unit=draw(st.sampled_from(["display", "nanomaggy"])),
        frame="physical" if framed else "native",
        frame_width=draw(positive) if framed else None,
        pixel_scale=draw(st.none() | positive | hnp.arrays(np.float64, n, elements=positive)),
        exposure=draw(st.none() | positive),
        noise=draw(st.none() | hnp.arrays(np.float64, shape, elements=positive)),
        psf=draw(st.sampled_from([None, psf])),
    )


@st.composite
def image_sets(draw):
    n, bands = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    shape = (n, bands, draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    images = draw(hnp.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32)))
    mask = draw(st.none() | hnp.arrays(np.bool_, shape))
    if mask is not None:
        images = np.where(mask, np.float32(np.nan), images)
    ids = draw(st.lists(NAMES, min_size=n, max_size=n, unique=True))
    numbers = st.none() | NUMBERS | NAMES | st.integers(-5, 5)
    step = st.builds(
        Step,
        name=NAMES,
        before=st.dictionaries(NAMES, numbers, max_size=3),
        after=st.dictionaries(NAMES, numbers, max_size=3),
        note=NAMES,
    )
    return ImageSet(
        name=draw(NAMES),
        role=draw(st.sampled_from(["simulated", "observed"])),
        sampling=draw(st.sampled_from(["random", "curated"])),
        images=images,
        mask=mask,
        ids=np.array(ids),
        groups=np.array(draw(st.lists(NAMES, min_size=n, max_size=n))),
        setup=draw(setups(n, bands)),
        properties=draw(st.none() | tables(n)),
        history=tuple(draw(st.lists(step, max_size=2))),
    )


@given(image_sets())
@settings(max_examples=40)
def test_a_set_reads_back_as_it_was_written(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("set") / "set.h5"
    back = write_set(path, images)
    assert back.digest == images.digest
    assert (back.name, back.role, back.sampling) == (images.name, images.role, images.sampling)
    assert back.ids.tolist() == images.ids.tolist()
    assert back.groups.tolist() == images.groups.tolist()
    assert (back.mask is None) == (images.mask is None)
    assert_same_setup(back.setup, images.setup)
    assert_same_table(back.properties, images.properties)
    assert [(s.name, dict(s.before), dict(s.after), s.note) for s in back.history] == [
        (s.name, dict(s.before), dict(s.after), s.note) for s in images.history
    ]


@given(st.data())
@settings(max_examples=30)
def test_an_embedding_reads_back_as_it_was_written(tmp_path_factory, data):
    n, d = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 4))
    embedding = Embedding(
        name=data.draw(NAMES),
        sampling="curated",
        vectors=data.draw(hnp.arrays(np.float32, (n, d), elements=st.floats(-9, 9, width=32))),
        ids=np.array(data.draw(st.lists(NAMES, min_size=n, max_size=n, unique=True)), dtype=str),
        groups=np.array(data.draw(st.lists(NAMES, min_size=n, max_size=n)), dtype=str),
        setup=data.draw(setups(n, 2)) if n else Setup(track="rgb", bands=("a",), unit="display"),
        encoder_digest="e" * 64,
        source_digest="s" * 64,
        properties=data.draw(st.none() | tables(n)) if n else None,
    )
    back = write_embedding(tmp_path_factory.mktemp("vectors") / "e.h5", embedding)
    assert back.digest == embedding.digest
    assert back.source_digest == embedding.source_digest
    assert_same_table(back.properties, embedding.properties)
    assert_same_setup(back.setup, embedding.setup)


@given(st.lists(st.integers(0, 39), max_size=60), st.integers(1, 9))
def test_any_rows_in_any_order_are_the_rows_of_the_array(tmp_path_factory, rows, block):
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (40, 2, 3, 5), dtype=np.uint8)
    path = tmp_path_factory.mktemp("rows") / "rows.h5"
    with StoreWriter(path, dtype="uint8") as writer:
        for start in range(0, 40, block):
            writer.append(pixels[start : start + block])
        images = writer.finish(about(40, bands=2))
    index = np.array(rows, dtype=np.int64)
    # Bytes are value / 255 to the last bit, whichever way they are read.
    expected = (pixels / np.float32(255)).astype(np.float32)
    np.testing.assert_array_equal(images.images.read(index), expected[index])
    np.testing.assert_array_equal(images.images.read(slice(3, 30, 4)), expected[3:30:4])


def about(n, *, bands=3, **changes):
    fields = {
        "name": "about",
        "role": "observed",
        "sampling": "random",
        "ids": np.arange(n).astype(str),
        "groups": np.arange(n).astype(str),
        "setup": Setup(track="rgb", bands=tuple("abc"[:bands]), unit="display"),
    }
    return Description(**{**fields, **changes})


def test_many_blocks_are_found_wherever_they_lie(tmp_path):
    # 200 kB per image: five images per block of a megabyte, the last block not full.
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (23, 1, 400, 500), dtype=np.uint8)
    with StoreWriter(tmp_path / "many.h5", dtype="uint8") as writer:
        writer.append(pixels)
        images = writer.finish(about(23, bands=1))
    np.testing.assert_array_equal(images.images.read_stored(slice(None)), pixels)


def test_eight_bits_stay_eight_bits_when_a_subset_is_rewritten(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (9, 3, 4, 4), dtype=np.uint8)
    with StoreWriter(tmp_path / "a.h5", dtype="uint8") as writer:
        writer.append(pixels)
        images = writer.finish(about(9))
    some = images.rows([8, 1, 4])
    again = write_set(tmp_path / "b.h5", some)
    assert again.images.dtype == "uint8"
    assert again.digest == some.digest


def test_a_store_is_the_same_bytes_every_time(tmp_path):
    images = plain_set()
    write_set(tmp_path / "a.h5", images)
    write_set(tmp_path / "b.h5", images)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_source_travels_to_another_process(tmp_path):
    images = write_set(tmp_path / "a.h5", plain_set())
    source = pickle.loads(pickle.dumps(images.images))
    np.testing.assert_array_equal(source.read(slice(None)), images.images.read(slice(None)))


def open_files():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_source_keeps_no_file_open(tmp_path):
    images = write_set(tmp_path / "a.h5", plain_set())
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            images.images.read(slice(0, 2))
    assert open_files() == before


def test_a_failure_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.h5"
    old = write_set(path, plain_set())
    with pytest.raises(UsageError), StoreWriter(path, dtype="float32") as writer:
        writer.append(np.zeros((1, 3, 4, 4), np.float32)[:, :, :0])
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert read_set(path).digest == old.digest


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch, fails_at):
    path = tmp_path / "a.h5"
    old = write_set(path, plain_set())
    calls = iter(range(10))
    real = [os.fsync, os.replace]

    def full(*arguments, act):
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device")
        return act(*arguments)

    monkeypatch.setattr(os, "fsync", lambda *a: full(*a, act=real[0]))
    monkeypatch.setattr(os, "replace", lambda *a: full(*a, act=real[1]))
    with pytest.raises(StorageError, match="No space left") as caught:
        write_set(path, plain_set(seed=9))
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    # Before the rename the old file stands, after it the new one does; both are whole.
    assert len(read_set(path)) == len(old)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_folder_in_the_way_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        write_set(tmp_path / "file" / "a.h5", plain_set())


def test_wrong_blocks_are_refused(tmp_path):
    with StoreWriter(tmp_path / "a.h5", dtype="uint8") as writer:
        writer.append(np.zeros((1, 3, 4, 4), np.uint8))
        for block in (
            np.zeros((1, 3, 4, 5), np.uint8),
            np.zeros((1, 3, 4, 4), np.float32),
            np.zeros((3, 4, 4), np.uint8),
        ):
            with pytest.raises(UsageError):
                writer.append(block)
        with pytest.raises(UsageError, match="2 ids for 1 images"):
            writer.finish(about(2))
    assert not list(tmp_path.iterdir())


def test_an_empty_set_is_refused(tmp_path):
    with (
        pytest.raises(UsageError, match="no images"),
        StoreWriter(tmp_path / "a.h5", dtype="uint8") as writer,
    ):
        writer.finish(about(0))


def test_python_objects_are_refused(tmp_path):
    table = QTable({"odd": np.array([{}, {}, {}, {}, {}, {}], dtype=object)})
    with pytest.raises(UsageError, match="'odd'"):
        write_set(tmp_path / "a.h5", plain_set(properties=table))


def test_a_missing_store_says_so(tmp_path):
    with pytest.raises(StorageError, match="no such stored file"):
        read_set(tmp_path / "none.h5")


def test_an_embedding_is_not_an_image_set(tmp_path):
    write_set(tmp_path / "a.h5", plain_set())
    with pytest.raises(StorageError, match="simreal image set"):
        read_embedding(tmp_path / "a.h5")


@pytest.mark.parametrize("text", [b"", b"<html>404</html>", b"\x89HDF\r\n\x1a\n", b"\x00" * 4096])
def test_what_is_not_hdf5_is_one_line(tmp_path, text):
    path = tmp_path / "a.h5"
    path.write_bytes(text)
    with pytest.raises(StorageError) as caught:
        read_set(path)
    assert "\n" not in str(caught.value)


def replace_by_link(path, name, link):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link


@pytest.mark.parametrize("name", ["images", "record", "arrays", "arrays/checksums"])
@pytest.mark.parametrize("kind", ["soft", "external", "loop"])
def test_links_are_not_followed(tmp_path, name, kind):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    write_set(path, plain_set())
    write_set(other, plain_set())
    link = {
        "soft": h5py.SoftLink("/arrays/checksums"),
        "external": h5py.ExternalLink(str(other), name),
        "loop": h5py.SoftLink(f"/{name}"),
    }[kind]
    replace_by_link(path, name, link)
    with pytest.raises(StorageError, match=r"link|inside this file"):
        read_set(path)


def test_pixels_in_another_file_are_not_read(tmp_path):
    path, secret = tmp_path / "a.h5", tmp_path / "secret.bin"
    images = plain_set()
    write_set(path, images)
    secret.write_bytes(b"s" * images.images.array.nbytes)
    with h5py.File(path, "r+") as file:
        shape = file["images"].shape
        del file["images"]
        file.create_dataset(
            "images", shape=shape, dtype="f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )
    with pytest.raises(StorageError, match="inside this file"):
        read_set(path)


def test_virtual_pixels_are_not_read(tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    write_set(path, plain_set())
    write_set(other, plain_set())
    with h5py.File(path, "r+") as file:
        shape = file["images"].shape
        layout = h5py.VirtualLayout(shape=shape, dtype="f4")
        layout[:] = h5py.VirtualSource(str(other), "images", shape=shape)
        del file["images"]
        file.create_virtual_dataset("images", layout)
    with pytest.raises(StorageError, match="inside this file"):
        read_set(path)


def test_a_dataset_larger_than_its_file_is_not_allocated(tmp_path):
    path = tmp_path / "a.h5"
    write_set(path, plain_set())
    with h5py.File(path, "r+") as file:
        del file["images"]
        file.create_dataset("images", shape=(10**6, 3, 100, 100), dtype="f4", chunks=(1, 3, 9, 9))
    with pytest.raises(StorageError, match="declares"):
        read_set(path)


def outcome(path, digest):
    """Read everything: the same set, or one line. Anything else fails the test."""
    try:
        found = read_set(path).digest
    except SimrealError as error:
        return "refused" if "\n" not in str(error) else "more than one line"
    assert found == digest, "a damaged store was read as something else"
    return "ok"


def test_a_damaged_store_is_never_read_as_something_else(tmp_path):
    path = tmp_path / "a.h5"
    table = QTable({"mass": np.arange(6.0) * u.Msun})
    images = write_set(path, plain_set(properties=table, size=40))
    whole, digest = path.read_bytes(), images.digest
    rng = np.random.default_rng(11)
    seen = []
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    for case in range(300):
        damaged = bytearray(whole)
        if case % 3 == 0:
            damaged = damaged[: int(rng.integers(0, len(whole)))]
        else:
            # Most of a small store is padding: aim where there is something to damage.
            damaged[int(rng.choice(used))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        seen.append(outcome(path, digest))
    # Everything but a few bytes HDF5 itself never reads is guarded.
    assert seen.count("refused") > 0.9 * len(seen)


def test_a_flipped_bit_in_the_pixels_names_the_image(tmp_path):
    path = tmp_path / "a.h5"
    images = write_set(path, plain_set(size=32))
    damaged = bytearray(path.read_bytes())
    damaged[int(images.images.offsets[2]) + 5] ^= 1
    path.write_bytes(bytes(damaged))
    back = read_set(path)
    back.images.read(slice(0, 2))
    with pytest.raises(StorageError, match="image 2 is damaged"):
        back.images.read(slice(0, 3))


def test_a_store_that_vanishes_is_one_line(tmp_path):
    images = write_set(tmp_path / "a.h5", plain_set())
    (tmp_path / "a.h5").unlink()
    with pytest.raises(StorageError, match="gone"):
        images.images.read(slice(0, 1))
