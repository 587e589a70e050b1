"""Bands: the planes that a comparison is allowed to see."""

import numpy as np

from simreal.core.images import ImageSet, Step


def luminance(images: ImageSet) -> ImageSet:
    """Return `images` with one plane, the plain mean of their display planes.

    The colours of a composite depend on a display mapping that is rarely documented; the
    mean of the planes is the least that mapping can spoil, so rgb scores lead with it.

    Parameters
    ----------
    images : ImageSet
        Matched stamps ``(n, band, y, x)``; small enough to hold in memory.

    Returns
    -------
    ImageSet
        The same objects with images ``(n, 1, y, x)`` and the single band ``"luminance"``.

    Examples
    --------
    >>> from simreal.core.images import Setup
    >>> setup = Setup(track="rgb", bands=("red", "green"), unit="display")
    >>> pair = ImageSet(
    ...     name="pair", role="observed", sampling="random", images=np.ones((2, 2, 8, 8)),
    ...     ids=np.array(["a", "b"]), groups=np.array(["a", "b"]), setup=setup,
    ... )
    >>> luminance(pair).images.shape
    (2, 1, 8, 8)
    """
    planes = np.concatenate(
        [block.mean(axis=1, keepdims=True, dtype=np.float32) for _, block in images.chunks()]
    )
    setup = images.setup
    changes = {
        name: None if value is None else value.mean(axis=-1, keepdims=True)
        for name, value in (("noise", setup.noise), ("psf_fwhm", setup.psf_fwhm))
    }
    if setup.psf is not None:
        changes["psf"] = setup.psf.mean(axis=-3, keepdims=True)
    flat = setup.replace(bands=("luminance",), **changes)
    mask = None if images.mask is None else images.mask.any(axis=1, keepdims=True)
    return images.replace(images=planes, mask=mask, setup=flat).with_step(
        Step(name="luminance", note=f"mean of the planes {', '.join(setup.bands)}")
    )
