"""Every flag of every command with every kind of bad value: a message that names the flag.

The cases are made from the settings themselves, so that a flag added later is tried, too. Nothing
is started: flags are parsed and settings built as `run_command` does, in this process.
"""

import dataclasses
import re
import typing

import pytest
from absl import flags
from convert_musicnn import MusicnnSettings
from import_model import ToolSettings

from svdam.core import settings as core_settings
from svdam.core.settings import define_flags, settings_from_flags
from svdam.core.validation import InputError
from svdam.demo import DemoSettings
from svdam.models.conversion.convert import ConversionSettings
from svdam.stages.collect_responses import ResponseSettings
from svdam.stages.evaluate_classifier import EvaluationSettings
from svdam.stages.make_report import ReportSettings
from svdam.stages.maximize_activation import SearchSettings
from svdam.stages.prepare_data import PrepareSettings
from svdam.stages.select_hyperparameters import SelectionSettings
from svdam.training.settings import ClassifierSettings, GanSettings

CLASSES = {
    "prepare_data": PrepareSettings,
    "train_classifier": ClassifierSettings,
    "evaluate_classifier": EvaluationSettings,
    "train_gan": GanSettings,
    "collect_responses": ResponseSettings,
    "maximize_activation": SearchSettings,
    "select_hyperparameters": SelectionSettings,
    "make_report": ReportSettings,
    "demo": DemoSettings,
    "convert_lasagne": ConversionSettings,
    "convert_musicnn": MusicnnSettings,
    "import_model": ToolSettings,
}
FIELDS = [
    pytest.param(command, field, id=f"{command}-{field.name}")
    for command, settings in CLASSES.items()
    for field in dataclasses.fields(settings)
]
# What must be given beside the flag for the others to be valid.
NEEDED = {
    "convert_lasagne": ["--input=a.npz", "--output=b.keras", "--standardised_input"],
    "convert_musicnn": ["--output=a.keras"],
    "import_model": ["--input=a.h5", "--output=b.keras", "--front_end=yamnet"],
}


@pytest.fixture
def parse(monkeypatch):
    """Flags on a command line to settings, or the message that the user would see."""

    def run(command, *arguments):
        values = flags.FlagValues()
        monkeypatch.setattr(flags, "FLAGS", values)
        for kind in ("list", "boolean", "enum", "integer", "float", "string"):
            name = f"DEFINE_{kind}"
            original = getattr(ORIGINAL, name)
            monkeypatch.setattr(
                flags, name, lambda *a, _f=original, **k: _f(*a, flag_values=values, **k)
            )
        define_flags(CLASSES[command])
        try:
            values(["command", *NEEDED.get(command, []), *arguments])
            return settings_from_flags(CLASSES[command])
        except (flags.Error, InputError) as error:
            return str(error)

    return run


class ORIGINAL:
    """absl's own functions, before they are directed at other flag values."""

    DEFINE_list = staticmethod(flags.DEFINE_list)
    DEFINE_boolean = staticmethod(flags.DEFINE_boolean)
    DEFINE_enum = staticmethod(flags.DEFINE_enum)
    DEFINE_integer = staticmethod(flags.DEFINE_integer)
    DEFINE_float = staticmethod(flags.DEFINE_float)
    DEFINE_string = staticmethod(flags.DEFINE_string)


def kind_of(command, field):
    """(type of a value, whether it is a list, whether it may be left out)."""
    hint = typing.get_type_hints(CLASSES[command])[field.name]
    kind, optional = core_settings._value_type(hint)
    if typing.get_origin(kind) is tuple:
        return typing.get_args(kind)[0], True, optional
    return kind, False, optional


def bad_values(kind, limits, optional):
    """Texts that a flag must refuse."""
    yield from {
        int: ("many", "1.5", "nan", "inf", "0x", "1e400", "1 2", str(10**30)),
        float: ("many", "nan", "inf", "-inf", "1e400", "0,5x", "1+2j"),
        bool: ("maybe", "2", "nan"),
        str: ("two\nlines", "nul\0", "\udcff"),
    }[kind]
    if kind is not str or not optional:
        yield ""
    if limits["choices"] and kind is str:
        yield "no_such_choice"
    step = 1 if kind is int else 1e-3
    if limits["minimum"] is not None:
        yield str(limits["minimum"] - step)
    if limits["maximum"] is not None:
        yield str(limits["maximum"] + step)
    if limits["above"] is not None:
        yield str(limits["above"])


def good_values(kind, limits):
    """The bounds themselves, which must be taken."""
    for name in ("minimum", "maximum"):
        if limits[name] is not None:
            yield str(kind(limits[name]))
    if kind is str and limits["choices"]:
        yield from limits["choices"]


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_bad_values_are_refused_by_the_flags_name(parse, command, field):
    kind, is_list, optional = kind_of(command, field)
    tried = 0
    for text in bad_values(kind, field.metadata, optional):
        if is_list and text == "":
            continue  # An empty list: see the contradictions below.
        message = parse(command, f"--{field.name}={text}")
        assert isinstance(message, str), f"--{field.name}={text!r} was taken"
        assert f"--{field.name}" in message and "Traceback" not in message, message
        tried += 1
    assert tried >= 3
    if is_list:
        good = ",".join(map(str, field.default)) or "--x=1"
        message = parse(command, f"--{field.name}={good},two\nlines,nan")
        assert isinstance(message, str) and f"--{field.name}" in message


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_the_bounds_themselves_name_no_bound(parse, command, field):
    kind, _, _ = kind_of(command, field)
    for text in good_values(kind, field.metadata):
        found = parse(command, f"--{field.name}={text}")
        if isinstance(found, str):  # Another flag may be needed beside it.
            assert "at least" not in found and "at most" not in found
            assert "expected one of" not in found


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_what_names_a_file_or_folder_begins_at_home(parse, monkeypatch, command, field):
    """By its help: what it says it takes or writes is a file or a folder."""
    kind, is_list, _ = kind_of(command, field)
    words = ("folder", "path", "file ", "file.", ".npz", ".npy", ".keras")
    # Without the kinds of data set that it is for, one of which is "folder".
    said = re.sub(r"^[a-z, ]+: ", "", field.metadata["help"]).lower()
    if kind is not str or not any(word in said for word in words):
        assert not field.metadata["path"]
        return
    if field.metadata["choices"]:
        return
    monkeypatch.setenv("HOME", "/home/ada")
    found = parse(command, f"--{field.name}=~/x")
    if isinstance(found, str):  # Another flag may be needed beside it.
        assert "~" not in found
        assert field.metadata["path"]
    else:
        value = getattr(found, field.name)
        assert value == (("/home/ada/x",) if is_list else "/home/ada/x")


