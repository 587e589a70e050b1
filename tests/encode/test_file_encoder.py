"""Embeddings computed elsewhere: every format, matched by id, and each fault in one line."""

import importlib

import h5py
import numpy as np
import pytest

from simreal.core.arrays import AnyArray
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.encode.embedding_files import read_table
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings

IDS = [f"a{k}" for k in range(9)] + [f"b{k}" for k in range(9)]
VECTORS = np.random.default_rng(5).normal(size=(18, 4)).astype("f4")


def stamps(name, n=9, seed=0, ids=None):
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=np.random.default_rng(seed).random((n, 1, 8, 8)),
        ids=np.array([f"{name}{k}" for k in range(n)] if ids is None else ids),
        groups=np.array([f"{name}{k // 2}" for k in range(n)]),
        setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    )


SIDES = [stamps("a"), stamps("b", seed=1)]


def parquet(path, **columns):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    importlib.import_module("pyarrow.parquet").write_table(pa.table(columns), path)
    return path


def as_parquet(folder, ids, vectors: AnyArray, sets=None):
    extra = {} if sets is None else {"set": list(sets)}
    return parquet(folder / "v.parquet", id=list(ids), vector=vectors.tolist(), **extra)


def as_columns(folder, ids, vectors, sets=None):
    extra = {} if sets is None else {"set": list(sets)}
    columns = {f"v{k}": vectors[:, k] for k in range(vectors.shape[1])}
    return parquet(folder / "v.parquet", id=list(ids), **columns, **extra)


def as_npz(folder, ids, vectors, sets=None):
    extra = {} if sets is None else {"sets": np.array(sets)}
    np.savez(folder / "v.npz", ids=np.array(ids), vectors=vectors, **extra)
    return folder / "v.npz"


def as_npy(folder, ids, vectors):
    np.save(folder / "v.npy", vectors)
    (folder / "v.txt").write_text("\n".join(map(str, ids)) + "\n")
    return folder / "v.npy"


def as_hdf5(folder, ids, vectors, sets=None):
    with h5py.File(folder / "v.h5", "w") as file:
        file["ids"] = np.array(ids, dtype="S")
        file["vectors"] = vectors
        if sets is not None:
            file["sets"] = np.array(sets, dtype="S")
    return folder / "v.h5"


FORMATS = [as_parquet, as_columns, as_npz, as_npy, as_hdf5]


def fit(path, sides=SIDES):
    return fit_encoder("file", sides, settings=EncoderSettings(embeddings=path), seed=3)


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_gives_each_image_its_own_vector(write, tmp_path):
    order = np.random.default_rng(0).permutation(18)
    encoder = fit(write(tmp_path, [IDS[k] for k in order], VECTORS[order]))
    for side, expected in zip(SIDES, (VECTORS[:9], VECTORS[9:]), strict=True):
        found = embed(encoder, side)
        np.testing.assert_array_equal(found.vectors, expected)
        assert found.ids.tolist() == side.ids.tolist()
        picked = embed(encoder, side.rows([4, 1]))
        np.testing.assert_array_equal(picked.vectors, expected[[4, 1]])
    assert encoder.dimension == 4
    assert encoder.card["rows_not_used"] == 0


def test_the_digest_is_of_the_content_alone(tmp_path):
    order = np.random.default_rng(1).permutation(18)
    one = fit(as_npz(tmp_path, IDS, VECTORS))
    other = fit(as_hdf5(tmp_path, [IDS[k] for k in order], VECTORS[order].astype("f8")))
    swapped = fit(as_npz(tmp_path, IDS, VECTORS), SIDES[::-1])
    assert one.digest == other.digest == swapped.digest
    changed = VECTORS.copy()
    changed[3, 2] += 1e-3
    assert fit(as_npz(tmp_path, IDS, changed)).digest != one.digest


def test_it_survives_the_disk_without_the_file(tmp_path):
    path = as_npz(tmp_path, IDS, VECTORS)
    encoder = fit(path)
    save_encoder(encoder, tmp_path / "encoder")
    path.unlink()
    again = load_encoder(tmp_path / "encoder")
    assert again.digest == encoder.digest
    np.testing.assert_array_equal(embed(again, SIDES[0]).vectors, VECTORS[:9])


def test_rows_of_other_images_are_left_alone_and_counted(tmp_path):
    more = np.concatenate([VECTORS, [[np.nan] * 4]])
    encoder = fit(as_npz(tmp_path, [*IDS, "other"], more))
    assert encoder.card["rows_not_used"] == 1
    np.testing.assert_array_equal(embed(encoder, SIDES[1]).vectors, VECTORS[9:])


def test_ids_that_are_whole_numbers_read_as_they_are_written(tmp_path):
    side = stamps("a", ids=[str(700 + k) for k in range(9)])
    encoder = fit(as_npz(tmp_path, np.arange(700, 709), VECTORS[:9]), [side])
    np.testing.assert_array_equal(embed(encoder, side).vectors, VECTORS[:9])


@pytest.mark.parametrize("write", [as_parquet, as_npz, as_hdf5])
def test_ids_that_repeat_between_collections_are_told_apart_by_name(write, tmp_path):
    sides = [stamps("a", ids=range(9)), stamps("b", seed=1, ids=range(9))]
    ids = [*map(str, range(9))] * 2
    encoder = fit(write(tmp_path, ids, VECTORS, sets=["a"] * 9 + ["b"] * 9), sides)
    np.testing.assert_array_equal(embed(encoder, sides[1]).vectors, VECTORS[9:])
    with pytest.raises(UsageError, match="no row is of the collection 'b', the column names a, c"):
        fit(write(tmp_path, ids, VECTORS, sets=["a"] * 9 + ["c"] * 9), sides)
    with pytest.raises(UsageError, match="'0' is that of an image of 'a' and of one of 'b'"):
        fit(write(tmp_path, ids[:9], VECTORS[:9]), sides)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("write", FORMATS)
