"""FITS of others: bit for bit what astropy reads, or refused in one line."""

import gzip
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from simreal.core.cards import Calibration
from simreal.data._files import FoundFile
from simreal.data._fits import (
    flag_plane,
    header_number,
    image_plane,
    opened_fits,
    peek_size,
    table_columns,
)
from simreal.data._fits_header import Header
from simreal.data._open_files import kept_open
from simreal.data._planes import bad_pixels, kernel_of, pixel_scale_of, wcs_scale
from simreal.data._quarantine import BadFileError

SHAPE = (5, 7)


def found(path):
    return FoundFile(name=path.name, path=path)


def plain(folder, dtype=">f4", name="a.fits", **keys):
    rng = np.random.default_rng(3)
    values = rng.normal(0, 50, SHAPE)
    hdu = fits.PrimaryHDU(values.astype(dtype))
    for key, value in keys.items():
        hdu.header[key] = value
    hdu.writeto(folder / name, overwrite=True)
    return folder / name


def reason(path, work=image_plane):
    with pytest.raises(BadFileError) as caught, opened_fits(found(path)) as hdus:
        work(hdus)
    assert "\n" not in caught.value.reason
    assert "allowed" in caught.value.reason or "fetch" in caught.value.reason
    return caught.value


@pytest.mark.parametrize("dtype", ["u1", ">i2", ">i4", ">i8", ">f4", ">f8"])
def test_pixels_are_those_of_astropy_in_native_order(tmp_path, dtype):
    path = plain(tmp_path, dtype)
    with opened_fits(found(path)) as hdus:
        pixels, header = image_plane(hdus)
    assert pixels.dtype == np.float32
    assert pixels.dtype.isnative
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, fits.getdata(path).astype(np.float32))
    assert header["NAXIS1"] == SHAPE[1]


def test_scaled_integers_blanks_and_the_unsigned_trick(tmp_path):
    stored = np.array([[1, 2, -5], [7, 0, 30000]], ">i2")
    path = tmp_path / "scaled.fits"
    fits.PrimaryHDU(stored).writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as opened:
        opened[0].header["BSCALE"], opened[0].header["BZERO"] = 0.5, 10.0
        opened[0].header["BLANK"] = 7
    with opened_fits(found(path)) as hdus:
        pixels, _ = image_plane(hdus)
    # By hand: 10 + value / 2, and 7 is blank.
    np.testing.assert_array_equal(pixels, [[10.5, 11.0, 7.5], [np.nan, 10.0, 15010.0]])
    unsigned = np.array([[0, 40000], [65535, 1]], np.uint16)
    fits.PrimaryHDU(unsigned).writeto(tmp_path / "unsigned.fits")
    with opened_fits(found(tmp_path / "unsigned.fits")) as hdus:
        np.testing.assert_array_equal(image_plane(hdus)[0], unsigned.astype(np.float32))


def test_tile_compressed_images(tmp_path):
    values = np.arange(400, dtype=np.int32).reshape(20, 20)
    path = tmp_path / "packed.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(values, compression_type="RICE_1")]).writeto(
        path
    )
    with opened_fits(found(path)) as hdus:
        assert [unit.kind for unit in hdus] == ["empty", "compressed image"]
        np.testing.assert_array_equal(image_plane(hdus)[0], values)
    assert peek_size(path) == (20, 20)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_packed_files_are_told_by_their_bytes(tmp_path, packing):
    import bz2
    import lzma

    path = plain(tmp_path)
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packing]
    other = tmp_path / "b.fits"
    other.write_bytes(pack(path.read_bytes()))
    with opened_fits(found(path)) as one, opened_fits(found(other)) as two:
        np.testing.assert_array_equal(image_plane(one)[0], image_plane(two)[0])
    assert peek_size(other) == SHAPE


def test_flags_keep_every_bit(tmp_path):
    flags = np.array([[1 << 30, (1 << 24) + 1], [0, 5]], ">i4")
    fits.PrimaryHDU(flags).writeto(tmp_path / "m.fits")
    with opened_fits(found(tmp_path / "m.fits")) as hdus:
        read, _ = flag_plane(hdus, 0)
        np.testing.assert_array_equal(read, flags)
        # float32 has no room for the lowest bit, which is why there is a reader for flags.
        assert image_plane(hdus)[0][0, 1] != flags[0, 1]
    given = Calibration(
        unit="nJy", pixel_scale=1.0, mask="bits", mask_bits=(0, 30), already_dimmed=True
    )
    np.testing.assert_array_equal(bad_pixels(given, read), [[True, True], [False, True]])


def test_a_mask_of_fractions_is_refused(tmp_path):
    path = plain(tmp_path)
    assert reason(path, lambda hdus: flag_plane(hdus, 0)).code == "E_MASK"


