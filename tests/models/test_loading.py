"""Models go to disk and back unchanged, and files that hold code or nothing are refused."""

import importlib
import sys
import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops

from svdam.core.validation import InputError
from svdam.explain.probabilities import driven_class
from svdam.explain.responses import response_function
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.models.loading import load_model
from svdam.models.saving import save_model


@pytest.mark.parametrize("build", [build_generator, build_critic])
def test_round_trip(tmp_path, build):
    model = build()
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", "generator")
    inputs = np.random.RandomState(0).normal(size=(2, *model.input_shape[1:]))
    np.testing.assert_array_equal(model(inputs), again(inputs))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_the_same_model_gives_the_same_bytes_however_many_were_made_before(tmp_path):
    for name in ("one", "other"):
        generator = build_generator("square")
        generator.set_weights([np.ones(weight.shape) for weight in generator.weights])
        save_model(generator, tmp_path / f"{name}.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other.keras").read_bytes()
    latents = np.ones((1, 128))
    again = load_model(tmp_path / "other.keras", "generator")
    np.testing.assert_array_equal(again(latents), generator(latents))


def test_an_operation_does_not_take_the_name_of_a_layer(tmp_path):
    inputs = keras.Input((3,), name="inputs")
    x = keras.ops.maximum(keras.layers.Dense(2, name="maximum")(inputs), 0.5)
    model = keras.Model(inputs, keras.ops.maximum(keras.ops.abs(x), 1.0))
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", "generator")
    values = np.random.RandomState(0).normal(size=(4, 3))
    np.testing.assert_array_equal(again(values), model(values))


