"""Bad input through every flux adapter: one line that says what to do, and nothing else changes.

Per format one collection is made with two good files and one file for each kind of damage. Every
damaged file must be named in a rejection with a known code, what was got and what to do, and the
good ones must be bit for bit what they are without the bad ones beside them.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import zipfile
from functools import partial

import h5py
import numpy as np
import pytest
from astropy.io import fits

from simreal.core.errors import NothingUsableError, UsageError
from simreal.data.ingest import ingest
from tests.data.golden import (
    fits_cube,
    fits_stamps,
    galsim_real,
    hdf5_keys,
    hsc_cutout,
    legacy_cutout,
    mosaic,
    multimodal_universe,
    npy_table,
    omega,
    panstarrs,
    realsim,
    scene_npz,
    sdss_frame,
    skirt,
    sunrise,
    tng_hsc,
    tng_skirt,
)

GOOD = (1, 2)

FITS = {
    "fits_cube": (fits_cube.card, fits_cube.write),
    "fits_stamps": (fits_stamps.card, fits_stamps.write),
    "galsim_real": (galsim_real.card, galsim_real.write),
    "hsc_cutout": (hsc_cutout.card, hsc_cutout.write),
    "legacy_cutout": (legacy_cutout.card, legacy_cutout.write),
    "legacy_subimage": (partial(legacy_cutout.card, mask="none", mask_bits=()),
                        legacy_cutout.write_subimage),
    "mosaic": (mosaic.card, mosaic.write),
    "omega": (omega.card, omega.write),
    "panstarrs": (panstarrs.card, panstarrs.write),
    "realsim": (realsim.card, realsim.write),
    "sdss_frame": (sdss_frame.card, sdss_frame.write),
    "skirt": (skirt.card, skirt.write),
    "sunrise": (sunrise.card, partial(sunrise.write, cameras=(0, 1, 2, 3))),
    "tng_hsc": (tng_hsc.card, tng_hsc.write),
    "tng_hsc_idealised": (tng_hsc.ideal_card, tng_hsc.write_ideal),
    "tng_skirt": (tng_skirt.card, tng_skirt.write),
}  # fmt: skip
ARRAYS = {
    "hdf5_keys": (hdf5_keys.card, hdf5_keys.write),
    "multimodal_universe": (multimodal_universe.card, multimodal_universe.write),
    "npy_table": (npy_table.card, npy_table.write),
    "scene_npz": (scene_npz.card, scene_npz.write),
}
FORMATS = FITS | ARRAYS

PAGE = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
NOT_THIS_FORMAT = {"E_FITS", "E_HDF5", "E_NPY"}


# ---- damage to bytes: every format -----------------------------------------------------------


def unpacked(raw):
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2)):
        if raw.startswith(magic):
            return module.decompress(raw), module.compress
    return raw, lambda plain: plain


def shorter(path, share):
    plain, pack = unpacked(path.read_bytes())
    # Whatever packs it is whole: it is the file inside that ends early.
    path.write_bytes(pack(plain[: int(len(plain) * share)]))


def without_end(path):
    plain, pack = unpacked(path.read_bytes())
    # What fills the last block may be missing without any harm: it is cut from what counts.
    path.write_bytes(pack(plain.rstrip(b"\0 ")[:-200]))


def as_link(path, target):
    path.unlink()
    path.symlink_to(target)


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def as_zip(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.fits", path.read_bytes())
    path.write_bytes(buffer.getvalue())


def noise(n):
    return np.random.default_rng(5).integers(0, 256, n, dtype=np.uint8).tobytes()


SHORT = {"E_TRUNC", "E_HDF5", "E_NPY", "E_FITS", "E_CHECKSUM", "E_HDU"}
BYTES = {
    "no bytes": (lambda p: p.write_bytes(b""), {"E_EMPTYFILE"}),
    "a web page": (lambda p: p.write_bytes(PAGE), {"E_HTML"}),
    "an XML error": (lambda p: p.write_bytes(b"<?xml version='1.0'?><Error/>"),
                     {"E_HTML"} | NOT_THIS_FORMAT),
    "JSON": (lambda p: p.write_bytes(b'{"error": "no such object"}'), NOT_THIS_FORMAT),
    "a text": (lambda p: p.write_bytes(b"id,ra,dec\n1,2,3\n" * 300), NOT_THIS_FORMAT),
    "a Git LFS pointer": (lambda p: p.write_bytes(POINTER), NOT_THIS_FORMAT),
    "zeros": (lambda p: p.write_bytes(bytes(9000)), NOT_THIS_FORMAT),
    "noise": (lambda p: p.write_bytes(noise(9000)), NOT_THIS_FORMAT),
    "a PNG": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + noise(4000)), NOT_THIS_FORMAT),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps([1] * 900)), NOT_THIS_FORMAT),
    "a zip archive": (as_zip, NOT_THIS_FORMAT | {"E_KEY"}),
    "cut in the header": (lambda p: shorter(p, 0.02), SHORT),
    "cut at a half": (lambda p: shorter(p, 0.5), SHORT),
    "cut near the end": (without_end, SHORT),
    "a packed web page": (lambda p: p.write_bytes(gzip.compress(PAGE)),
                          {"E_HTML"} | NOT_THIS_FORMAT),
    "a gzip cut short": (lambda p: p.write_bytes(gzip.compress(noise(9000))[:4000]),
                         {"E_TRUNC"} | NOT_THIS_FORMAT),
    "a gzip with a flipped bit": (lambda p: p.write_bytes(flipped(gzip.compress(noise(9000)))),
                                  {"E_CHECKSUM"} | NOT_THIS_FORMAT),
    "an xz cut short": (lambda p: p.write_bytes(lzma.compress(noise(9000))[:4000]),
                        {"E_TRUNC"} | NOT_THIS_FORMAT),
    "a dangling link": (lambda p: as_link(p, "nowhere.fits"), {"E_READ"}),
    "a link to itself": (lambda p: as_link(p, p.name), {"E_READ"}),
    "a pipe": (as_pipe, {"E_READ"}),
}  # fmt: skip


def flipped(raw):
    damaged = bytearray(raw)
    damaged[len(raw) // 2] ^= 1
    return bytes(damaged)


# ---- damage to headers and pixels: FITS ------------------------------------------------------


def edited(change, *, checksum=False):
    """Return a damage that changes the first image of a file, however it is packed."""

    def damage(path):
        plain, pack = unpacked(path.read_bytes())
        with fits.open(io.BytesIO(plain), do_not_scale_image_data=True) as hdus:
            unit = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
            changed = change(unit)
            units = [changed if hdu is unit and changed is not None else hdu for hdu in hdus]
            buffer = io.BytesIO()
            fits.HDUList(units).writeto(buffer, checksum=checksum, output_verify="silentfix")
        path.write_bytes(pack(buffer.getvalue()))

    return damage


def with_pixels(function):
    def change(unit):
        header = unit.header.copy()
        for key in ("BSCALE", "BZERO", "BLANK"):
            header.pop(key, None)
        pixels = function(np.array(unit.data, dtype=np.float64)).astype(">f4")
        return type(unit)(pixels, header)

    return edited(change)


def raw_edit(old, new, *, at_image=True):
    """Return a damage that replaces a card, which no library would write, in the raw header."""

    def damage(path):
        plain, pack = unpacked(path.read_bytes())
        start = image_start(plain) if at_image else 0
        where = plain.index(old, start)
        end = where + 80 - (where - start) % 80
        card = new.ljust(end - where)
        path.write_bytes(pack(plain[:where] + card + plain[end:]))

    return damage


def image_start(plain):
    with fits.open(io.BytesIO(plain)) as hdus:
        unit = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
        return unit.fileinfo()["hdrLoc"]


def central(values):
    out = values.copy()
    height, width = values.shape[-2:]
    out[..., height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4] = np.nan
    return out


def scattered(values):
    out = values.copy()
    lost = np.random.default_rng(1).random(values.shape[-2:]) < 0.4
    out[..., lost] = np.nan
    return out


def six_axes(values):
    return np.stack([np.stack([values, values])] * 2)


def as_table(unit):
    column = fits.Column(name="a", format="D", array=np.ones(3))
    table = fits.BinTableHDU.from_columns([column], name=unit.name)
    return table if isinstance(unit, fits.ImageHDU) else fits.PrimaryHDU()


def bit_in_checked_data(path):
    edited(lambda unit: None, checksum=True)(path)
    plain, pack = unpacked(path.read_bytes())
    with fits.open(io.BytesIO(plain)) as hdus:
        unit = next(hdu for hdu in hdus if hdu.is_image and hdu.data is not None)
        at = unit.fileinfo()["datLoc"] + 5
    path.write_bytes(pack(plain[:at] + bytes([plain[at] ^ 8]) + plain[at + 1 :]))


def with_tail(path):
    plain, pack = unpacked(path.read_bytes())
    path.write_bytes(pack(plain + b"not an HDU".ljust(2880, b"!")))


GEOMETRY = {"E_BANDS", "E_SIZE", "E_HDU", "E_SHAPE", "E_EMPTY", "E_CONST"}
LOST = {"E_EMPTY", "E_CONST", "E_NAN", "E_DETECT", "E_UNIT", "E_CALIBRATION"}
HEADERS = {
    "no SIMPLE": (raw_edit(b"SIMPLE  =", b"SIMPLY  =                    T", at_image=False),
                  {"E_FITS"}),
    "SIMPLE is false": (raw_edit(b"SIMPLE  =", b"SIMPLE  =                    F", at_image=False),
                        {"E_FITS"}),
    "no BITPIX": (raw_edit(b"BITPIX  =", b"BITPIC  =                   16"), {"E_NAXIS"}),
    "BITPIX of 12": (raw_edit(b"BITPIX  =", b"BITPIX  =                   12"), {"E_NAXIS"}),
    "NAXIS of -1": (raw_edit(b"NAXIS   =", b"NAXIS   =                   -1"), {"E_NAXIS"}),
    "NAXIS is a text": (raw_edit(b"NAXIS   =", b"NAXIS   = 'two     '"), {"E_NAXIS"}),
    "NAXIS1 is missing": (raw_edit(b"NAXIS1  =", b"NAXISX  =                   10"), {"E_NAXIS"}),
    "NAXIS1 below zero": (raw_edit(b"NAXIS1  =", b"NAXIS1  =                  -24"), {"E_NAXIS"}),
    "NAXIS1 of two thousand million": (
        raw_edit(b"NAXIS1  =", b"NAXIS1  =           2000000000"), {"E_BOMB"}),
    "NAXIS1 too long for the file": (raw_edit(b"NAXIS1  =", b"NAXIS1  =                90000"),
                                     {"E_TRUNC", "E_BOMB"}),
    "no END": (raw_edit(b"END     ", b"EDN     "), {"E_TRUNC"}),
    "something behind the end": (with_tail, {"E_FITS"}),
    "a flipped bit under a checksum": (bit_in_checked_data, {"E_CHECKSUM"}),
}  # fmt: skip
PIXELS = {
    "all NaN": (with_pixels(lambda v: np.full_like(v, np.nan)), LOST),
    "all zero": (with_pixels(np.zeros_like), LOST),
    "all infinite": (with_pixels(lambda v: np.full_like(v, np.inf)), LOST),
    "all minus infinite": (with_pixels(lambda v: np.full_like(v, -np.inf)), LOST),
    "one value": (with_pixels(lambda v: np.full_like(v, 7.5)), LOST),
    "no centre": (with_pixels(central), LOST),
    "two fifths lost": (with_pixels(scattered), LOST),
    "a table in place of the image": (edited(as_table), GEOMETRY | {"E_HEADER", "E_SCALE"}),
    "an axis too many": (with_pixels(six_axes), GEOMETRY | {"E_CALIBRATION"}),
    "one row of pixels": (with_pixels(lambda v: v[..., :1, :]), GEOMETRY | LOST | {"E_EDGE"}),
}

#: A gap in a large image need not meet any of its objects, and stamps of any size are right where
#: every object has its own.
HARMLESS = {
    "mosaic": ("no centre", "two fifths lost"),
}
#: One damaged HDU leaves the other objects of a file as they are.
SEVERAL_PER_FILE = ("galsim_real", "sunrise")


def kinds_of(name):
    if name in ARRAYS:
        return BYTES
    left_out = HARMLESS.get(name, ())
    return BYTES | HEADERS | {k: v for k, v in PIXELS.items() if k not in left_out}


CASES = [(name, kind) for name in FORMATS for kind in kinds_of(name)]


def first_of(paths):
    return paths[0] if isinstance(paths, list) else paths


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a function: the ingest of a format's collection, good ones alone and with all bad."""
    known = {}

    def result(name):
        if name not in known:
            known[name] = _collection(tmp_path_factory, name)
        return known[name]

    return result


