"""Convolutions in the spectrum of the mel axis against TensorFlow's own, in all derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.training.cpu_form import cpu_form
from svdam.training.spectral_convolution import spectral_convolution


def plain(clips, kernel):
    return tf.nn.conv2d(clips, kernel, 2, "SAME")


@pytest.mark.parametrize(
    "clips, kernel",
    [
        ((2, 8, 80, 1), (5, 80, 1, 3)),
        ((2, 6, 40, 2), (5, 40, 2, 3)),
        ((1, 8, 20, 3), (4, 20, 3, 2)),
        ((3, 4, 10, 2), (3, 7, 2, 5)),
        ((1, 2, 6, 1), (1, 1, 1, 1)),
        ((1, 4, 8, 1), (2, 21, 1, 2)),
    ],
)
def test_values_and_first_and_second_derivatives(clips, kernel):
    rng = np.random.RandomState(0)
    # In double precision: what is left is the algebra.
    x, w, u = (tf.constant(rng.normal(size=shape)) for shape in (clips, kernel, clips))
    found, expected = [], []
    for convolution, results in ((spectral_convolution, found), (plain, expected)):
        with tf.GradientTape() as outer:
            outer.watch([x, w])
            with tf.GradientTape() as inner:
                inner.watch([x, w])
                y = convolution(x, w)
                value = tf.reduce_sum(tf.sin(y))
            first = inner.gradient(value, [x, w])
            directional = tf.reduce_sum(first[0] * u)
        results.extend([y, *first, *outer.gradient(directional, [x, w])])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10 * np.abs(other).max())


@pytest.mark.parametrize("build, shape", [(build_critic, (115, 80, 1)), (build_generator, (128,))])
def test_cpu_form_is_the_same_function_of_the_same_variables(build, shape):
    keras.utils.set_random_seed(0)
    model = build()
    form = cpu_form(model)
    assert [id(v) for v in form.trainable_variables] == [id(v) for v in model.trainable_variables]
    inputs = np.random.RandomState(0).normal(size=(2, *shape)).astype(np.float32)
    for _ in range(2):
        expected = model(inputs).numpy()
        np.testing.assert_allclose(form(inputs), expected, atol=1e-5 * np.abs(expected).max())
        for variable in model.trainable_variables:  # The form follows its variables.
            variable.assign(0.9 * variable + 0.01)


def small_classifier():
    """A user's: activations, groups and dilation within layers, and one model inside another."""
    inputs = inner = keras.Input((12, 10, 4))
    for options in ({"groups": 2}, {"dilation_rate": 2}, {"strides": 2, "use_bias": False}):
        inner = keras.layers.Conv2D(4, 3, activation="tanh", padding="same", **options)(inner)
    inner = keras.Model(inputs, keras.layers.LeakyReLU(negative_slope=0.3)(inner))
    outer = keras.Input((12, 10, 4))
    x = keras.layers.Conv2DTranspose(3, 3, output_padding=0)(inner(outer))
    x = keras.layers.Conv2D(3, 2, activation="softplus")(x)
    return keras.Model(outer, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cpu_form_of_a_users_model_has_its_values_and_derivatives(dtype):
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        keras.utils.set_random_seed(0)
        model = small_classifier()
        form = cpu_form(model)
    finally:
        keras.config.set_floatx(before)
    assert form is not model
    assert [id(v) for v in form.trainable_variables] == [id(v) for v in model.trainable_variables]
    excerpts = tf.constant(np.random.RandomState(0).normal(size=(3, 12, 10, 4)), dtype)
    found, expected = [], []
    for network, results in ((form, found), (model, expected)):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(excerpts)
                outputs = network(excerpts, training=True)
                value = tf.reduce_sum(tf.sin(outputs))
            first = inner.gradient(value, excerpts)
            penalty = tf.reduce_sum(first**2)
        weights = [v for v in model.trainable_variables if v.ndim > 1]
        results.extend([outputs, first, *outer.gradient(penalty, weights)])
    limit = 1e-4 if dtype == "float32" else 1e-10
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=limit * np.abs(other).max())


def test_bias_gradients_in_bfloat16_are_those_of_float32():
    gradients = {}
    latents = np.random.RandomState(0).normal(size=(16, 128)).astype(np.float32)
    before = keras.mixed_precision.dtype_policy()
    for precision in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        keras.mixed_precision.set_dtype_policy(precision)
        generator = build_generator("square")
        keras.mixed_precision.set_dtype_policy(before)
        convolutions = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
        biases = [layer.bias for layer in generator.layers if isinstance(layer, convolutions)]
        form = cpu_form(generator)
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(tf.cast(form(latents), tf.float32) + 0.0)
        gradients[precision] = tape.gradient(value, biases)
    for found, expected in zip(*gradients.values(), strict=True):
        assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