def test_headers_read_as_astropy_reads_them(tmp_path):
    header = fits.Header()
    header["TEXT"] = "it's a 'quote'   "
    header["LONG"] = "x" * 150
    header["NUMBER"], header["WHOLE"], header["YES"] = -1.5e-7, 42, True
    header["EMPTY"] = None
    header["HIERARCH MP_BRIGHT_OBJECT"] = 9
    header["COMMENT"] = "nothing"
    header["TWICE"] = 1
    header.append(("TWICE", 2))
    fits.PrimaryHDU(np.ones((2, 2)), header).writeto(tmp_path / "h.fits")
    ours = Header((tmp_path / "h.fits").read_bytes()[: 2880 * 2])
    theirs = fits.getheader(tmp_path / "h.fits")
    for key in ("TEXT", "LONG", "NUMBER", "WHOLE", "YES", "MP_BRIGHT_OBJECT", "TWICE", "BITPIX"):
        assert ours[key] == theirs[key], key
        assert type(ours[key]) is type(theirs[key])
    assert ours["EMPTY"] is None
    assert ours.get("ABSENT", 3) == 3
    fortran = "VALUE   =              1.25D-03 / double".ljust(80) + "END".ljust(80)
    assert Header(fortran.encode())["value"] == 1.25e-3


@pytest.mark.parametrize("value", ["text", None, True, "nan"])
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(BadFileError, match="KEY"):
        header_number({"KEY": value}, "KEY")


def test_tables_come_in_native_order_and_text(tmp_path):
    columns = [
        fits.Column(name="name", format="6A", array=np.array(["ab", "c"])),
        fits.Column(name="value", format="2D", array=np.array([[1.0, 2.0], [3.0, 4.0]])),
    ]
    path = tmp_path / "t.fits"
    tables = [fits.BinTableHDU.from_columns(columns), fits.TableHDU.from_columns(columns[:1])]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    with opened_fits(found(path)) as hdus:
        read = table_columns(hdus, 1)
        assert read["name"].tolist() == ["ab", "c"]
        assert read["value"].dtype.isnative
        np.testing.assert_array_equal(read["value"], [[1, 2], [3, 4]])
        assert table_columns(hdus, 2)["name"].tolist() == ["ab", "c"]
    assert reason(path).code == "E_HDU"


def several(folder):
    path = folder / "several.fits"
    units = [fits.ImageHDU(np.full(SHAPE, i, ">f4"), name=name) for i, name in enumerate("AB")]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path, overwrite=True)
    return path


def test_which_image_is_never_guessed(tmp_path):
    path = several(tmp_path)
    error = reason(path)
    assert error.code == "E_HDU"
    assert "HDU 1 (A, image 5 x 7)" in error.reason
    with opened_fits(found(path)) as hdus:
        assert image_plane(hdus, "b")[0][0, 0] == 1
        assert "a" in hdus
        assert "c" not in hdus
    assert "'C'" in reason(path, lambda hdus: image_plane(hdus, "C")).reason
    assert reason(path, lambda hdus: image_plane(hdus, 0)).code == "E_HDU"
    assert reason(path, lambda hdus: image_plane(hdus, 9)).code == "E_HDU"


def test_truncation_says_how_much_is_there(tmp_path):
    path = plain(tmp_path)
    path.write_bytes(path.read_bytes()[: 2880 + 100])
    error = reason(path)
    assert (error.code, "got 100 of 140 bytes" in error.reason) == ("E_TRUNC", True)


def test_a_file_without_its_padding_is_whole(tmp_path):
    path = plain(tmp_path)
    whole = fits.getdata(path)
    path.write_bytes(path.read_bytes()[: 2880 + 140])
    with opened_fits(found(path)) as hdus:
        np.testing.assert_array_equal(image_plane(hdus)[0], whole)


def test_every_flipped_bit_is_found_where_there_are_checksums(tmp_path):
    path = tmp_path / "sum.fits"
    values = np.random.default_rng(0).normal(0, 1, (3, 4)).astype(">f4")
    fits.PrimaryHDU(values).writeto(path, checksum=True)
    with opened_fits(found(path)) as hdus:
        image_plane(hdus)
    raw = path.read_bytes()
    # Not in the keys that say what is there: they have faults of their own.
    for at in [*range(2880, 2880 + 48), *range(240, 2880, 97)]:
        damaged = bytearray(raw)
        damaged[at] ^= 4
        path.write_bytes(bytes(damaged))
        with pytest.raises(BadFileError), opened_fits(found(path)) as hdus:
            image_plane(hdus)


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path):
    path = plain(tmp_path)
    raw = path.read_bytes()
    huge = raw.replace(b"NAXIS1  =                    7", b"NAXIS1  =           2000000000")
    path.write_bytes(huge)
    assert reason(path).code == "E_BOMB"
    path.write_bytes(gzip.compress(huge))
    assert reason(path).code == "E_BOMB"
    path.write_bytes(gzip.compress(raw + bytes(70 << 20)))
    assert reason(path).code == "E_BOMB"


def test_random_damage_is_read_or_refused_never_raised(tmp_path):
    path = several(tmp_path)
    raw = path.read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(300):
        damaged = bytearray(raw[: rng.integers(0, len(raw) + 1)] if rng.random() < 0.3 else raw)
        for at in rng.integers(0, max(len(damaged), 1), 3):
            if damaged:
                damaged[at % len(damaged)] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        peek_size(path)
        with suppress(BadFileError), opened_fits(found(path)) as hdus:
            for unit in hdus:
                if unit.is_image:
                    image_plane(hdus, unit.index)