def _collection(tmp_path_factory, name):
    make_card, write = FORMATS[name]
    root = tmp_path_factory.mktemp(name)
    damaged = {}
    for seed in GOOD:
        write(root / "alone" / "files", seed)
        write(root / "beside" / "files", seed)
    for number, (kind, (damage, _)) in enumerate(kinds_of(name).items()):
        path = first_of(write(root / "beside" / "files", 100 + number))
        damage(path)
        damaged[kind] = path.relative_to(root / "beside" / "files").as_posix()
    with pytest.MonkeyPatch.context() as patch:
        read = {}
        for which in ("alone", "beside"):
            patch.setenv("SIMREAL_DATA", str(root / which))
            read[which] = ingest(make_card(), seed=0, store=root / f"{which}.h5")
    return read, damaged


@pytest.mark.parametrize("name", FORMATS)
def test_the_good_ones_are_as_if_the_bad_ones_were_absent(results, name):
    read, _ = results(name)
    alone, beside = read["alone"].images, read["beside"].images
    assert read["alone"].rejected == ()
    if name not in SEVERAL_PER_FILE:
        assert beside.ids.tolist() == alone.ids.tolist()
    good = beside.rows(np.isin(beside.ids, alone.ids))
    assert good.digest == alone.digest
    for field in ("pixel_scale", "psf", "psf_fwhm", "noise", "redshift"):
        ours, theirs = getattr(good.setup, field), getattr(alone.setup, field)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            shape = np.broadcast_shapes(np.shape(ours), np.shape(theirs))
            np.testing.assert_array_equal(
                np.broadcast_to(ours, shape), np.broadcast_to(theirs, shape)
            )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_bad_file_is_named_with_its_fault_and_the_fix(results, name, kind):
    read, damaged = results(name)
    path = damaged[kind]
    rejected = read["beside"].rejected
    own = [row for row in rejected if row.path == f"files/{path}" or path in row.reason]
    assert own, f"nothing was said of {path}"
    for row in own:
        assert row.code in kinds_of(name)[kind][1], row
        assert "\n" not in row.reason
        assert len(row.reason) < 2000
        assert any(
            word in row.reason
            for word in ("fetch", "correct", "remove", "check", "write", "name another", "cut",
                         "git lfs", "convert", "allowed")
        ), row.reason  # fmt: skip


