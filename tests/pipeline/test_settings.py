"""What a run was asked to do: checked once, written whole, read back the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.pipeline.limits import crossed, parse_limits
from simreal.pipeline.settings import QUICK, RunSettings, read_settings, resolve, settings_to_toml

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(
    sim=names, obs=names, n=st.none() | st.integers(1, 10**6), select=st.lists(names, max_size=3)
)
def test_settings_survive_the_file(sim, obs, n, select, tmp_path_factory):
    settings = RunSettings(sim=sim, obs=obs, n=n, select=tuple(select))
    path = tmp_path_factory.mktemp("run") / "run.toml"
    path.write_text(settings_to_toml(settings), encoding="utf-8")
    assert resolve({}, config=path) == settings


def test_what_is_given_wins_over_the_file_and_that_over_quick(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('sim = "a"\nobs = "b"\nn = 40\npermutations = 299\n')
    settings = resolve({"n": 50}, config=path, quick=True)
    assert settings.n == 50
    assert settings.permutations == 299
    assert settings.floor_splits == QUICK["floor_splits"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"obs": "sdss"}, "--sim is missing"),
        ({"sim": "eagle"}, "--obs is missing.*toy-sim"),
        ({"sim": "a", "obs": "b", "encodr": "pca"}, "did you mean 'encoder'"),
        ({"sim": "a", "obs": "b", "n": 0}, "n: .*got 0"),
        ({"sim": "a", "obs": "b", "permutations": 10}, "permutations: .*99"),
        ({"sim": "a", "obs": "b", "frame": "square"}, "frame: .*'radius'"),
        ({"sim": "a", "obs": "b", "stamp": 8}, "stamp: .*32"),
    ],
)
def test_wrong_settings_get_one_line(values, words):
    with pytest.raises(UsageError, match=words) as caught:
        resolve(values)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_settings_file(tmp_path):
    with pytest.raises(UsageError, match="no such settings file"):
        read_settings(tmp_path / "absent.toml")
    (tmp_path / "run.toml").write_text("sim = ")
    with pytest.raises(UsageError, match="cannot read these settings"):
        read_settings(tmp_path / "run.toml")


def row(metric, value, *, low=None, lead=True, reason=None):
    low = value if low is None else low
    return {"metric": metric, "lead": lead, "value": value, "low": low, "reason": reason}


def test_a_threshold_is_crossed_by_a_whole_interval_above_it_or_an_absent_value():
    limits = parse_limits(["mmd=0.02", "occupancy=1"], ["mmd", "occupancy"])
    results = {
        "comparisons": [
            row("mmd", 0.03),
            row("mmd", 9.0, lead=False),
            row("occupancy", None, reason="3 groups"),
        ]
    }
    lines = crossed(results, limits)
    assert len(lines) == 2
    assert "mmd=0.02: reads 0.03" in lines[0]
    assert "not computable (3 groups)" in lines[1]
    assert crossed({"comparisons": [row("mmd", 0.02)]}, limits) == []
    assert crossed({"comparisons": [row("mmd", 0.03, low=0.019)]}, limits) == []
    assert len(crossed({"comparisons": [row("mmd", 0.03, low=0.021)]}, limits)) == 1


@pytest.mark.parametrize("text", ["mmd", "mmd=", "mmd=much", "mdm=1"])
def test_a_threshold_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--fail-above"):
        parse_limits([text], ["mmd"])
