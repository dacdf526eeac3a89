"""Which precision a machine computes in, and that a run keeps the one that it was started in."""

import dataclasses
import os
import subprocess
import sys
import warnings

import pytest
import tensorflow as tf

from svdam.core import precision
from svdam.core.precision import has_bfloat16, machine_precision, resolve_precision
from svdam.core.runs import start_run
from svdam.core.validation import InputError
from svdam.training.settings import ClassifierSettings, GanSettings

SKYLAKE = {"avx2", "avx512f", "avx512_vnni"}
ZEN_4 = SKYLAKE | {"avx512_bf16"}


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine one with the given processor and graphics cards."""

    def become(flags, *capabilities):
        for name in ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(precision, "_processor_flags", lambda: set(flags))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(capabilities))
        details = "compute_capability"
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {details: gpu} if gpu else {},
        )

    return become


@pytest.mark.parametrize(
    ("flags", "gpus", "expected"),
    [
        ({"avx2"}, (), False),
        (SKYLAKE, (), False),
        (ZEN_4, (), True),
        ({"amx_bf16"}, (), True),
        (set(), (), False),
        ({"avx2"}, ((8, 0),), True),
        ({"avx2"}, ((9, 0), (8, 6)), True),
        (ZEN_4, ((7, 5),), False),
        (ZEN_4, ((8, 0), (7, 0)), False),
        (ZEN_4, (None,), False),  # A card of which TensorFlow knows nothing.
    ],
)
def test_who_has_instructions_for_bfloat16(machine, flags, gpus, expected):
    machine(flags, *gpus)
    assert has_bfloat16() is expected
    assert machine_precision("auto") == ("mixed_bfloat16" if expected else "float32")
    for asked in ("float32", "mixed_bfloat16"):
        assert machine_precision(asked) == asked


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0", False),
        ("TF_ENABLE_ONEDNN_OPTS", "1", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", False),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_amx", True),
        ("ONEDNN_MAX_CPU_ISA", "ALL", True),
    ],
)
def test_the_environment_can_forbid_the_instructions(machine, monkeypatch, name, value, expected):
    machine(ZEN_4)
    monkeypatch.setenv(name, value)
    assert has_bfloat16() is expected


def test_processor_flags_are_those_that_linux_lists(tmp_path):
    text = "processor\t: 0\nmodel name\t: X\nflags\t\t: fpu avx2 avx512_bf16\nbugs\t\t: flags\n\n"
    (tmp_path / "cpuinfo").write_text(text + text.replace(": 0", ": 1"))
    found = precision._processor_flags(str(tmp_path / "cpuinfo"))
    assert found == {"fpu", "avx2", "avx512_bf16"}
    assert precision._processor_flags(str(tmp_path / "none")) == set()


@pytest.fixture
def started(tmp_path):
    """Settings of a training that was started in a precision, and has a checkpoint."""

    def start(name):
        settings = GanSettings(output=str(tmp_path / name), precision=name)
        with start_run(settings.output, "train_gan", settings) as run:
            (run.folder / "checkpoints").mkdir()
            (run.folder / "checkpoints" / "ckpt-1.index").touch()
        return settings

    return start


def messages(settings):
    """The settings that are used, and what is said of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = resolve_precision(settings)
    assert dataclasses.replace(found, precision=settings.precision) == settings
    return found.precision, [str(warning.message) for warning in caught]


def test_auto_is_written_as_what_it_is(machine, tmp_path):
    assert ClassifierSettings().precision == "float32"
    settings = ClassifierSettings(output=str(tmp_path / "run"), precision="auto")
    for flags, expected in ((ZEN_4, "mixed_bfloat16"), (SKYLAKE, "float32")):
        machine(flags)
        assert messages(settings) == (expected, [])
    with start_run(settings.output, "train_classifier", resolve_precision(settings)) as run:
        assert run.settings["precision"] == "float32"
        assert "--precision=float32\n" in (run.folder / "flags.cfg").read_text()


def test_bfloat16_without_instructions_is_slow_and_says_so(machine, tmp_path):
    settings = ClassifierSettings(output=str(tmp_path / "run"), precision="mixed_bfloat16")
    machine(SKYLAKE)
    found, (warning,) = messages(settings)
    assert found == "mixed_bfloat16"
    assert warning.startswith("--precision=mixed_bfloat16: this machine has no instructions")
    assert "--precision=auto" in warning and "\n" not in warning
    machine(ZEN_4)
    assert messages(settings) == ("mixed_bfloat16", [])


@pytest.mark.parametrize(
    ("name", "same", "other", "faster"),
    [
        ("mixed_bfloat16", ZEN_4, SKYLAKE, "float32"),
        ("float32", SKYLAKE, ZEN_4, "mixed_bfloat16"),
    ],
)
def test_a_run_keeps_its_precision_on_another_machine(machine, started, name, same, other, faster):
    settings = dataclasses.replace(started(name), precision="auto")
    machine(same)
    assert messages(settings) == (name, [])
    machine(other)
    found, (warning,) = messages(settings)
    assert found == name
    assert f"was started in {name} and is resumed in it" in warning
    assert f"{faster} is faster" in warning and "another --output" in warning
    with start_run(settings.output, "train_gan", dataclasses.replace(settings, precision=found)):
        pass  # Not refused.
    with (
        pytest.raises(InputError, match=f"holds a run with precision='{name}', now it is"),
        start_run(settings.output, "train_gan", dataclasses.replace(settings, precision=faster)),
    ):
        pass


def test_a_run_that_failed_at_its_start_decides_nothing(machine, tmp_path):
    settings = GanSettings(output=str(tmp_path / "run"), precision="float32")
    with start_run(settings.output, "train_gan", settings):
        pass
    machine(ZEN_4)
    auto = dataclasses.replace(settings, precision="auto")
    assert messages(auto) == ("mixed_bfloat16", [])


@pytest.mark.parametrize("given", [None, "0"])
def test_onednn_is_asked_for_unless_the_user_has_decided(given):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    code = (
        "import os, sys, svdam;"
        "light = 'tensorflow' not in sys.modules;"
        "import svdam.models.memory;"
        "from tensorflow.python.util import _pywrap_util_port as port;"
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], light, port.IsMklEnabled())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    expected = ["1", "True", "True"] if given is None else ["0", "True", "False"]
    assert result.stdout.split() == expected