def test_open_files_are_limited_and_faults_are_remembered(tmp_path):
    paths = [plain(tmp_path, name=f"{i}.fits") for i in range(4)]
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"")
    opened = []

    def opener(file):
        opened.append(file.name)
        return opened_fits(file)

    with kept_open(opener, limit=2) as get:
        for _ in range(3):
            get(found(paths[0]))
        for path in paths:
            get(found(path))
        get(found(paths[0]))
        for _ in range(2):
            with pytest.raises(BadFileError):
                get(found(bad))
    assert opened == ["0.fits", "1.fits", "2.fits", "3.fits", "0.fits", "bad.fits"]


# ---- scales and kernels ----------------------------------------------------------------------


def rotated(scale, angle, *, cd=True, flip=-1.0):
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[flip * cos, sin], [flip * -sin, cos]])
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    names = ("1_1", "1_2", "2_1", "2_2")
    if cd:
        cards = zip(names, (matrix * scale / 3600).ravel().tolist(), strict=True)
        return header | {f"CD{name}": value for name, value in cards}
    cards = zip(names, matrix.ravel().tolist(), strict=True)
    steps = {"CDELT1": scale / 3600, "CDELT2": scale / 3600}
    return header | steps | {f"PC{name}": value for name, value in cards}


@pytest.mark.parametrize("cd", [True, False])
@pytest.mark.parametrize("angle", [0.0, 0.3, 2.5])
def test_the_scale_of_a_wcs_is_astropys(cd, angle):
    header = rotated(0.168, angle, cd=cd)
    assert wcs_scale(header) == pytest.approx(0.168, rel=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = WCS(fits.Header(header)).proj_plane_pixel_area().to_value("arcsec2") ** 0.5
    assert wcs_scale(header) == pytest.approx(theirs, rel=1e-8)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"CTYPE1": "WAVE", "CDELT1": 1.0, "CDELT2": 1.0},
        {"CTYPE1": "RA---TAN"},
        rotated(0.2, 0.1) | {"CD2_2": 0.0, "CD2_1": 0.0},
        rotated(0.2, 0.0) | {"CD2_2": 0.3 / 3600},
        rotated(0.2, 0.0) | {"CUNIT1": "pc"},
        rotated(0.2, 0.0) | {"CD1_1": "text"},
    ],
)
def test_a_scale_is_never_made_up(header):
    with pytest.raises(BadFileError) as caught:
        wcs_scale(header)
    assert caught.value.code in ("E_SCALE", "E_HEADER")


def test_the_way_to_the_scale_is_the_cards():
    def given(**fields):
        return Calibration(unit="nJy", mask="none", already_dimmed=True, **fields)

    assert pixel_scale_of(given(pixel_scale=0.4), {}).arcsec == 0.4
    kpc = given(pixel_scale_from="header CDELT1", pixel_scale_unit="kpc")
    scale = pixel_scale_of(kpc, {"CDELT1": 0.5})
    assert (scale.kpc, scale.arcsec) == (0.5, None)
    for header in ({}, {"CDELT1": -1.0}, {"CDELT1": "wide"}):
        with pytest.raises(BadFileError, match="CDELT1") as caught:
            pixel_scale_of(kpc, header)
        assert caught.value.code == "E_SCALE"


@pytest.mark.parametrize("shape", [(7, 7), (6, 7), (6, 6), (5, 9)])
def test_a_kernel_is_square_odd_centred_and_sums_to_one(shape):
    stamp = np.zeros(shape)
    stamp[shape[0] // 2, shape[1] // 2] = 4.0
    kernel = kernel_of(stamp)
    side = len(kernel)
    assert kernel.shape == (side, side)
    assert side % 2 == 1
    assert kernel[side // 2, side // 2] == 1.0


@pytest.mark.parametrize("stamp", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones(3)])
def test_a_psf_of_nothing_is_refused(stamp):
    with pytest.raises(BadFileError, match="PSF"):
        kernel_of(stamp)


# ---- real files ------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("folder", ["ceers", "cosmos_galsim", "tng50_hsc", "xmm", "tng_xmm"])
def test_real_files_are_read_bit_for_bit_as_by_astropy(real_data, folder):
    files = sorted(p for p in (real_data(folder) / folder).rglob("*.fits*"))
    assert files
    for path in files[:12]:
        if path.stat().st_size < 2880:
            assert reason(path).code == "E_FITS"  # a Git LFS pointer among the real files
            continue
        with (
            warnings.catch_warnings(),
            opened_fits(found(path)) as hdus,
            fits.open(path) as theirs,
        ):
            warnings.simplefilter("ignore")
            assert len(hdus) == len(theirs)
            for unit in hdus:
                if unit.is_image:
                    pixels, _ = image_plane(hdus, unit.index)
                    expected = theirs[unit.index].data.astype(np.float32)
                    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.real
def test_a_real_malformed_file_is_refused(real_data):
    files = sorted(Path(real_data("the300") / "the300").rglob("*.fits*"))
    assert {reason(path).code for path in files} == {"E_FITS"}
