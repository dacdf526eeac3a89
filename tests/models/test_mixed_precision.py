"""Models of all kinds in bfloat16: what changes, and what has to stay in float32."""

import keras
import numpy as np
import pytest

from svdam.models.classifier import build_svdnet
from svdam.models.generator import build_generator
from svdam.models.precision import all_layers, in_float32, use_mixed_bfloat16


def dtypes(model):
    return {layer.name: layer.compute_dtype for layer in all_layers(model)}


def test_standardisation_and_the_last_layer_stay_exact():
    classifier = use_mixed_bfloat16(build_svdnet())
    found = dtypes(classifier)
    assert found["standardise"] == found["logit"] == "float32"
    assert found["conv1_pre"] == found["pool2"] == found["fc2"] == "bfloat16"
    assert {weight.dtype for weight in classifier.weights} <= {"float32", "int64", "uint32"}
    generator = use_mixed_bfloat16(build_generator())
    assert dtypes(generator)["out"] == "float32"
    assert dtypes(generator)["up4"] == "bfloat16"


def test_in_float32_the_model_is_the_one_it_was():
    excerpts = np.random.RandomState(0).normal(-5, 3, (2, 115, 80, 1)).astype(np.float32)
    classifier = build_svdnet()
    before, exact = dtypes(classifier), classifier(excerpts).numpy()
    use_mixed_bfloat16(classifier)
    converted, rounded = dtypes(classifier), classifier(excerpts).numpy()
    assert (rounded != exact).all()
    with in_float32(classifier):
        assert dtypes(classifier) == before
        np.testing.assert_array_equal(classifier(excerpts), exact)
    assert dtypes(classifier) == converted
    np.testing.assert_array_equal(classifier(excerpts), rounded)


class Mixed(keras.layers.Layer):
    """A user's layer that holds float32 numbers of its own."""

    def call(self, inputs):
        return inputs * keras.ops.convert_to_tensor(np.float32([0.5, 2.0]))[:1]


def recurrent(x):
    return keras.layers.Bidirectional(keras.layers.LSTM(6))(keras.layers.Dense(8)(x))


def attention(x):
    x = keras.layers.Conv1D(8, 3, activation="relu")(x)
    return keras.layers.GlobalAveragePooling1D()(keras.layers.MultiHeadAttention(2, 4)(x, x))


def preprocessed(x):
    power = keras.ops.exp(keras.layers.Rescaling(0.5, -1)(x))
    x = keras.layers.BatchNormalization()(keras.ops.log(power + 1e-3))
    return keras.layers.Flatten()(keras.layers.Conv1D(4, 3)(x))


def nested(x):
    inputs = keras.Input(x.shape[1:])
    inner = keras.Model(inputs, keras.layers.Conv1D(8, 3, activation="elu")(inputs))
    return keras.layers.Flatten()(keras.layers.Dense(5)(inner(x)))


def own(x):
    return keras.layers.Flatten()(keras.layers.Conv1D(4, 3)(Mixed()(keras.layers.Dense(8)(x))))


def residual(x):
    y = keras.layers.Dense(6, activation="gelu")(x)
    return keras.layers.Flatten()(x + keras.layers.Conv1D(6, 3, padding="same")(y) * 0.1)


@pytest.mark.parametrize("body", [recurrent, attention, preprocessed, nested, own, residual])
def test_models_unlike_svdnet_compute_nearly_the_same(body):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((20, 6))
    model = keras.Model(inputs, keras.layers.Dense(3)(body(inputs)))
    excerpts = np.random.RandomState(0).normal(size=(4, 20, 6)).astype(np.float32)
    exact = model(excerpts).numpy()
    use_mixed_bfloat16(model)
    assert "bfloat16" in dtypes(model).values()
    rounded = model(excerpts).numpy()
    assert rounded.dtype == np.float32 and (rounded != exact).any()
    np.testing.assert_allclose(rounded, exact, atol=0.03 * np.abs(exact).max())


def test_a_models_own_precision_is_left_to_it():
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, dtype="mixed_float16")(inputs)
    model = use_mixed_bfloat16(keras.Model(inputs, keras.layers.Dense(3)(keras.ops.relu(x))))
    assert set(dtypes(model).values()) == {"float16", "float32"}
