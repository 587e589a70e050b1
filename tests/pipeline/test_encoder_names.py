"""Names of presets and networks are checked before a comparison begins."""

import pytest

from simreal.core.errors import UsageError
from simreal.pipeline.plan import make_plan
from simreal.pipeline.settings import RunSettings


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"augmentation": "xray-count"}, "unknown augmentation 'xray-count': did you mean 'xray-c"),
        ({"backbone": "resnet1"}, "unknown 'resnet1': did you mean 'resnet18'"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(asked, answer):
    with pytest.raises(UsageError, match=answer):
        make_plan(RunSettings(sim="toy-sim", obs="toy-survey", **asked))
