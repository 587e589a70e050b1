"""``shalo_*_HSC_GRIZY.fits`` and ``shalo_*_photo.fits`` as Bottrell's code writes them."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = tuple(f"hsc-{band}" for band in "grizy")
REDSHIFT, KPC_PER_ARCSEC, PIXEL_SCALE = 0.3999, 5.537166289932526, 0.169
#: [nanomaggy^2], by band
VARIANCE = 1e-7 * np.arange(1, 6)
DETECTED, NO_DATA, BRIGHT_OBJECT = 1 << 5, 1 << 8, 1 << 9


def card(*, options=None, **changes):
    calibration = {
        "unit": "nanomaggy",
        "pixel_scale_from": "FOVARC / NAXIS1",
        "mask": "bits",
        "mask_bits": (0, 1, 4, 8),
        "already_dimmed": True,
    }
    return make_card(
        "tng_hsc", BANDS, calibration | changes, options=options, view={"rendition": "survey"}
    )


def ideal_card(*, options=None, **changes):
    calibration = {
        "unit": "mag/arcsec2",
        "pixel_scale_from": "adapter",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {"cosmology": "Planck15"} if options is None else options
    return make_card("tng_hsc", BANDS, calibration | changes, options=options)


def pixels(seed):
    """Return what is written [nanomaggy]."""
    return planes(seed, 5)


def flags(seed):
    """Return planes of flags: a star near by, a real neighbour, one pixel without data."""
    found = np.full((5, *SIZE), BRIGHT_OBJECT, np.int32)
    found[:, 14:19, 2:7] |= DETECTED
    found[2, 0, seed % SIZE[1]] |= NO_DATA
    return found


def kernel():
    """Return a PSF of even height and odd width, brightest at index k // 2."""
    y, x = np.mgrid[:6, :7]
    return np.exp(-0.5 * ((y - 3) ** 2 + (x - 3) ** 2))


def _head(hdu, band, seed, unit):
    header = hdu.header
    header["ORIGIN"] = "SKIRT 9 Simulation"
    header["SIMTAG"], header["SNAPNUM"], header["SUBHALO"] = "TNG50-1", 72, 100 + seed
    header["CAMERA"] = f"v{seed % 4}"
    header["COSMO"], header["REDSHIFT"] = "Planck15", REDSHIFT
    header["FILTER"] = f"Subaru_HSC.{band if band != 'y' else 'Y'}"
    header["BUNIT"] = unit
    return header


def write(folder, seed, *, name=None, bands="grizy", psf=False, keys=None, lower=False):
    """Write a realistic image; `keys` change the header of the first band."""
    folder.mkdir(parents=True, exist_ok=True)
    units = []
    for i, band in enumerate("grizy"):
        if band not in bands:
            continue
        title = f"SUBARU_HSC.{band.upper()}"
        title = title.lower() if lower else title
        kind = fits.PrimaryHDU if not units else fits.ImageHDU
        hdu = kind(pixels(seed)[i].astype(">f8"))
        header = _head(hdu, band, seed, "AB nanomaggies, m_AB = 22.5-2.5log10(f)")
        header["EXTNAME"] = title
        parsec = 1e3 * KPC_PER_ARCSEC * PIXEL_SCALE
        for axis in (1, 2):
            header[f"CDELT{axis}"], header[f"CTYPE{axis}"] = parsec, "pc"
        header["FOVARC"] = PIXEL_SCALE * SIZE[1]
        header["FOVKPC"] = PIXEL_SCALE * SIZE[1] * KPC_PER_ARCSEC
        header["KPCARC"], header["DLUM"] = KPC_PER_ARCSEC, 2238.240379736015
        header["APMAG"] = 22.5 - 2.5 * np.log10(pixels(seed)[i].sum())
        for key, value in (keys or {}).items() if not units else ():
            if value is None:
                del header[key]
            else:
                header[key] = value
        variance = np.full(SIZE, VARIANCE[i], ">f4")
        units += [
            hdu,
            fits.ImageHDU(flags(seed)[i].astype(">i4"), name=f"{title} MASK"),
            fits.ImageHDU(variance, name=f"{title} VARIANCE"),
        ]
        if psf:
            units.append(fits.ImageHDU(kernel().astype(">f8"), name=f"{title} PSF"))
    path = folder / (name or f"shalo_072-{100 + seed}_v{seed % 4}_HSC_GRIZY.fits")
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def write_ideal(folder, seed, *, name=None, side=SIZE):
    """Write an idealised image: the same light in AB mag/arcsec2, one pixel empty."""
    folder.mkdir(parents=True, exist_ok=True)
    units = []
    for i, band in enumerate("grizy"):
        light = pixels(seed)[i] / PIXEL_SCALE**2
        light[0, 0] = 0.0
        with np.errstate(divide="ignore"):
            brightness = 22.5 - 2.5 * np.log10(light)
        kind = fits.PrimaryHDU if not units else fits.ImageHDU
        hdu = kind(brightness.astype(">f4"))
        header = _head(hdu, band, seed, "AB mag/arcsec2")
        header["EXTNAME"] = f"SUBARU_HSC.{band.upper()}"
        for axis in (1, 2):
            header[f"CDELT{axis}"] = KPC_PER_ARCSEC * PIXEL_SCALE
            header[f"CTYPE{axis}"] = "kpc"
        units.append(hdu)
    path = folder / (name or f"shalo_072-{100 + seed}_v{seed % 4}_photo.fits")
    fits.HDUList(units).writeto(path, overwrite=True)
    return path
