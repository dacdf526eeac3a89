"""Settings check themselves, and become flags and flagfiles without loss."""

import dataclasses
from pathlib import Path

import pytest
from absl import flags

import svdam
from svdam.core.settings import Settings, define_flags, setting, settings_from_flags
from svdam.core.validation import InputError
from svdam.explain.starts import parse_seeds
from svdam.stages.collect_responses import ResponseSettings
from svdam.stages.maximize_activation import SearchSettings
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


@dataclasses.dataclass(frozen=True)
class Paths(Settings):
    """Paths of each kind, and a text that is none."""

    output: str = setting("runs/x", "Folder.", path=True, identity=False)
    audio: str | None = setting(None, "Folder.", path=True)
    files: tuple[str, ...] = setting((), "Files.", path=True)
    concept: str = setting("voice", "Words.")


def test_paths_begin_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "f.cfg").write_text("--output=~/runs/x\n--files=~/a.npz,b~.npz,~\n--concept=~/x\n")
    found = parsed(monkeypatch, Paths, [f"--flagfile={tmp_path}/f.cfg"])
    assert found == Paths("~/runs/x", None, ["~/a.npz", "b~.npz", "~"], "~/x")
    assert found.output == "/home/ada/runs/x" and found.concept == "~/x"
    assert found.files == ("/home/ada/a.npz", "b~.npz", "/home/ada")
    assert Paths(audio="./~/a", output="s3://b/~c").to_dict()["audio"] == "./~/a"


@pytest.mark.parametrize("path", ["~/x", "~", "~no_such_user/x", "~a_backup"])
@pytest.mark.parametrize("home", ["", "home", None])
def test_a_home_that_is_not_there_is_refused(monkeypatch, path, home):
    """As in a container whose user has neither HOME nor a name."""

    def nobody(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(InputError, match=f"--audio: found '{path}', but there is no home folder"):
        Paths(audio=path)


def test_what_comes_with_svdam_is_found_in_any_folder(monkeypatch, tmp_path):
    """Unless the folder has a file of that name; and nothing is written there."""

    @dataclasses.dataclass(frozen=True)
    class Paths(Settings):
        model: str = setting("checkpoints/demo_svdnet.keras", "A model.", path=True)
        output: str = setting("checkpoints/demo_svdnet.keras", "A file.", path=True)

    monkeypatch.chdir(tmp_path)
    root = Path(svdam.__file__).parents[1]
    assert Paths().model == str(root / "checkpoints/demo_svdnet.keras")
    assert Paths().output == "checkpoints/demo_svdnet.keras"
    assert Paths(model="checkpoints/other.keras").model == "checkpoints/other.keras"
    Path("checkpoints").mkdir()
    Path("checkpoints/demo_svdnet.keras").touch()
    assert Paths().model == "checkpoints/demo_svdnet.keras"
