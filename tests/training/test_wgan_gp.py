"""The losses of WGAN-GP against analytic cases and finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import (
    GanTrainer,
    ema_momentum,
    generator_loss,
    gradient_penalty,
    wasserstein_estimate,
)


@pytest.fixture
def clips():
    rng = np.random.RandomState(0)
    return rng.normal(size=(4, 5, 3, 1)), rng.normal(size=(4, 5, 3, 1)), rng.uniform(size=4)


def test_penalty_of_a_linear_critic_is_that_of_its_slope(clips):
    real, fake, positions = map(tf.constant, clips)
    slope = tf.constant(np.random.RandomState(1).normal(size=(5, 3, 1)))
    penalty = gradient_penalty(
        lambda x: tf.reduce_sum(slope * x, axis=(1, 2, 3))[:, None], real, fake, positions
    )
    assert float(penalty) == pytest.approx((np.linalg.norm(slope) - 1) ** 2, rel=1e-6)


def test_penalty_of_a_quadratic_critic_looks_between_real_and_fake(clips):
    """D(x) = |x|^2 / 2 has the gradient x, so the penalty shows the points themselves."""
    real, fake, positions = clips
    penalty = gradient_penalty(
        lambda x: 0.5 * tf.reduce_sum(x**2, axis=(1, 2, 3))[:, None],
        *map(tf.constant, clips),
    )
    share = positions[:, None, None, None]
    norms = np.sqrt(((share * real + (1 - share) * fake) ** 2).sum(axis=(1, 2, 3)))
    assert float(penalty) == pytest.approx(np.mean((norms - 1) ** 2), rel=1e-6)


def test_penalty_of_a_blind_critic_has_a_finite_gradient(clips):
    real, fake, positions = map(tf.constant, clips)
    weight = tf.Variable(0.0, dtype=tf.float64)
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(
            lambda x: weight * tf.reduce_sum(x, axis=(1, 2, 3))[:, None], real, fake, positions
        )
    assert float(penalty) == pytest.approx(1)
    assert np.isfinite(float(tape.gradient(penalty, weight)))


def test_gradient_of_the_penalty_equals_finite_differences(clips):
    """Second-order gradients through a small convolutional critic, in double precision."""
    keras.utils.set_random_seed(0)
    critic = keras.Sequential(
        [
            keras.Input((5, 3, 1), dtype="float64"),
            keras.layers.Conv2D(
                4, 3, padding="same", strides=2, activation="softplus", dtype="float64"
            ),
            keras.layers.Flatten(dtype="float64"),
            keras.layers.Dense(1, use_bias=False, dtype="float64"),
        ]
    )
    arguments = list(map(tf.constant, clips))
    kernel = critic.layers[0].kernel

    def penalty():
        # The norm is taken in single precision, as for the real networks.
        return gradient_penalty(critic, *arguments)

    with tf.GradientTape() as tape:
        value = penalty()
    gradient = tape.gradient(value, kernel).numpy()
    original, step = kernel.numpy(), 1e-3
    for place in [(0, 0, 0, 0), (1, 2, 0, 3), (2, 1, 0, 1)]:
        values = []
        for sign in (1, -1):
            moved = original.copy()
            moved[place] += sign * step
            kernel.assign(moved)
            values.append(float(penalty()))
        kernel.assign(original)
        expected = (values[0] - values[1]) / (2 * step)
        assert gradient[place] == pytest.approx(expected, rel=5e-3, abs=1e-4)


def test_signs():
    real, fake = tf.constant([[3.0], [5.0]]), tf.constant([[1.0], [0.0]])
    assert float(wasserstein_estimate(real, fake)) == 3.5  # Grows as the critic tells them apart.
    assert float(generator_loss(fake)) == -0.5  # Falls as the critic likes what is generated.


@pytest.fixture(scope="module")
def trained():
    """Both networks and their weights before and after one iteration of two critic steps."""
    keras.utils.set_random_seed(0)
    settings = GanSettings(
        critic_steps=2, batch_size=2, seed=5, critic_learning_rate=3e-4, ema_momentum=0.9
    )
    trainer = GanTrainer(settings, build_generator("square"), build_critic())
    before = [w.copy() for w in trainer.critic.get_weights() + trainer.generator.get_weights()]
    real = tf.random.stateless_normal((2, 2, 115, 80, 1), (1, 1))
    metrics = trainer.iterate(real, tf.constant(7, tf.int64))
    return settings, trainer, before, real, metrics


def test_an_iteration_equals_its_equations(trained):
    """The same iteration, eagerly, term by term."""
    settings, _, before, real, metrics = trained
    generator, critic = build_generator("square"), build_critic()
    count = len(critic.weights)
    critic.set_weights(before[:count])
    generator.set_weights(before[count:])
    optimizers = [
        keras.optimizers.Adam(rate, beta_1=settings.beta_1, beta_2=settings.beta_2)
        for rate in (3e-4, 1e-4)
    ]

    def fold(seed, number):
        return tf.random.experimental.stateless_fold_in(seed, number)

    base = tf.constant([settings.seed, 7], tf.int64)
    for step in range(2):
        seed = fold(base, step)
        fake = generator(tf.random.stateless_normal((2, 128), seed))
        share = tf.reshape(tf.random.stateless_uniform((2,), fold(seed, 1)), (2, 1, 1, 1))
        points = tf.Variable(share * real[step] + (1 - share) * fake)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                score = critic(points)
            slope = inner.gradient(score, points)
            norm = tf.sqrt(tf.reduce_sum(slope**2, axis=(1, 2, 3)))
            distance = tf.reduce_mean(critic(real[step])) - tf.reduce_mean(critic(fake))
            loss = -distance + 10 * tf.reduce_mean((norm - 1) ** 2)
        gradients = tape.gradient(loss, critic.trainable_variables)
        optimizers[0].apply(gradients, critic.trainable_variables)
    with tf.GradientTape() as tape:
        fake = generator(tf.random.stateless_normal((2, 128), fold(base, 2)))
        target = -tf.reduce_mean(critic(fake))
    gradients = tape.gradient(target, generator.trainable_variables)
    assert float(metrics["critic_loss"]) == pytest.approx(float(loss), rel=1e-4)
    assert float(metrics["wasserstein_estimate"]) == pytest.approx(float(distance), rel=1e-4)
    assert float(metrics["generator_loss"]) == pytest.approx(float(target), rel=1e-4)
    assert float(metrics["generator_gradient_norm"]) == pytest.approx(
        float(tf.linalg.global_norm(gradients)), rel=1e-3
    )


def test_the_generator_step_leaves_the_critic_alone_and_each_step_moves(trained):
    _, trainer, before, _, _ = trained
    after = trainer.critic.get_weights() + trainer.generator.get_weights()
    moved = [np.abs(a - b).max() for a, b in zip(after, before, strict=True)]
    assert min(moved) > 0
    # Adam moves a weight by about its rate: two steps for the critic, one for the generator.
    count = len(trainer.critic.weights)
    assert 3.3e-4 < max(moved[:count]) < 7.5e-4 and max(moved[count:]) < 1.1e-4


def test_the_average_follows_the_generator(trained):
    """After iteration 7 by 9 parts of 16; later by the momentum."""
    _, trainer, before, _, _ = trained
    count = len(trainer.critic.weights)
    weights = (trainer.averaged.get_weights(), before[count:], trainer.generator.get_weights())
    for average, old, new in zip(*weights, strict=True):
        np.testing.assert_allclose(average, old * 7 / 16 + new * 9 / 16, rtol=1e-5, atol=1e-8)
    assert float(ema_momentum(0.9, tf.constant(1000.0))) == pytest.approx(0.9)


def test_without_momentum_the_average_is_the_generator(trained):
    _, _, _, real, _ = trained
    keras.utils.set_random_seed(1)
    settings = GanSettings(critic_steps=1, batch_size=2)
    plain = GanTrainer(settings, build_generator("square"), build_critic())
    for iteration in (0, 5):
        plain.iterate(real[:1], tf.constant(iteration, tf.int64))
        for found, expected in zip(
            plain.averaged.get_weights(), plain.generator.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_iterations_repeat_from_their_number_alone(trained):
    settings, trainer, before, real, metrics = trained
    keras.utils.set_random_seed(99)
    again = GanTrainer(settings, build_generator("square"), build_critic())
    count = len(again.critic.weights)
    again.critic.set_weights(before[:count])
    again.generator.set_weights(before[count:])
    repeated = again.iterate(real, tf.constant(7, tf.int64))
    assert {k: float(v) for k, v in repeated.items()} == {k: float(v) for k, v in metrics.items()}
    for a, b in zip(again.critic.get_weights(), trainer.critic.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
