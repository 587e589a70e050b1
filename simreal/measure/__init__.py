"""Measurements on images: sky, sources, radii, shapes, PSF widths and power spectra."""
