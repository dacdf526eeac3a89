"""Faster copies of networks against the networks themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.models.acceleration import accelerated, doubling_convolution
from svdam.models.classifier import build_svdnet
from svdam.models.generator import build_generator
from svdam.models.leaky_relu import leaky_relu_gradient
from tests.explain.small_models import double_precision


@pytest.mark.parametrize("size", [(2, 2), (5, 10), (3, 4), (5, 20), (7, 5)])
def test_doubling_convolution_is_tensorflows_transposed_convolution(size):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(*size, 3, 4))
    x = random.normal(size=(2, 6, 5, 4))
    expected = tf.nn.conv2d_transpose(x, kernel, (2, 12, 10, 3), 2)
    found = doubling_convolution(tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_leaky_relu_gradient_is_that_of_tensorflow(dtype):
    random = np.random.default_rng(0)
    x, dy = (tf.cast(random.normal(size=(3, 1000)), dtype) for _ in range(2))
    x = tf.concat([x[:, 1:], tf.zeros((3, 1), dtype)], axis=1)
    expected = tf.raw_ops.LeakyReluGrad(gradients=dy, features=x, alpha=0.01)
    found = leaky_relu_gradient(dy, tf.nn.leaky_relu(x, 0.01), 0.01)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(tf.cast(found, tf.float64), tf.cast(expected, tf.float64))


def gradient(model, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = model(inputs, training=False)
        total = tf.reduce_sum(tf.sin(outputs))
    return outputs.numpy(), tape.gradient(total, inputs).numpy()


@pytest.mark.parametrize("build", [build_generator, build_svdnet])
def test_copies_have_the_values_and_gradients_of_the_paper_models(build):
    with double_precision():
        keras.utils.set_random_seed(2)
        model = build()
        copy = accelerated(model)
        assert copy is not model
        inputs = tf.constant(np.random.RandomState(1).normal(size=(2, *model.input_shape[1:])))
        for one, other in zip(gradient(model, inputs), gradient(copy, inputs), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9 * np.abs(one).max())
        assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]


def test_an_adapted_standardisation_survives():
    x = inputs = keras.Input((8, 6, 1))
    standardise = keras.layers.Normalization(axis=2)
    standardise.adapt(np.random.default_rng(0).normal(5, 3, size=(50, 8, 6, 1)))
    x = keras.layers.LeakyReLU(negative_slope=0.1)(standardise(x))
    model = keras.Model(inputs, x)
    copy = accelerated(model)
    assert copy is not model
    excerpts = np.random.default_rng(1).normal(5, 3, size=(3, 8, 6, 1))
    np.testing.assert_allclose(copy(excerpts), model(excerpts), rtol=1e-6)


class Doubled(keras.layers.Layer):
    """A user's layer that cannot be made from its configuration."""

    def __init__(self, factor):
        super().__init__()
        self._factor = factor

    def call(self, inputs):
        return self._factor * inputs


def test_what_cannot_be_copied_stays_as_it_is():
    inputs = keras.Input((4,))
    plain = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    assert accelerated(plain) is plain
    own = keras.Model(inputs, Doubled(2.0)(keras.layers.LeakyReLU(negative_slope=0.2)(inputs)))
    assert accelerated(own) is own