def test_there_are_enough_kinds():
    assert len(BYTES) + len(HEADERS) + len(PIXELS) + len(SPECIAL) >= 45


# ---- damage that only one format can have ----------------------------------------------------


def hdf5_change(**changes):
    return lambda folder, seed: hdf5_keys.write(folder, seed, changes=changes)


def hdf5_edit(edit):
    def damage(folder, seed):
        path = hdf5_keys.write(folder, seed)
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return damage


def _virtual(file):
    layout = h5py.VirtualLayout(shape=(2, 20, 24, 2), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "flux", shape=(2, 20, 24, 2))
    del file["stamps/flux"]
    file["stamps"].create_virtual_dataset("flux", layout)


def _external(file):
    del file["stamps/flux"]
    file["stamps"].create_dataset(
        "flux", (2, 20, 24, 2), "f4", external=[("/etc/hostname", 0, 2 * 20 * 24 * 2 * 4)]
    )


def _replaced(link):
    def edit(file):
        del file["stamps/flux"]
        file["stamps/flux"] = link

    return edit


def _group(file):
    del file["stamps/flux"]
    file["stamps"].create_group("flux")


def _huge(file):
    del file["stamps/flux"]
    file["stamps"].create_dataset("flux", (10**6, 200, 200, 2), "f4", chunks=(1, 200, 200, 2))