def test_lambda_layers_are_refused(tmp_path):
    excerpt = keras.Input((115, 80, 1))
    marker = tmp_path / "was_run"

    def run_code(x):
        marker.touch()
        return x

    model = keras.Model(excerpt, keras.layers.Lambda(run_code)(excerpt))
    model.save(tmp_path / "model.keras")
    marker.unlink()
    with pytest.raises(
        InputError, match=r"--classifier: .*model.keras holds 'keras.layers.Lambda'"
    ):
        load_model(tmp_path / "model.keras", "classifier")
    assert not marker.exists()


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    save_model(build_generator("square"), tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "runless").mkdir()
    for name, message in (
        ("text.keras", "is not a .keras file"),
        ("cut.keras", "is not a .keras file|cannot be loaded"),
        ("missing.keras", "does not exist; create it with: python -m svdam.train_gan"),
        ("runless", "is empty; create it with: python -m svdam.train_gan --flagfile=flags/gan.cfg"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_model(tmp_path / name, "generator")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"takes \(128,\), expected \(115, 80, 1\)"):
        load_model(tmp_path / "whole.keras", "classifier", (115, 80, 1))


BUILT_IN = {
    "augmentation": lambda x: layers.RandomRotation(0.1)(layers.RandomTranslation(0.1, 0.1)(x)),
    "pipeline": lambda x: layers.Pipeline([layers.Rescaling(2.0), layers.RandomContrast(0.1)])(x),
    "front end": lambda x: layers.MelSpectrogram(128, 64, num_mel_bins=8)(
        layers.Reshape((720,))(x)
    ),
    "linear algebra": lambda x: ops.norm(x, axis=2),
    "einsum": lambda x: ops.einsum("bijk->bj", x),
    "image": lambda x: ops.image.resize(x, (8, 8)),
    "signal": lambda x: ops.abs(ops.stft(ops.reshape(x, (-1, 720)), 64, 32, 64)[0]),
    "slices": lambda x: ops.slice(x[:, ::2, 3:-4, ...], (0, 0, 0, 0), (1, 5, 5, 1)),
    "wrappers": lambda x: layers.SpectralNormalization(layers.Conv2D(3, 3))(x),
    "cells": lambda x: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(x[..., 0]),
    "attention": lambda x: layers.MultiHeadAttention(2, 4)(x[..., 0], x[..., 0]),
    "tensors": lambda x: x * ops.convert_to_tensor(np.arange(24.0, dtype=np.float32)[:, None]),
    "initializer": lambda x: layers.Dense(3, kernel_initializer=CONSTANT)(x),
    "regularizer": lambda x: layers.Conv2D(
        3, 3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()
    )(x),
    "steps": lambda x: layers.Embedding(4, 3)(layers.Discretization([-1.0, 0.0, 1.0])(x[..., 0])),
    "classes": lambda x: layers.IntegerLookup(vocabulary=[1, 2])(ops.cast(x[..., 0], "int32")),
    "function": lambda x: layers.Dense(3, activation=ops.sigmoid)(x),
    "half": lambda x: layers.Dense(3, dtype="mixed_float16")(x),
}
CONSTANT = keras.initializers.Constant(np.array([[1.0, 2.0, 3.0]], np.float32))


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_keras_itself_makes_is_loaded(tmp_path, name):
    """Layers, operations and their parts that compute, whichever these are."""
    excerpt = keras.Input((30, 24, 1))
    model = keras.Model(excerpt, BUILT_IN[name](excerpt))
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", "classifier")
    inputs = np.random.RandomState(0).normal(size=(2, 30, 24, 1)).astype(np.float32)
    expected, found = (np.asarray(one(inputs, training=False)) for one in (model, again))
    np.testing.assert_array_equal(found, expected)


OWN_LAYERS = """
import keras

@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def call(self, x):
        return 2 * keras.activations.get(self.function)(x)

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def get_config(self):
        return {**super().get_config(), "function": self.function}

class Bare(keras.layers.Layer):
    def call(self, x):
        return 3 * x

@keras.saving.register_keras_serializable("mine")
def own_activation(x):
    return 5 * x
"""


@pytest.fixture
def own_layers(tmp_path, monkeypatch):
    """A user's module; Keras forgets at the end what it registers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    (tmp_path / "own_layers.py").write_text(OWN_LAYERS)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_layers")
    yield module
    forget(module)


def forget(module):
    """As if the module had not been imported."""
    sys.modules.pop("own_layers", None)
    for name in [
        one for one in keras.saving.get_custom_objects() if "mine>" in one or one == "Bare"
    ]:
        keras.saving.get_custom_objects().pop(name)


@pytest.mark.parametrize("kind", ["layer", "bare", "function"])
def test_layers_of_ones_own_are_imported_by_name(tmp_path, monkeypatch, own_layers, kind):
    excerpt = keras.Input((6,))
    outputs, named, way_out = {
        "layer": (own_layers.Scale("tanh")(excerpt), "'mine>Scale'", "register_keras_serializable"),
        "bare": (own_layers.Bare()(excerpt), "Bare'", r"get_custom_objects\(\)\['Bare'\] = Bare"),
        "function": (
            layers.Dense(3, activation=own_layers.own_activation)(excerpt),
            "own_activation'", "register_keras_serializable"),
    }[kind]  # fmt: skip
    model = keras.Model(excerpt, outputs)
    model.save("model.keras")
    forget(own_layers)
    for unsafe in (False, True):
        with pytest.raises(InputError, match=f"{named}.* Keras does not know.*{way_out}.*--import"):
            load_model("model.keras", "classifier", allow_unsafe=unsafe)
    if kind == "bare":
        with open("own_layers.py", "a") as stream:
            stream.write("\nkeras.saving.get_custom_objects()['Bare'] = Bare\n")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    again = load_model("model.keras", "classifier", import_module="own_layers")
    inputs = np.random.RandomState(0).normal(size=(2, 6)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(model(inputs)))


def test_modules_that_cannot_be_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_layers.py").write_text("raise RuntimeError('two\\nlines')")
    excerpt = keras.Input((6,))
    keras.Model(excerpt, layers.Dense(1)(excerpt)).save("model.keras")
    for name, message in (
        ("nosuch_layers", "ModuleNotFoundError"),
        ("broken_layers", "RuntimeError: two lines"),
        ("broken_layers.py", "expected the name of a module"),
        (".layers", "expected the name of a module"),
    ):
        with pytest.raises(InputError, match=f"--import_module: '{name}' .*{message}"):
            load_model("model.keras", "classifier", import_module=name)


def test_older_and_foreign_files_say_what_they_are(tmp_path):
    excerpt = keras.Input((6,))
    keras.Model(excerpt, layers.Dense(1)(excerpt)).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name, changes, message in (
        ("old", {"metadata.json": b'{"keras_version": "2.15.0"}'}, "was saved by Keras 2.15.0;"),
        ("torch", {"config.json": None, "model/data.pkl": b""}, "it is of PyTorch"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w") as archive:
            for member, data in (content | changes).items():
                if data is not None:
                    archive.writestr(member, data)
        with pytest.raises(InputError, match=message) as caught:
            load_model(tmp_path / f"{name}.keras", "classifier")
        assert ("convert it: python tools/import_model.py --input=" in str(caught.value)) == (
            name == "old"
        )
    keras.Model(excerpt, layers.Dense(1)(excerpt)).export(tmp_path / "saved model", verbose=False)
    with pytest.raises(InputError, match=r"SavedModel; convert it: .*--input='.*/saved model'"):
        load_model(tmp_path / "saved model", "classifier")


def test_layers_with_blanks_in_their_names_can_be_driven_after_loading(tmp_path):
    excerpt = keras.Input((3, 2, 1))
    x = layers.Dense(3, name="my layer")(layers.Flatten()(excerpt))
    keras.Model(excerpt, layers.Dense(2, name="2nd dense")(x), name="all of it").save(
        tmp_path / "model.keras"
    )
    model = load_model(tmp_path / "model.keras", "classifier")
    inputs = np.random.RandomState(0).normal(size=(4, 3, 2, 1)).astype(np.float32)
    logits = np.asarray(model(inputs))
    driven = driven_class(model, "2nd dense:1", "multilabel_logits")
    expected = 1 / (1 + np.exp(-logits[:, 1]))
    np.testing.assert_allclose(driven.classify(model, inputs), expected, rtol=1e-5)
    assert driven_class(model, "my layer:1") is None
    found = response_function(model, "2nd dense:1")(inputs)
    np.testing.assert_allclose(found, logits[:, 1], rtol=1e-5)
