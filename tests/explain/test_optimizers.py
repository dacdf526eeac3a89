"""The optimizers against Keras's own and against their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.explain.maximization import maximize
from svdam.explain.optimizers import Adam, GradientAscent


def test_adam_moves_as_that_of_keras():
    """Fed with the same gradients, tiny and huge ones among them."""
    random = np.random.default_rng(0)
    gradients = (random.normal(size=(30, 3, 5)) * 10.0 ** random.integers(-9, 3, 5)).astype("f4")
    rates = np.array([0.1, 0.01, 0.5], np.float32)
    for beta_1 in (0.9, 0.99):
        adam = Adam(beta_1)
        latents = tf.constant(random.normal(size=(3, 5)), tf.float32)
        variables = [tf.Variable(row) for row in latents]
        others = [
            keras.optimizers.Adam(float(rate), beta_1, beta_2=0.999, epsilon=1e-8) for rate in rates
        ]
        state = adam.start(latents)
        for step, gradient in enumerate(gradients):
            latents, state = adam.ascend(
                latents, tf.constant(gradient), state, rates, tf.constant(step), tf.constant(0)
            )
            for other, variable, row in zip(others, variables, gradient, strict=True):
                other.apply([-tf.constant(row)], [variable])
        np.testing.assert_allclose(latents, tf.stack(variables), rtol=2e-4, atol=2e-5)


def quadratic():
    """A classifier whose logit is -|x - 1|^2 / 2, so that its gradient is 1 - x."""
    inputs = keras.Input((2, 3, 1), dtype="float64")
    flat = keras.layers.Flatten(dtype="float64")(inputs)
    return keras.Model(inputs, -0.5 * keras.ops.sum((flat - 1) ** 2, axis=1, keepdims=True))


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_gradient_ascent_is_that_of_the_released_code(weight_decay):
    """z + rate (1 - t / T) gradient, then the factor 0.99 of its weight decay."""
    start = np.random.default_rng(1).normal(size=(4, 2, 3, 1))
    rates = np.array([0.1, 0.5, 0.02, 0.1])
    result = maximize(
        None,
        quadratic(),
        start,
        response="output",
        prior="none",
        learning_rate=rates,
        prior_weight=0,
        num_steps=12,
        optimizer=GradientAscent(weight_decay),
    )
    z = start
    for step in range(12):
        z = z + (rates * (1 - step / 12))[:, None, None, None] * (1 - z)
        z = z * (0.99 if weight_decay else 1)
    np.testing.assert_allclose(result.latents, z, rtol=1e-9)
    np.testing.assert_allclose(result.responses, -0.5 * ((z - 1) ** 2).sum((1, 2, 3)), rtol=1e-9)


def test_gradient_ascent_goes_down_when_minimizing():
    start = np.full((1, 2, 3, 1), 2.0)
    result = maximize(
        None,
        quadratic(),
        start,
        response="output",
        direction="min",
        prior="none",
        learning_rate=0.1,
        prior_weight=0,
        num_steps=5,
        optimizer=GradientAscent(),
    )
    assert (np.diff(result.response_history[:, 0]) < 0).all()
