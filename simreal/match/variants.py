"""What of the matched stamps an encoder is shown: the lead first, and one that knows less."""

from collections.abc import Mapping

import numpy as np

from simreal.core.images import ImageSet, Step, Track
from simreal.match.bands import luminance
from simreal.match.stretch import flux_of, per_image, softening_of

#: rgb leads with luminance: the colours of a composite hang on its display mapping. Calibrated
#: images lead with all they hold.
VARIANTS: Mapping[Track, tuple[str, str]] = {
    "rgb": ("luminance", "colour"),
    "flux": ("flux", "shape"),
    "xray": ("luminance", "colour"),
}


def shown(images: ImageSet, variant: str) -> ImageSet:
    """Return the stamps as an encoder of this variant sees them.

    ``luminance`` is the mean of the planes, ``shape`` is blind to brightness and colour, and
    ``colour`` and ``flux`` are the stamps as they are.
    """
    if variant == "luminance":
        return luminance(images)
    return shape(images) if variant == "shape" else images


def shape(images: ImageSet) -> ImageSet:
    """Return one plane per image that tells neither how bright an object is nor of what colour.

    The bands are taken back to flux, added in units of their noise, and divided by the image's
    own brightest light. How faint an object was still shows in its noise.
    """
    softening = softening_of(images.setup.display)
    planes = []
    for _, block in images.chunks():
        flux = flux_of(block, softening) / softening.astype(np.float32)[:, None, None]
        planes.append(per_image(flux.mean(axis=1, keepdims=True)))
    setup = images.setup
    widths = setup.psf_fwhm
    changes = {
        "psf_fwhm": None if widths is None else widths.mean(axis=-1, keepdims=True),
        # The noise of a plane that is divided by its own light is no condition of the survey.
        "noise": None,
    }
    mask = None if images.mask is None else images.mask.any(axis=1, keepdims=True)
    flat = setup.replace(bands=("shape",), display="asinh per image", **changes)
    return images.replace(images=np.concatenate(planes), mask=mask, setup=flat).with_step(
        Step(name="shape", note=f"bands {', '.join(setup.bands)} added, divided by their own light")
    )
