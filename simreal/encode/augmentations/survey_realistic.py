"""Views of a galaxy as other fields of the same survey would show it."""

from simreal.encode.augment import Placement, Preset
from simreal.encode.survey import Seeing, SurveySky

PRESET = Preset(
    name="survey-realistic",
    operations=(
        Seeing(
            median=0.35,
            scatter=0.5,
            reason="seeing is log-normal from night to night; the PSF of a stamp is not known to "
            "an encoder, so this is what is left after matching, and small against the PSF",
        ),
        SurveySky(
            reason="level and depth of the sky are those of the field: drawn from what the corners "
            "of all images of the pool show",
        ),
        # Last, so that added noise is resampled like the noise that was there.
        Placement(
            zoom=1.1,
            shift=2.0,
            reason="a galaxy has no up and no handedness, and neither its centre nor its radius "
            "is measured better than this",
        ),
    ),
)