def test_a_missing_id_is_named(write, tmp_path):
    with pytest.raises(
        UsageError, match="no vector for 2 of the 9 images of 'b', the first is 'b7'"
    ):
        fit(write(tmp_path, IDS[:16], VECTORS[:16]))


@pytest.mark.parametrize("write", FORMATS)
def test_a_repeated_id_is_named(write, tmp_path):
    with pytest.raises(UsageError, match=r"'a3' stands in 2 rows \(1 such ids\)"):
        fit(write(tmp_path, [*IDS[:17], "a3"], VECTORS))


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_a_row_that_is_not_finite_in_single_precision_is_named(write, bad, tmp_path):
    vectors = VECTORS.astype("f8")
    vectors[11, 2] = bad
    with pytest.raises(UsageError, match=r"the vector of 'b2' holds .*\(1 such rows\)"):
        fit(write(tmp_path, IDS, vectors))


def test_vectors_of_a_wrong_kind_or_shape(tmp_path):
    for vectors, what in (
        (VECTORS.astype("c8"), "of the type complex64"),
        (VECTORS > 0, "of the type bool"),
        (VECTORS.astype("S"), "of the type .S"),
        (VECTORS[:, 0], r"of shape \(18,\)"),
        (VECTORS[:, :0], r"of shape \(18, 0\)"),
        (VECTORS[:17], r"ids of shape \(18,\) for 17 vectors"),
    ):
        with pytest.raises(UsageError, match=what) as error:
            fit(as_npz(tmp_path, IDS, vectors))
        one_line(error)
    with pytest.raises(UsageError, match="got ids of the type float64"):
        fit(as_npz(tmp_path, np.arange(18.0), VECTORS))


def test_columns_of_a_table_that_are_no_vectors(tmp_path):
    path = tmp_path / "v.parquet"
    with pytest.raises(UsageError, match="got the columns name, vector, allowed are an 'id'"):
        fit(parquet(path, name=IDS, vector=VECTORS.tolist()))
    with pytest.raises(UsageError, match="several columns of lists"):
        fit(parquet(path, id=IDS, one=VECTORS.tolist(), two=VECTORS.tolist()))
    with pytest.raises(UsageError, match="the column 'label' of the type object"):
        fit(parquet(path, id=IDS, label=IDS, v0=VECTORS[:, 0]))
    ragged = [row[: 3 + (k > 4)] for k, row in enumerate(VECTORS.tolist())]
    with pytest.raises(UsageError, match="vectors of the lengths"):
        fit(parquet(path, id=IDS, vector=ragged))
    with pytest.raises(UsageError, match=r"shape \(0, 0\)"):
        fit(parquet(path, id=IDS))


def test_files_that_are_not_there_or_not_what_they_say(tmp_path):
    with pytest.raises(UsageError, match="needs a file of embeddings computed elsewhere"):
        fit(None)
    with pytest.raises(UsageError, match="no such file of embeddings"):
        fit(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"kind '.csv', allowed are .parquet, .npz, .npy, .h5"):
        fit(tmp_path / "v.csv")
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(UsageError, match=r"v\.txt: no such file; the ids of v\.npy stand there"):
        fit(tmp_path / "v.npy")
    np.savez(tmp_path / "v.npz", names=IDS, vectors=VECTORS)
    with pytest.raises(UsageError, match="no 'ids' among names, vectors"):
        fit(tmp_path / "v.npz")
    for suffix in (".npz", ".h5", ".parquet", ".npy"):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(b"not such a file at all")
        path.with_suffix(".txt").write_text("a\n")
        with pytest.raises(StorageError, match=f"cannot be read as {suffix}") as error:
            fit(path)
        one_line(error)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickled.npz", ids=objects, vectors=VECTORS)
    with pytest.raises(StorageError, match=r"cannot be read as \.npz"):
        fit(tmp_path / "pickled.npz")


def test_an_altered_image_has_no_vector(tmp_path):
    encoder = fit(as_npz(tmp_path, IDS, VECTORS))
    pixels = SIDES[0].images.read(slice(None)).copy()
    pixels[6] = np.roll(pixels[6], 1)
    altered = SIDES[0].replace(images=ArraySource(pixels))
    with pytest.raises(
        NotComputableError, match=r"no vector for 1 of 9 images \(the first in row 6"
    ):
        embed(encoder, altered)


def test_equal_pixels_have_one_vector(tmp_path):
    pixels = SIDES[0].images.read(slice(None)).copy()
    pixels[5] = pixels[2]
    twins = SIDES[0].replace(images=ArraySource(pixels))
    with pytest.raises(UsageError, match="'a2' and 'a5' are the same pixels with two vectors"):
        fit(as_npz(tmp_path, IDS, VECTORS), [twins])
    vectors = VECTORS.copy()
    vectors[5] = vectors[2] * (1 + 1e-5)  # two passes of one network
    found = embed(fit(as_npz(tmp_path, IDS, vectors), [twins]), twins).vectors
    np.testing.assert_array_equal(found[5], found[2])


def test_absent_pyarrow_is_named(tmp_path, monkeypatch):
    genuine = importlib.import_module

    def absent(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return genuine(name, *rest)

    (tmp_path / "v.parquet").write_bytes(b"")
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NotComputableError, match=r"need pyarrow.*simreal\[parquet\]"):
        read_table(tmp_path / "v.parquet")
