"""What training is given cannot hold the side an image is from: its types have no place for it."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest

from simreal.core.embedding import Embedding
from simreal.core.images import ArraySource, ImageSet, ImageSource, RowsOf, Setup
from simreal.core.plugins import available, load
from simreal.encode import train as training
from simreal.encode.pool import FilledSource, Pool
from simreal.encode.settings import EncoderSettings

#: What knows, or could know, a side: by its role, its name or its conditions.
TELLING = (ImageSet, Embedding, Setup)
#: Words that would name a side.
WORDS = ("role", "side", "label", "domain", "target")


def parts(kind):
    """Return `kind` and every type its arguments or fields are made of."""
    found, to_see = set(), [kind]
    while to_see:
        each = to_see.pop()
        if isinstance(each, list):  # the arguments of a callable
            to_see += each
        elif not isinstance(each, str) and each not in found:
            found.add(each)
            to_see += typing.get_args(each)
            if dataclasses.is_dataclass(each) and each not in TELLING:
                to_see += typing.get_type_hints(each).values()
    return found


def check(function):
    hints = typing.get_type_hints(function)
    names = list(inspect.signature(function).parameters)
    assert not [name for name in names if any(word in name for word in WORDS)], function
    for name in names:
        if name in ("self", "cls"):
            continue
        assert name in hints, f"{function.__qualname__}: {name} has no type"
        assert not (telling := parts(hints[name]) & set(TELLING)), f"{name}: {telling}"


def public_functions(module):
    return [
        function
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
    ]


@pytest.mark.parametrize("function", public_functions(training), ids=lambda f: f.__name__)
def test_the_training_loop_is_given_no_side(function):
    check(function)


@pytest.mark.parametrize("name", available("simreal.encode.encoders", "simreal.encoders"))
def test_an_encoder_is_fitted_to_pixels_and_groups_only(name):
    fit = load("simreal.encode.encoders", "simreal.encoders", name).fit
    check(fit)
    hints = typing.get_type_hints(fit)
    assert hints["source"] is ImageSource
    assert set(inspect.signature(fit).parameters) <= {
        "source", "groups", "settings", "seed", "progress",
    }  # fmt: skip


@pytest.mark.parametrize("name", available("simreal.encode.objectives", "simreal.objectives"))
def test_an_objective_sees_a_network_and_views_only(name):
    objective = load("simreal.encode.objectives", "simreal.objectives", name).Objective
    assert list(inspect.signature(objective.forward).parameters) == ["self", "network", "views"]
    check(objective.forward)


def test_a_source_is_a_shape_and_pixels():
    members = {name for name in vars(ImageSource) if not name.startswith("_")}
    assert members == {"shape", "read"}


@pytest.mark.parametrize("kind", [Pool, FilledSource, ArraySource, RowsOf])
def test_no_source_that_training_may_be_handed_has_a_field_for_it(kind):
    names = {field.name for field in dataclasses.fields(kind)}
    assert names <= {"sources", "source", "order", "groups", "mask", "array", "rows"}
    assert not parts(kind) & set(TELLING)


def test_settings_say_nothing_of_single_images():
    hints = typing.get_type_hints(EncoderSettings)
    for name, kind in hints.items():
        assert not parts(kind) & {*TELLING, np.ndarray}, name


def test_the_check_finds_a_side():
    def leaky(images: ImageSet, groups: int) -> None: ...

    with pytest.raises(AssertionError, match="ImageSet"):
        check(leaky)

    def labelled(source: ImageSource, labels: int) -> None: ...

    with pytest.raises(AssertionError):
        check(labelled)
