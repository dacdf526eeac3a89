"""What a model's output is, read off models with all kinds of endings; compared with NumPy."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from svdam.core.validation import InputError
from svdam.models.probabilities import (
    kind_of_output,
    names_of_output,
    probabilities_of,
)

EXCERPT = (12, 4, 1)


def dense(x, units=3, **options):
    return layers.Dense(units, name=options.pop("name", "classes"), **options)(layers.Flatten()(x))


def over_time(x, activation=None):
    """(batch, 12, 3)."""
    return layers.Dense(3, activation=activation, name="frames")(layers.Reshape((12, 4))(x))


def nested(ending, shape=(3,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, ending(inputs), name="head")


def residual(x):
    return layers.Add()([dense(x), dense(x, name="other")])


PROBABILITIES = {
    "activation of the layer": lambda x: dense(x, activation="softmax"),
    "activation layer": lambda x: layers.Activation("sigmoid")(dense(x)),
    "softmax layer": lambda x: layers.Softmax()(dense(x)),
    "operation": lambda x: ops.sigmoid(dense(x)),
    "function of keras.activations": lambda x: keras.activations.softmax(dense(x)),
    "hard sigmoid": lambda x: dense(x, activation="hard_sigmoid"),
    "reshaped": lambda x: layers.Reshape((3, 1))(dense(x, activation="sigmoid")),
    "squeezed": lambda x: ops.squeeze(dense(x, 1, activation="sigmoid"), -1),
    "mean over time": lambda x: layers.GlobalAveragePooling1D()(over_time(x, "sigmoid")),
    "maximum over time": lambda x: ops.max(over_time(x, "sigmoid"), axis=1),
    "centre frame": lambda x: over_time(x, "sigmoid")[:, 6],
    "clipped": lambda x: ops.clip(dense(x, activation="softmax"), 1e-7, 1 - 1e-7),
    "dropout after it": lambda x: layers.Dropout(0.5)(dense(x, activation="softmax")),
    "float32 after it": lambda x: layers.Activation("linear", dtype="float32")(
        dense(x, activation="softmax", dtype="mixed_bfloat16")
    ),
    "two heads": lambda x: layers.Concatenate()(
        [dense(x, activation="sigmoid"), dense(x, 2, activation="sigmoid", name="more")]
    ),
    "ensemble": lambda x: layers.Average()(
        [dense(x, activation="softmax"), dense(x, activation="softmax", name="other")]
    ),
    "convolution": lambda x: layers.GlobalMaxPooling2D()(
        layers.Conv2D(3, 3, activation="sigmoid")(x)
    ),
    "each time": lambda x: ops.mean(
        layers.TimeDistributed(layers.Dense(3, activation="sigmoid"))(layers.Reshape((12, 4))(x)), 1
    ),
    "nested": lambda x: nested(lambda y: layers.Dense(3, activation="softmax")(y))(dense(x)),
    "nested activation": lambda x: nested(ops.sigmoid)(dense(x)),
    "before a nested reshape": lambda x: nested(layers.Reshape((3, 1)))(
        dense(x, activation="softmax")
    ),
    "sequential": lambda x: keras.Sequential(
        [keras.Input(EXCERPT), layers.Flatten(), layers.Dense(3), layers.Softmax()]
    )(x),
}  # fmt: skip
LOGITS = {
    "dense": dense,
    "reshaped": lambda x: layers.Reshape((3, 1))(dense(x)),
    "mean over time": lambda x: layers.GlobalAveragePooling1D()(over_time(x)),
    "convolution": lambda x: layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x)),
    "temperature": lambda x: dense(x) / 2.0,
    "sum": residual,
    "log-softmax": lambda x: ops.log_softmax(dense(x)),
    "matrix": lambda x: ops.matmul(layers.Flatten()(x), np.ones((48, 3), np.float32)),
    "nested": lambda x: nested(lambda y: layers.Dense(3)(y))(ops.sigmoid(dense(x))),
    "sigmoid before": lambda x: layers.Dense(3)(dense(x, activation="sigmoid")),
}
UNKNOWN = {
    "relu": lambda x: dense(x, activation="relu"),
    "tanh": lambda x: ops.tanh(dense(x)),
    "one minus": lambda x: 1 - ops.sigmoid(dense(x)),
    "scaled": lambda x: layers.Rescaling(100)(dense(x, activation="softmax")),
    "weighted mean": lambda x: ops.sum(over_time(x, "sigmoid") * over_time_weights(x), axis=1),
    "recurrent": lambda x: layers.LSTM(3, activation="sigmoid")(layers.Reshape((12, 4))(x)),
    "logits and probabilities": lambda x: layers.Concatenate()(
        [dense(x), dense(x, activation="sigmoid", name="other")]
    ),
    "padded": lambda x: layers.ZeroPadding1D(1)(over_time(x, "sigmoid")),
    "own function": lambda x: layers.Activation(sigmoid)(dense(x)),
    "own layer": lambda x: Own()(dense(x)),
    "input": lambda x: layers.Flatten()(x),
}


def over_time_weights(x):
    return layers.Dense(3, activation="softmax", name="weights")(layers.Reshape((12, 4))(x))


def sigmoid(x):
    """Not the one of Keras, whatever its name."""
    return 3 * x


class Own(layers.Layer):
    """What it does, nobody knows; its activation is not the last thing."""

    activation = staticmethod(keras.activations.sigmoid)

    def call(self, x):
        return 2 * self.activation(x)


def model_of(ending):
    excerpt = keras.Input(EXCERPT)
    return keras.Model(excerpt, ending(excerpt))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities(name):
    assert kind_of_output(model_of(PROBABILITIES[name])) == "probabilities"


@pytest.mark.parametrize("name", LOGITS)
def test_logits(name):
    assert kind_of_output(model_of(LOGITS[name])) == "logits"


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_known_is_asked_for(name):
    model = model_of(UNKNOWN[name])
    with pytest.raises(InputError, match=r"--output_is: --classifier=x ends in '.*expected one of"):
        kind_of_output(model, where="--classifier=x")
    for answer in ("logits", "multilabel_logits", "probabilities"):
        assert kind_of_output(model, answer) == answer


def test_the_users_word_counts():
    assert kind_of_output(model_of(LOGITS["dense"]), "multilabel_logits") == "multilabel_logits"


def test_values():
    values = np.array([[0.0, 2.0, -1.0], [1.0, 1.0, 800.0]])
    softmax = np.exp(values[0]) / np.exp(values[0]).sum()
    found = probabilities_of(values, "logits")
    np.testing.assert_allclose(found, [softmax, [0, 0, 1]], rtol=1e-6, atol=1e-30)
    with np.errstate(over="ignore"):
        sigmoids = 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(probabilities_of(values, "multilabel_logits"), sigmoids, rtol=1e-6)
    np.testing.assert_allclose(probabilities_of(values[:, :1], "logits"), sigmoids[:, :1])
    np.testing.assert_allclose(probabilities_of(values[:, 0], "logits"), sigmoids[:, :1])
    np.testing.assert_array_equal(probabilities_of(values, "probabilities"), values)
    np.testing.assert_array_equal(
        probabilities_of(values[:, None, :, None], "probabilities"), values
    )
    assert probabilities_of(np.zeros((0, 2)), "logits").shape == (0, 2)
    assert found.dtype == np.float32


def flipped(x):
    return layers.Dense(3, activation="softmax", name="classes")(layers.Flatten()(x))[:, ::-1]


@pytest.mark.parametrize(
    ("ending", "names"),
    [
        (lambda x: dense(x, activation="softmax"), {"classes", "classes_pre"}),
        (lambda x: layers.Softmax(name="softmax")(dense(x)), {"softmax", "softmax_pre", "classes"}),
        (
            lambda x: layers.Reshape((1, 3), name="r")(
                layers.Activation("sigmoid", name="s")(dense(x))
            ),
            {"r", "s", "s_pre", "classes"},
        ),
        # Their last axis is not that of the classes.
        (lambda x: layers.Reshape((3, 1), name="r")(dense(x)), {"classes"}),
        (lambda x: layers.Reshape((1, 1), name="r")(dense(x, 1)), {"r", "classes"}),
        (lambda x: nested(layers.Softmax(name="s"))(dense(x)), {"head.s", "head.s_pre", "classes"}),
        # Other units come before: not one by one the same.
        (flipped, set()),
        (lambda x: layers.Dense(3, name="last")(dense(x)), {"last"}),
    ],
)
def test_names_whose_units_are_the_classes(ending, names):
    model = model_of(ending)
    operations = {one.name for one in model.operations} - {layer.name for layer in model.layers}
    assert names_of_output(model) - operations - {f"{o}_pre" for o in operations} == {
        "output",
        *names,
    }


def test_an_output_over_time_is_no_single_output():
    assert names_of_output(model_of(over_time)) == set()


def test_another_layer_of_the_name_output():
    excerpt = keras.Input(EXCERPT)
    x = layers.Dense(3, name="output")(layers.Flatten()(excerpt))
    assert names_of_output(keras.Model(excerpt, layers.Dense(2, name="last")(x))) == {"last"}
    assert names_of_output(keras.Model(excerpt, layers.Softmax(name="last")(x))) == {
        "last",
        "last_pre",
        "output",
    }
