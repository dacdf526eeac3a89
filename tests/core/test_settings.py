"""Settings check themselves, and become flags and flagfiles without loss."""

import dataclasses

import pytest
from absl import flags

from svdam.core.settings import Settings, define_flags, setting, settings_from_flags
from svdam.core.validation import InputError
from svdam.explain.settings import ResponseSettings, SearchSettings, parse_seeds
from svdam.training.settings import ClassifierSettings, GanSettings


@dataclasses.dataclass(frozen=True)
class Sample(Settings):
    """One setting of each kind."""

    output: str = setting("runs/x", "Folder.", identity=False)
    count: int = setting(3, "Number.", minimum=1, maximum=10)
    rate: float = setting(0.5, "Rate.", above=0)
    mode: str = setting("a", "Mode.", choices=("a", "b"))
    fast: bool = setting(False, "Fast.")
    limit: int | None = setting(None, "Limit.", minimum=0)
    rates: tuple[float, ...] = setting((0.1, 0.01), "Rates.", above=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "--count: found 0, expected at least 1"),
        ({"count": 11}, "--count: found 11, expected at most 10"),
        ({"count": 2.5}, "--count: found 2.5, expected an integer"),
        ({"count": True}, "--count: found True, expected an integer"),
        ({"count": None}, "--count: found None, expected an integer"),
        ({"rate": 0}, "--rate: found 0, expected more than 0"),
        ({"rate": float("nan")}, "--rate: found nan, expected a finite number"),
        ({"rate": "fast"}, "--rate: found 'fast', expected a finite number"),
        ({"mode": "c"}, "--mode: found 'c', expected one of 'a', 'b'"),
        ({"fast": 1}, "--fast: found 1, expected true or false"),
        ({"limit": -1}, "--limit: found -1, expected at least 0"),
        ({"rates": 0.1}, "--rates: found 0.1, expected a list"),
        ({"rates": ("0.1", "x")}, "--rates: found 'x', expected a finite number"),
        ({"rates": (0.1, -1)}, "--rates: found -1, expected more than 0"),
    ],
)
def test_bad_values_name_the_setting(values, message):
    with pytest.raises(InputError) as caught:
        Sample(**values)
    assert str(caught.value) == message


def test_values_are_converted():
    sample = Sample(count="4", rate=1, rates=["0.5"])
    assert (sample.count, sample.rate, sample.rates) == (4, 1.0, (0.5,))
    assert sample.to_dict()["rates"] == [0.5]
    assert "output" not in sample.identity() and sample.identity()["count"] == 4


def parsed(monkeypatch, settings_class, arguments):
    """What a command with these flags would get."""
    monkeypatch.setattr(flags, "FLAGS", flags.FlagValues())
    for name in ("DEFINE_list", "DEFINE_boolean", "DEFINE_enum"):
        original = getattr(flags, name)
        monkeypatch.setattr(
            flags, name, lambda *a, _f=original, **k: _f(*a, flag_values=flags.FLAGS, **k)
        )
    for name in ("DEFINE_integer", "DEFINE_float", "DEFINE_string"):
        original = getattr(flags, name)
        monkeypatch.setattr(
            flags, name, lambda *a, _f=original, **k: _f(*a, flag_values=flags.FLAGS, **k)
        )
    define_flags(settings_class)
    flags.FLAGS(["command", *arguments])
    return settings_from_flags(settings_class)


def test_flags_give_the_same_settings(monkeypatch):
    arguments = ["--count=4", "--fast", "--rates=0.3,0.2", "--mode=b", "--limit=7"]
    found = parsed(monkeypatch, Sample, arguments)
    assert found == Sample(count=4, fast=True, rates=(0.3, 0.2), mode="b", limit=7)


@pytest.mark.parametrize(
    "settings_class", [ClassifierSettings, GanSettings, SearchSettings, ResponseSettings]
)
def test_a_written_flagfile_reads_back(monkeypatch, tmp_path, settings_class):
    original = settings_class(output=str(tmp_path / "with space"))
    (tmp_path / "flags.cfg").write_text(original.to_flagfile())
    assert parsed(monkeypatch, settings_class, [f"--flagfile={tmp_path}/flags.cfg"]) == original


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-3", [0, 1, 2, 3]), ("7", [7]), ("3, 5,8-9", [3, 5, 8, 9])]
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,,2", "-1", "1-2-3", "3,3", "4294967296"])
def test_bad_seeds_are_refused(text):
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)
