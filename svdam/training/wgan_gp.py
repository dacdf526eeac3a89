"""WGAN-GP (Gulrajani et al., 2017), as Section 3.3 of the paper trains its GAN.

Pure functions for the losses, one compiled training iteration, and the settings. An iteration is
``critic_steps`` updates of the critic and one of the generator, as the 600,000 of the paper are
counted. All its random numbers are a function of the seed and the iteration alone.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from svdam.core.config import LATENT_SIZE
from svdam.training.settings import GanSettings


def wasserstein_estimate(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """E D(real) - E D(fake): the critic's estimate of the distance, which it maximises."""
    return tf.reduce_mean(real_scores) - tf.reduce_mean(fake_scores)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    positions: tf.Tensor,
) -> tf.Tensor:
    """E (|grad D(x)| - 1)^2 at points x between real and generated clips.

    Args:
        critic: From (batch, ...) clips to (batch, 1) scores.
        real: (batch, ...) real clips.
        fake: (batch, ...) generated clips.
        positions: (batch,) in [0, 1]; 1 is the real clip, 0 the generated one.

    Returns:
        Scalar, not weighted.
    """
    positions = tf.reshape(positions, [-1] + [1] * (real.shape.rank - 1))
    points = fake + positions * (real - fake)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(points)
        scores = critic(points)
    gradients = tf.cast(tape.gradient(scores, points), tf.float32)
    squared = tf.reduce_sum(tf.square(gradients), axis=list(range(1, real.shape.rank)))
    # The square root has no derivative at 0, where a critic that ignores its input stands.
    norms = tf.sqrt(tf.maximum(squared, 1e-20))
    return tf.reduce_mean(tf.square(norms - 1))


def generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """-E D(fake), which the generator minimises."""
    return -tf.reduce_mean(fake_scores)


class GanTrainer:
    """Both networks, their optimisers, and one training iteration."""

    def __init__(self, settings: GanSettings, generator: keras.Model, critic: keras.Model):
        """Takes built networks; see `GanSettings`."""
        self.generator, self.critic = generator, critic
        self._settings = settings
        self.generator_optimizer, self.critic_optimizer = (
            keras.optimizers.Adam(
                settings.learning_rate, beta_1=settings.beta_1, beta_2=settings.beta_2
            )
            for _ in range(2)
        )
        self.generator_optimizer.build(generator.trainable_variables)
        self.critic_optimizer.build(critic.trainable_variables)

    @tf.function
    def iterate(self, clips: tf.Tensor, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """One iteration.

        Args:
            clips: (critic_steps, batch, 115, 80, 1) real clips.
            iteration: Its number, int64, from 0.

        Returns:
            Scalars: losses and gradient norms; the critic's are those of its last step.
        """
        base = tf.stack([tf.constant(self._settings.seed, tf.int64), iteration])
        critic_metrics = self._critic_step(clips[0], _fold(base, 0))
        for step in tf.range(1, self._settings.critic_steps):
            critic_metrics = self._critic_step(clips[step], _fold(base, step))
        generator_metrics = self._generator_step(_fold(base, self._settings.critic_steps))
        return {**critic_metrics, **generator_metrics}

    def _latents(self, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal((self._settings.batch_size, LATENT_SIZE), seed)

    def _critic_step(self, real: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        fake = tf.cast(self.generator(self._latents(seed), training=True), tf.float32)
        positions = tf.random.stateless_uniform((self._settings.batch_size,), _fold(seed, 1))
        variables = self.critic.trainable_variables
        with tf.GradientTape() as tape:
            distance = wasserstein_estimate(self._scores(real), self._scores(fake))
            penalty = gradient_penalty(self._scores, real, fake, positions)
            loss = self._settings.gradient_penalty * penalty - distance
        gradients = tape.gradient(loss, variables)
        self.critic_optimizer.apply(gradients, variables)
        return {
            "critic_loss": loss,
            "wasserstein_estimate": distance,
            "gradient_penalty": penalty,
            "critic_gradient_norm": tf.linalg.global_norm(gradients),
        }

    def _generator_step(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            fake = tf.cast(self.generator(self._latents(seed), training=True), tf.float32)
            loss = generator_loss(self._scores(fake))
        gradients = tape.gradient(loss, variables)
        self.generator_optimizer.apply(gradients, variables)
        return {
            "generator_loss": loss,
            "generator_gradient_norm": tf.linalg.global_norm(gradients),
            "output_minimum": tf.reduce_min(fake),
            "output_maximum": tf.reduce_max(fake),
        }

    def _scores(self, clips: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.critic(clips, training=True), tf.float32)


def _fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """A seed of its own for each purpose."""
    return tf.random.experimental.stateless_fold_in(seed, number)
