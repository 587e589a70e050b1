"""Wrap the flux of a matched side as a set: stretch, setup, history."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.images import ArraySource, ImageSet, Setup, Step
from simreal.match.flux.optics import PIXEL_FWHM, Blur, width_on_frame
from simreal.match.flux.skies import Rendered
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.sides import Party
from simreal.match.stamps import matched_set
from simreal.match.stretch import fixed_asinh, named


def stretched_set(
    party: Party,
    own: Blur,
    made: Rendered,
    frame: CommonFrame,
    softening: Float64Array,
    job: Job,
) -> ImageSet:
    """Return the matched stamps of one side, through the one stretch of both.

    They take the place of the flux, which nobody needs any more: both at once would be twice
    the memory of a survey.
    """
    setup = _setup(party, own, made, frame, softening, job)
    steps = [*party.steps, *_steps(party, own, made)]
    return matched_set(party, _shown(made.flux, softening), setup, steps=steps)


def _setup(
    party: Party,
    own: Blur,
    made: Rendered,
    frame: CommonFrame,
    softening: Float64Array,
    job: Job,
) -> Setup:
    stamp = job.recipe.stamp
    native = np.broadcast_to(np.asarray(party.images.setup.pixel_scale, np.float64), (len(party),))
    to_stamp = (job.scale(party) / native)[:, None] * stamp / frame.width
    # A star on the stamps shows their own pixel too.
    widths = np.hypot(own.target * to_stamp, PIXEL_FWHM)
    shown = fixed_asinh(np.ones((1, len(softening), 1, 1), np.float32), softening)
    zero = fixed_asinh(np.zeros((1, len(softening), 1, 1), np.float32), softening)
    slope = (shown - zero).astype(np.float64)[0, :, 0, 0]
    return party.images.setup.replace(
        unit="display",
        display=named(softening),
        frame=frame.kind,
        frame_width=frame.width,
        pixel_scale=frame.width / stamp if frame.kind == "angular" else None,
        physical_scale=frame.width / stamp if frame.kind == "physical" else None,
        psf=None,
        psf_fwhm=widths if np.isfinite(widths).all() else None,
        noise=made.noise * slope,
        gain=None,
        exposure=None,
        redshift=None,
        distance=None,
        rendition="survey",
    )


def _steps(party: Party, own: Blur, made: Rendered) -> list[Step]:
    before = width_on_frame(party.images)
    known = np.isfinite(before).all()
    steps = [
        Step(
            name="psf",
            before={"median FWHM [arcsec]": float(np.median(before)) if known else None},
            after={
                "median FWHM [arcsec]": float(np.median(own.target)) if known else None,
                **{f"worst {name}": value for name, value in own.worst.items()},
            },
            note="nothing was done" if own.make is None else "convolved with matching kernels",
        ),
        Step(
            name="noise",
            before={"median native rms [nJy / pixel]": float(np.median(party.measured.sky_rms))},
            after={"median rms on the frame [nJy / pixel]": float(np.median(made.noise))},
            note=f"{100 * made.replaced:.2g} % of the pixels were neighbours or masked and show "
            "noise instead"
            if made.replaced
            else "",
        ),
    ]
    if made.level is not None:
        share = made.level / np.median(made.noise, axis=0)
        far = float(share[np.abs(share).argmax()])
        steps.append(
            Step(
                name="sky level",
                before={"above the observed [sky rms]": far},
                after={"above the observed [sky rms]": 0.0},
                note="one number per band for all images, read off the emptiest of either side",
            )
        )
    return steps


def _shown(flux: Float32Array, softening: Float64Array) -> Float32Array:
    """Return display values in the memory of `flux`, which is not written to again."""
    shown = fixed_asinh(flux, softening, out=flux)
    shown.flags.writeable = False
    return shown


def stretched_sky(images: ImageSet, made: Rendered, softening: Float64Array) -> ImageSet | None:
    """Return the empty sky of a matched side through the same stretch, or None."""
    if made.sky is None or len(made.sky_rows) == 0:
        return None
    shown = _shown(made.sky, softening)
    return images.rows(made.sky_rows).replace(
        name=f"{images.name} sky", images=ArraySource(shown), history=images.history
    )