@pytest.mark.parametrize("command", CLASSES)
def test_the_defaults_are_valid(parse, command):
    assert not isinstance(parse(command), str)


@pytest.mark.parametrize(
    ("command", "arguments", "flag"),
    [
        ("prepare_data", ["--dataset=folder"], "--data_dir"),
        ("prepare_data", ["--data_dir=x"], "--data_dir"),
        ("prepare_data", ["--fma_genre=Rock"], "--fma_genre"),
        ("prepare_data", ["--dataset=fma", "--data_dir=x", "--song_secs=9"], "--song_secs"),
        ("prepare_data", ["--dataset=jamendo", "--data_dir=x", "--split_by=lists"], "--split_by"),
        ("prepare_data", ["--dataset=folder", "--data_dir=x", "--split_by=lists"], "--split_lists"),
        (
            "prepare_data",
            ["--dataset=folder", "--data_dir=x", "--split_by=ratios", "--split_lists=y"],
            "--split_lists",
        ),
        ("prepare_data", ["--dataset=folder", "--data_dir=x", "--split_ratios=1,1"], "--split_rat"),
        ("prepare_data", ["--dataset=folder", "--data_dir=x", "--split_ratios=0,0,0"], "--split_r"),
        ("prepare_data", ["--output=s3://bucket/x"], "--output"),
        ("train_gan", ["--clip_spacing=9", "--clips_per_track=9"], "--clips_per_track"),
        ("collect_responses", ["--beam_options=--x=1"], "--beam_options"),
        ("maximize_activation", ["--num_steps="], "--num_steps"),
        ("maximize_activation", ["--num_steps=5,5"], "--num_steps"),
        ("maximize_activation", ["--learning_rates="], "--learning_rates"),
        ("maximize_activation", ["--prior_weights=1,1"], "--prior_weights"),
        ("maximize_activation", ["--seeds=5-3"], "--seeds"),
        ("maximize_activation", ["--seeds=1,1"], "--seeds"),
        ("maximize_activation", ["--generator=none"], "--prior"),
        ("maximize_activation", ["--prior=none"], "--prior_weights"),
        ("maximize_activation", ["--weight_decay=0.1"], "--weight_decay"),
        ("maximize_activation", ["--optimizer=gradient_ascent"], "--num_steps"),
        (
            "maximize_activation",
            ["--optimizer=gradient_ascent", "--num_steps=9", "--beta_1=0.5"],
            "--beta_1",
        ),
        ("evaluate_classifier", ["--labels=x"], "--labels"),
        ("evaluate_classifier", ["--pitch_shifts="], "--pitch_shifts"),
        ("evaluate_classifier", ["--pitch_shifts=10"], "--audio"),
        ("evaluate_classifier", ["--pitch_shifts=10", "--predictions=x"], "--pitch_shifts"),
        ("convert_lasagne", ["--tf1_checkpoint=x"], "--tf1_checkpoint"),
        ("convert_lasagne", ["--meanstd=x.npz"], "--standardised_input"),
        ("convert_lasagne", ["--output=x.h5"], "--output"),
        ("convert_lasagne", ["--to_lasagne"], "--to_lasagne"),
    ],
)
def test_contradictions_name_a_flag(parse, command, arguments, flag):
    message = parse(command, *arguments)
    assert isinstance(message, str) and flag in message, message


def test_consent_is_not_handed_on_by_flagfiles():
    settings = SearchSettings(allow_unsafe_model=True)
    assert "allow_unsafe_model" not in settings.to_flagfile()
    assert settings.to_dict()["allow_unsafe_model"] and "prior" in settings.to_flagfile()


@pytest.mark.parametrize(
    "command",
    ["train_classifier", "evaluate_classifier", "train_gan", "collect_responses",
     "maximize_activation", "select_hyperparameters"],
)  # fmt: skip
def test_every_command_that_loads_models_asks_for_consent_and_for_a_module(parse, command):
    assert parse(command).allow_unsafe_model is False
    assert parse(command, "--allow_unsafe_model").allow_unsafe_model is True
    (field,) = (f for f in dataclasses.fields(CLASSES[command]) if f.name == "allow_unsafe_model")
    assert "DANGER" in field.metadata["help"] and not field.metadata["identity"]
    assert parse(command).import_module is None
    settings = parse(command, "--import_module=mylayers")
    assert settings.identity()["import_module"] == "mylayers"
    assert "--import_module=mylayers\n" in settings.to_flagfile()


def test_empty_text_means_left_out():
    assert GanSettings(classifier="").classifier is None
    with pytest.raises(InputError, match="--records: found '', expected a line of text"):
        GanSettings(records="")