def npy(array, **options):
    def damage(folder, seed):
        path, _ = npy_table.write(folder, seed)
        np.save(path, array, **options)
        return path

    return damage


def npy_mask(mask):
    def damage(folder, seed):
        path, mask_path = npy_table.write(folder, seed)
        mask_path.unlink()
        if mask is not None:
            np.save(mask_path, mask)
        return path

    return damage


class Gadget:
    """What would leave a trace if anything were to revive it."""

    def __reduce__(self):
        return (os.mkdir, (os.environ.get("SIMREAL_CANARY", "/nonexistent/canary"),))


def mmu(**changes):
    return lambda folder, seed: multimodal_universe.write(folder, seed, changes=changes)


def scene(**changes):
    return lambda folder, seed: scene_npz.write(folder, seed, changes=changes)


def cube(**options):
    return lambda folder, seed: fits_cube.write(folder, seed, **options)


def stamp_of(change):
    """Return a damage to the second band of a stamp."""

    def damage(folder, seed):
        path = fits_stamps.write(folder, seed)[1]
        edited(change)(path)
        return path

    return damage


def _smaller(unit):
    unit.data = unit.data[:10]


def _with_keys(**keys):
    def change(unit):
        for key, value in keys.items():
            if value is None:
                del unit.header[key]
            else:
                unit.header[key] = value

    return change


