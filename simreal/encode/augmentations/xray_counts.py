"""Views of a source in counts: thinned, turned by quarters, mirrored, moved by whole pixels."""

from simreal.encode.augment import Preset
from simreal.encode.counts import Thinning
from simreal.encode.layers import Flip, QuarterTurns, WholeShift

PRESET = Preset(
    name="xray-counts",
    operations=(
        Thinning(
            least=0.5,
            reason="how long the telescope looked says nothing of the source; thinned counts are "
            "those of a shorter exposure, Poisson as they were, which no gain and no added noise "
            "would leave them",
        ),
        QuarterTurns(
            reason="a source on the sky has no up; a turn by any other angle would interpolate, "
            "and sums of shares of counts are not Poisson",
        ),
        Flip(reason="a source on the sky has no handedness, and a mirror moves whole counts"),
        WholeShift(
            shift=2,
            reason="a centre is not known better than this; parts of a pixel would interpolate, "
            "which smooths counts and correlates their noise",
        ),
    ),
)
