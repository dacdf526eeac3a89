"""Models of older versions of Keras become files of Keras 3 that compute the same.

The fixtures are Keras 2's, its outputs among them; see tests/fixtures/make_keras2_models.py.
"""

import json
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from svdam.core.validation import InputError
from svdam.models.conversion.older_keras import ImportSettings, import_model
from svdam.models.hard_sigmoid import keras2_hard_sigmoid
from svdam.models.loading import load_model

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests/fixtures"


@pytest.fixture(autouse=True)
def without_keras_2(monkeypatch):
    """As where tf_keras is not installed."""
    monkeypatch.setitem(sys.modules, "tf_keras", None)


def converted(source, tmp_path, **options):
    return import_model(
        ImportSettings(input=str(source), output=str(tmp_path / "new.keras"), **options)
    )


def refusal(source, tmp_path, **options):
    with pytest.raises(InputError) as caught:
        converted(source, tmp_path, **options)
    assert not (tmp_path / "new.keras").exists()
    return str(caught.value)


def outputs_of(name):
    with np.load(FIXTURES / "keras2_outputs.npz") as file:
        return file["excerpts"], file[name]


@pytest.mark.parametrize("name", ["recurrent", "nested", "sequential"])
def test_outputs_are_those_of_keras_2(tmp_path, name):
    lines = converted(FIXTURES / f"keras2_{name}.h5", tmp_path)
    assert "not compared with Keras 2" in lines[0] and "parameters" in lines[1]
    excerpts, expected = outputs_of(name)
    model = load_model(tmp_path / "new.keras", "classifier", excerpts.shape[1:])
    np.testing.assert_allclose(model(excerpts), expected, rtol=1e-5, atol=1e-6)


def test_the_hard_sigmoid_that_keras_3_has_would_show(tmp_path):
    """Otherwise the fixtures would not tell whether it was put in."""
    excerpts, expected = outputs_of("recurrent")
    with pytest.raises(ValueError, match="time_major"):
        keras.saving.load_model(FIXTURES / "keras2_recurrent.h5", compile=False)
    shutil.copy(FIXTURES / "keras2_recurrent.h5", tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        text = file.attrs["model_config"].replace('"time_major": false, ', "")
        file.attrs["model_config"] = text
    plain = keras.saving.load_model(tmp_path / "new.h5", compile=False)
    assert np.abs(plain(excerpts) - expected).max() > 1e-3
    x = np.linspace(-4, 4, 9)
    np.testing.assert_allclose(keras2_hard_sigmoid(x), np.clip(0.2 * x + 0.5, 0, 1), rtol=1e-6)


def as_keras_file(name, path, version="2.16.0"):
    """The fixture in the format of Keras 2.13 to 2.16, as far as it is looked at."""
    with h5py.File(FIXTURES / f"keras2_{name}.h5") as file:
        config = file.attrs["model_config"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("model.weights.h5", b"")
    return path


@pytest.fixture
def keras_2(tmp_path):
    """Stands for tf_keras, which takes any file for the nested model and computes as it does."""
    converted(FIXTURES / "keras2_nested.h5", tmp_path)
    nested = keras.saving.load_model(tmp_path / "new.keras")
    (tmp_path / "new.keras").unlink()

    class Model:
        scale = 1.0

        def __call__(self, inputs, training):
            return self.scale * np.asarray(nested(inputs, training=training))

        def save(self, path, **_):
            shutil.copy(FIXTURES / "keras2_nested.h5", path)

    models = types.SimpleNamespace(load_model=lambda path, compile, **_: Model())
    return types.SimpleNamespace(Model=Model, models=models)


def test_with_keras_2_other_files_are_read_and_outputs_compared(tmp_path, keras_2, monkeypatch):
    source = as_keras_file("nested", tmp_path / "old.keras")
    assert "cannot be read by Keras 3; install Keras 2" in refusal(source, tmp_path)
    monkeypatch.setitem(sys.modules, "tf_keras", keras_2)
    lines = converted(source, tmp_path)
    assert lines[0].startswith("compared with Keras 2 on 4 random inputs: largest difference 0.0")
    excerpts, expected = outputs_of("nested")
    model = load_model(tmp_path / "new.keras", "classifier")
    np.testing.assert_allclose(model(excerpts), expected, rtol=1e-5, atol=1e-6)


def test_models_that_differ_are_not_written(tmp_path, keras_2, monkeypatch):
    keras_2.Model.scale = 1.001
    monkeypatch.setitem(sys.modules, "tf_keras", keras_2)
    message = refusal(FIXTURES / "keras2_nested.h5", tmp_path)
    assert "differ by 1.0e-03 of the largest, expected at most 1e-04; nothing was" in message


def test_what_cannot_be_converted_says_why(tmp_path):
    excerpt = keras.Input((4,))
    code = keras.Model(excerpt, layers.Lambda(lambda x: 2 * x)(excerpt))
    code.save(tmp_path / "code.h5")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["weights"] = np.zeros(3)
    (tmp_path / "text.h5").write_text("words")
    (tmp_path / "cut.h5").write_bytes((FIXTURES / "keras2_nested.h5").read_bytes()[:9000])
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"")
    for name, message in (
        ("code.h5", "'Lambda', '__lambda__', which could run code"),
        ("weights.h5", "no configuration of a model, perhaps only its weights"),
        ("text.h5", "is neither HDF5 nor a .keras file nor a SavedModel"),
        ("cut.h5", "is damaged"),
        ("saved", "is a SavedModel, whose graph could run code"),
        ("missing.h5", "does not exist"),
    ):
        assert message in refusal(tmp_path / name, tmp_path)
    assert "cannot be read" in refusal(tmp_path / "saved", tmp_path, allow_unsafe_model=True)
    (tmp_path / "saved/keras_metadata.pb").write_bytes(b"")  # Keras 2 has written it.
    message = refusal(tmp_path / "saved", tmp_path, allow_unsafe_model=True)
    assert "pip install tf_keras" in message


def test_the_tool_keeps_what_exists(tmp_path):
    arguments = [
        sys.executable, str(ROOT / "tools/import_model.py"), f"--output={tmp_path}/new.keras",
        f"--input={FIXTURES}/keras2_sequential.h5",
    ]  # fmt: skip
    first = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert first.returncode == 0 and "(None, 12, 9, 1) to (None, 1)" in first.stdout, first
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "exists; choose another name" in again.stderr
    for options in ({}, {"input": "x.h5"}, {"input": "x.h5", "output": "x.h5"}):
        with pytest.raises(InputError, match=r"--input|--output"):
            ImportSettings(**options)