def catalogue(**changes):
    def damage(folder, seed):
        galsim_real.write(folder, seed)
        seeds = sorted(int(p.stem[-4:]) for p in folder.glob("real_galaxy_images_*.fits"))
        galsim_real.write_catalogue(folder, **{k: make(seeds) for k, make in changes.items()})
        return folder / f"{1000 * seed}"

    return damage


def _last_two(usual, bad):
    """Return a column maker: as usual, but `bad` for the two galaxies written last."""
    return lambda seeds: np.array([usual] * (2 * len(seeds) - 2) + [bad] * 2)


def psf_of_zeros(folder, seed):
    paths = galsim_real.write(folder, seed)
    edited(lambda unit: setattr(unit, "data", np.zeros((5, 5), ">f4")))(paths[1])
    return paths[1]


def hsc(index, damage):
    def done(folder, seed):
        path = hsc_cutout.write(folder, seed)[index]
        damage(path)
        return path

    return done


def without_mask(path):
    with fits.open(path) as hdus:
        units = [hdu.copy() for hdu in hdus if hdu.name != "" or hdu.data is None]
        units += [hdus[1].copy()]
    fits.HDUList(units[:2]).writeto(path, overwrite=True)


def lonely(write, **options):
    return lambda folder, seed: first_of(write(folder, seed, **options))


def frame_row(*row):
    def damage(folder, seed):
        sdss_frame.write_table(folder, [row])
        return folder / row[0]

    return damage


