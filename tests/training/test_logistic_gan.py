"""The logistic losses and the R1 penalty against NumPy and analytic cases, and their trainer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.models.light_gan import build_light_critic, build_light_generator
from svdam.training.logistic_gan import (
    LogisticTrainer,
    logistic_critic_loss,
    logistic_generator_loss,
    r1_penalty,
)
from svdam.training.settings import GanSettings

MEAN, STD = np.linspace(-2, -7, 80), np.linspace(2.5, 1.5, 80)


def test_losses_are_cross_entropies_of_a_sigmoid():
    rng = np.random.RandomState(0)
    real, fake = rng.normal(size=(2, 6, 1))
    is_real = [1 / (1 + np.exp(-scores)) for scores in (real, fake)]
    expected = -np.log(is_real[0]).mean() - np.log(1 - is_real[1]).mean()
    assert float(logistic_critic_loss(real, fake)) == pytest.approx(expected, rel=1e-12)
    expected = -np.log(is_real[1]).mean()
    assert float(logistic_generator_loss(fake)) == pytest.approx(expected, rel=1e-12)


def test_penalty_is_the_squared_slope_in_units_of_the_bands():
    """D(x) = |x|^2 / 2 has the gradient x."""
    rng = np.random.RandomState(0)
    real = rng.normal(size=(4, 5, 3, 1)).astype(np.float32)
    std = np.array([0.5, 1, 2], np.float32)
    penalty = r1_penalty(
        lambda x: 0.5 * tf.reduce_sum(x**2, axis=(1, 2, 3))[:, None],
        tf.constant(real),
        tf.constant(std),
    )
    expected = ((real * std[:, None]) ** 2).sum(axis=(1, 2, 3)).mean()
    assert float(penalty) == pytest.approx(expected, rel=1e-5)


def test_networks_standardise_inside_and_speak_raw_log_mel():
    keras.utils.set_random_seed(0)
    generator, critic = build_light_generator(MEAN, STD), build_light_critic(MEAN, STD)
    assert generator.output_shape == (None, 115, 80, 1)
    assert critic.input_shape == (None, 115, 80, 1) and critic.output_shape == (None, 1)
    assert (generator.count_params(), critic.count_params()) == (1_674_329, 1_683_041)
    latents = np.random.RandomState(0).normal(size=(64, 128)).astype(np.float32)
    examples = generator(latents).numpy()
    assert examples.min() >= np.float32(np.log(1e-7))
    # Untrained, it is around the mean of each band, with something of its spread.
    assert np.abs((examples[..., 0].mean(axis=(0, 1)) - MEAN) / STD).max() < 2
    shifted = build_light_critic(MEAN + 1, STD)
    shifted.set_weights(critic.get_weights())
    np.testing.assert_allclose(shifted(examples + 1), critic(examples), atol=1e-4)


def make_trainer(**options):
    """A trainer of networks so small that an iteration takes no time."""
    settings = GanSettings(objective="logistic", batch_size=2, critic_steps=1, **options)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    generator = keras.Sequential(
        [keras.Input((128,)), layers.Dense(12), layers.Reshape((4, 3, 1))], name="generator"
    )
    critic = keras.Sequential(
        [
            keras.Input((4, 3, 1)),
            layers.Conv2D(4, 3, padding="same", activation="tanh"),
            layers.Flatten(),
            layers.Dense(1),
        ],
        name="critic",
    )
    return LogisticTrainer(settings, generator, critic, STD[:3], use_cpu_form=False)


def real_clips(seed=0):
    return tf.constant(np.random.RandomState(seed).normal(5, 1, size=(1, 2, 4, 3, 1)), tf.float32)


def test_penalty_comes_when_its_turn_has_come():
    trainer = make_trainer(r1_every=2, learning_rate=1e-4)
    found = [
        float(trainer.iterate(real_clips(number), tf.constant(number, tf.int64))["r1_penalty"])
        for number in range(3)
    ]
    assert found[0] == found[1] != found[2]


def test_iterations_are_a_function_of_seed_and_number():
    first, second = make_trainer(), make_trainer()
    for trainer in (first, second):
        for number in range(2):
            losses = trainer.iterate(real_clips(number), tf.constant(number, tf.int64))
    assert np.isfinite([float(value) for value in losses.values()]).all()
    for a, b in zip(first.generator.get_weights(), second.generator.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_critic_learns_to_tell_real_from_generated():
    trainer = make_trainer(learning_rate=1e-6, critic_learning_rate=1e-2)
    scores = []
    for number in range(8):
        losses = trainer.iterate(real_clips(number), tf.constant(number, tf.int64))
        scores.append(float(losses["real_score"] - losses["fake_score"]))
    assert scores[-1] > scores[0] + 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"r1_every": 4},
        {"r1_weight": 1.0},
        {"objective": "logistic", "gradient_penalty": 5.0},
    ],
)
def test_flags_of_the_other_objective_are_refused(options):
    with pytest.raises(InputError, match="has no meaning with --objective"):
        GanSettings(**options)