SPECIAL = {
    "hdf5: a soft link": ("hdf5_keys", hdf5_edit(_replaced(h5py.SoftLink("/stamps/flag"))),
                          "E_LINK"),
    "hdf5: a dangling link": ("hdf5_keys", hdf5_edit(_replaced(h5py.SoftLink("/nowhere"))),
                              "E_LINK"),
    "hdf5: a link to itself": ("hdf5_keys", hdf5_edit(_replaced(h5py.SoftLink("/stamps/flux"))),
                               "E_LINK"),
    "hdf5: a link to another file": (
        "hdf5_keys", hdf5_edit(_replaced(h5py.ExternalLink("other.h5", "/flux"))), "E_LINK"),
    "hdf5: virtual data": ("hdf5_keys", hdf5_edit(_virtual), "E_LINK"),
    "hdf5: data in another file": ("hdf5_keys", hdf5_edit(_external), "E_LINK"),
    "hdf5: 160 GB declared": ("hdf5_keys", hdf5_edit(_huge), "E_BOMB"),
    "hdf5: no images": ("hdf5_keys", hdf5_change(flux=None), "E_KEY"),
    "hdf5: a group in place of images": (
        "hdf5_keys", hdf5_edit(_group), "E_KEY"),
    "hdf5: no ids": ("hdf5_keys", hdf5_change(name=None), "E_KEY"),
    "hdf5: too few ids": ("hdf5_keys", hdf5_change(name=np.array(["one"], dtype=object)),
                          "E_SHAPE"),
    "hdf5: an axis missing": ("hdf5_keys", hdf5_change(flux=np.ones((2, 20, 24))), "E_SHAPE"),
    "hdf5: no objects": ("hdf5_keys", hdf5_change(flux=np.ones((0, 20, 24, 2))), "E_SHAPE"),
    "hdf5: a plane too many": ("hdf5_keys", hdf5_change(flux=np.random.default_rng(0).random(
        (2, 20, 24, 3))), "E_BANDS"),
    "hdf5: texts for images": ("hdf5_keys", hdf5_change(
        flux=np.full((2, 2, 2, 2), "x", dtype=object)), "E_DTYPE"),
    "hdf5: complex images": ("hdf5_keys", hdf5_change(flux=np.ones((2, 20, 24, 2), complex)),
                             "E_DTYPE"),
    "hdf5: a mask of other objects": ("hdf5_keys", hdf5_change(flag=np.zeros((3, 20, 24), "u1")),
                                      "E_SHAPE"),
    "hdf5: a mask of another size": ("hdf5_keys", hdf5_change(flag=np.zeros((2, 9, 9), "u1")),
                                     "E_SIZE"),
    "mmu: no images": ("multimodal_universe", mmu(image_array=None), "E_KEY"),
    "mmu: no mask": ("multimodal_universe", mmu(image_mask=None), "E_KEY"),
    "mmu: a band missing": ("multimodal_universe", mmu(
        image_band=np.array([[b"hsc-g", b"hsc-r", b"hsc-z"]] * 2)), "E_BANDS"),
    "mmu: two names for three planes": ("multimodal_universe", mmu(
        image_band=np.array([[b"hsc-g", b"hsc-i"]] * 2)), "E_BANDS"),
    "mmu: everything masked": ("multimodal_universe", mmu(
        image_mask=np.zeros((2, 3, 20, 24), bool)), "E_EMPTY"),
    "mmu: a scale of nothing": ("multimodal_universe", mmu(image_scale=np.zeros((2, 3))),
                                "E_SCALE"),
    "npy: objects": ("npy_table", npy(np.array([Gadget()] * 4), allow_pickle=True), "E_DTYPE"),
    "npy: an axis missing": ("npy_table", npy(np.ones((2, 20, 24))), "E_SHAPE"),
    "npy: a plane missing": ("npy_table", npy(22 + np.random.default_rng(0).random(
        (2, 2, 20, 24))), "E_BANDS"),
    "npy: texts": ("npy_table", npy(np.full((2, 3, 4, 4), "x")), "E_DTYPE"),
    "npy: linear pixels for magnitudes": ("npy_table", npy(1e3 * np.random.default_rng(0).random(
        (2, 3, 20, 24))), "E_UNIT"),
    "npy: no mask": ("npy_table", npy_mask(None), "E_NOFILE"),
    "npy: a mask of other rows": ("npy_table", npy_mask(np.zeros((5, 20, 24), bool)), "E_SHAPE"),
    "npz: no catalogue": ("scene_npz", scene(catalog=None), "E_KEY"),
    "npz: a catalogue without x": ("scene_npz", scene(
        catalog=np.array([(1.0,)], dtype=[("row", "f8")])), "E_KEY"),
    "npz: a position outside": ("scene_npz", scene(
        catalog=np.array([(99.0, 5.0)], dtype=[("x", "f8"), ("y", "f8")])), "E_EDGE"),
    "npz: a position that is no number": ("scene_npz", scene(
        catalog=np.array([(np.nan, 5.0)], dtype=[("x", "f8"), ("y", "f8")])), "E_MISSING"),
    "npz: a filter too few": ("scene_npz", scene(filters=np.array(["g"])), "E_BANDS"),
    "npz: an unknown filter": ("scene_npz", scene(filters=np.array(["g", "w"])), "E_BANDS"),
    "npz: a mask of another size": ("scene_npz", scene(mask=np.zeros((2, 3, 3), int)), "E_SIZE"),
    "npz: objects": ("scene_npz", scene(catalog=np.array([Gadget()] * 2)), "E_DTYPE"),
    "cube: a plane without a name": ("fits_cube", cube(keys={"FILTER1": ""}), "E_BANDS"),
    "cube: a plane named twice": ("fits_cube", cube(keys={"FILTER1": "DECam g"}), "E_BANDS"),
    "cube: no such unit": ("fits_cube", cube(keys={"BUNIT": "furlongs"}), "E_UNIT"),
    "cube: no unit": ("fits_cube", cube(keys={"BUNIT": ""}), "E_UNIT"),
    "cube: an X-ray unit": ("fits_cube", cube(keys={"BUNIT": "1/s/cm2/keV/arcsec2"}), "E_UNIT"),
    "cube: a scale of nothing": ("fits_cube", cube(keys={"PIXSCALE": 0.0}), "E_SCALE"),
    "cube: a scale in degrees": ("fits_cube", cube(keys={"PIXSCALE": 0.262 / 3600}), "E_SCALE"),
    "cube: a scale that is a text": ("fits_cube", cube(keys={"PIXSCALE": "0.262"}), "E_SCALE"),
    "stamps: bands of two sizes": ("fits_stamps", stamp_of(_smaller), "E_SIZE"),
    "stamps: bands of two scales": ("fits_stamps", stamp_of(
        _with_keys(CDELT1=0.06 / 3600, CDELT2=0.06 / 3600)), "E_SCALE"),
    "stamps: no WCS": ("fits_stamps", stamp_of(_with_keys(CTYPE1=None)), "E_SCALE"),
    "stamps: a singular WCS": ("fits_stamps", stamp_of(_with_keys(PC1_1=0.0, PC1_2=0.0)),
                               "E_SCALE"),
    "stamps: oblong pixels": ("fits_stamps", stamp_of(_with_keys(CDELT2=1e-4)), "E_SCALE"),
    "stamps: a band missing": ("fits_stamps", lonely(fits_stamps.write, bands=("f115w",)),
                               "E_BANDS"),
    "galsim: no noise": ("galsim_real", catalogue(
        NOISE_VARIANCE=_last_two(galsim_real.VARIANCE, 0.0)), "E_HEADER"),
    "galsim: another band": ("galsim_real", catalogue(BAND=_last_two("F814W", "F606W")),
                             "E_BANDS"),
    "galsim: a file that is not there": ("galsim_real", catalogue(
        GAL_FILENAME=lambda seeds: np.array(
            [f"real_galaxy_images_{s:04d}.fits" for s in seeds[:-1] for _ in (0, 1)]
            + ["gone.fits"] * 2)), "E_READ"),
    "galsim: an HDU that is not there": ("galsim_real", catalogue(
        GAL_HDU=lambda seeds: np.array([0, 1] * (len(seeds) - 1) + [7, 8], dtype=np.int32)),
        "E_HDU"),
    "galsim: a PSF of zeros": ("galsim_real", psf_of_zeros, "E_PSF"),
    "hsc: another zero point": ("hsc_cutout", lonely(hsc_cutout.write, flux_of_zero=1e9),
                                "E_UNIT"),
    "hsc: a zero point of nothing": ("hsc_cutout", lonely(hsc_cutout.write, flux_of_zero=0.0),
                                     "E_UNIT"),
    "hsc: a PSF that is a web page": ("hsc_cutout", hsc(2, lambda p: p.write_bytes(PAGE)),
                                      "E_HTML"),
    "hsc: no mask": ("hsc_cutout", hsc(0, without_mask), "E_HDU"),
    "legacy: a band missing": ("legacy_cutout", lonely(legacy_cutout.write, bands="gr"),
                               "E_BANDS"),
    "legacy: no mask bits": ("legacy_cutout", lonely(legacy_cutout.write, maskbits=False),
                             "E_HDU"),
    "ps1: no softening": ("panstarrs", lonely(panstarrs.write, keys={"BSOFTEN": None}),
                          "E_HEADER"),
    "ps1: an exposure of nothing": ("panstarrs", lonely(panstarrs.write, keys={"EXPTIME": 0.0}),
                                    "E_HEADER"),
    "sdss: a field without frames": ("sdss_frame", frame_row("a", 150.0, 2.0, "none"),
                                     "E_NOFILE"),
    "sdss: no declination": ("sdss_frame", frame_row("b", 150.0, "", "000001-1-0001"),
                             "E_MISSING"),
    "sdss: a galaxy off its frame": ("sdss_frame", frame_row("c", 150.9, 2.0, "000001-1-0001"),
                                     "E_EDGE"),
    "sdss: a galaxy behind us": ("sdss_frame", frame_row("d", 330.0, -2.0, "000001-1-0001"),
                                 "E_EDGE"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPECIAL)
def test_a_fault_of_one_format(tmp_path, monkeypatch, what):
    name, damage, code = SPECIAL[what]
    make_card, write = FORMATS[name]
    canary = tmp_path / "canary"
    monkeypatch.setenv("SIMREAL_CANARY", str(canary))
    for folder in ("alone", "beside"):
        for seed in GOOD:
            write(tmp_path / folder / "files", seed)
    bad = damage(tmp_path / "beside" / "files", 50)
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path / "alone"))
    alone = ingest(make_card(), seed=0, store=tmp_path / "alone.h5").images
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path / "beside"))
    beside = ingest(make_card(), seed=0, store=tmp_path / "beside.h5")
    good = beside.images.rows(np.isin(beside.images.ids, alone.ids))
    assert good.digest == alone.digest
    assert len(good) == len(beside.images) or name in SEVERAL_PER_FILE
    assert {row.code for row in beside.rejected} == {code}
    for row in beside.rejected:
        assert "\n" not in row.reason
        # The seed 50 is in the ids of what was damaged, or the name of the file is.
        assert bad.name.split(".")[0] in row.reason or "50" in row.id
    assert not canary.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_but_bad_files_is_an_error_that_shows_the_first(tmp_path, monkeypatch, name):
    make_card, write = FORMATS[name]
    first_of(write(tmp_path / "files", 1)).write_bytes(PAGE)
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    with pytest.raises(NothingUsableError, match="web page"):
        ingest(make_card(), seed=0, store=tmp_path / "store.h5")
    assert not (tmp_path / "store.h5").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_an_unknown_option_is_refused_with_the_nearest(tmp_path, monkeypatch, name):
    make_card, write = FORMATS[name]
    write(tmp_path / "files", 1)
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    card = make_card()
    files = card.files.model_copy(update={"options": {**card.files.options, "filterz": {}}})
    with pytest.raises(UsageError, match="filterz"):
        ingest(card.model_copy(update={"files": files}), seed=0, store=tmp_path / "store.h5")
