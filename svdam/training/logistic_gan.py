"""A GAN with the non-saturating logistic loss and the R1 penalty (Mescheder et al., ICML 2018).

An option beside WGAN-GP that suits little computing time: one critic step per iteration is enough,
and the penalty, which costs a second derivative, acts on real clips alone and only in every
``r1_every``-th iteration, with as many times the weight (Karras et al., CVPR 2020). Slopes are in
units of each band's spread over real clips, so that the penalty weighs all bands alike.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from svdam.training.settings import GanSettings
from svdam.training.wgan_gp import (
    GanTrainer,
    mean_over_devices,
    share_of_device,
    update_variables,
)


def logistic_critic_loss(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """E softplus(-D(real)) + E softplus(D(fake)), scalar."""
    return tf.reduce_mean(tf.nn.softplus(-real_scores)) + tf.reduce_mean(
        tf.nn.softplus(fake_scores)
    )


def logistic_generator_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """E softplus(-D(fake)), scalar: the form that does not saturate."""
    return tf.reduce_mean(tf.nn.softplus(-fake_scores))


def r1_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, std: tf.Tensor
) -> tf.Tensor:
    """E |std * grad D(x)|^2 at real clips.

    Args:
        critic: From (batch, frames, bands, 1) clips to (batch, 1) scores.
        real: (batch, frames, bands, 1) real clips.
        std: (bands,) the unit of each band.

    Returns:
        Scalar, not weighted.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real)
        scores = tf.reduce_sum(critic(real))
    slopes = tf.cast(tape.gradient(scores, real), tf.float32) * std[:, tf.newaxis]
    return tf.reduce_mean(tf.reduce_sum(tf.square(slopes), axis=[1, 2, 3]))


class LogisticTrainer(GanTrainer):
    """Trains both networks with these losses; otherwise a `GanTrainer`."""

    def __init__(
        self,
        settings: GanSettings,
        generator: keras.Model,
        critic: keras.Model,
        std: np.ndarray,
        use_cpu_form: bool | None = None,
    ):
        """Takes built networks; see `GanTrainer`.

        Args:
            settings: See `GanSettings`.
            generator: From latents to excerpts.
            critic: From excerpts to scores.
            std: (bands,) spread of each band over real clips, the unit of the penalty's slopes.
            use_cpu_form: As in `GanTrainer`.
        """
        super().__init__(settings, generator, critic, use_cpu_form)
        self._std = tf.constant(std, tf.float32)
        self._last_penalty = tf.Variable(0.0, trainable=False)

    def _critic_losses(
        self,
        real_scores: tf.Tensor,
        fake_scores: tf.Tensor,
        real: tf.Tensor,
        fake: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        return {
            "critic_loss": logistic_critic_loss(real_scores, fake_scores),
            "real_score": tf.reduce_mean(real_scores),
            "fake_score": tf.reduce_mean(fake_scores),
        }

    def _generator_loss(self, fake_scores: tf.Tensor) -> tf.Tensor:
        return logistic_generator_loss(fake_scores)

    def _after_critic_steps(self, real: tf.Tensor, iteration: tf.Tensor) -> dict[str, tf.Tensor]:
        """The penalty, when its turn has come; between, its last value is shown."""
        if iteration % self._settings.r1_every == 0:
            self._last_penalty.assign(self._on_all_devices(self._penalty_step, real)["r1_penalty"])
        return {"r1_penalty": self._last_penalty.read_value()}

    def _penalty_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
        real = share_of_device(real)
        # The slopes do not depend on the last bias; a Keras variable would get no zeros for it.
        variables = [variable.value for variable in self.critic.trainable_variables]
        weight = 0.5 * self._settings.r1_weight * self._settings.r1_every
        with tf.GradientTape() as tape:
            penalty = r1_penalty(self._scores, real, self._std)
            loss = weight * penalty
        gradients = tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        update_variables(
            self.critic_optimizer,
            mean_over_devices(gradients),
            self.critic.trainable_variables,
        )
        return {"r1_penalty": mean_over_devices([penalty])[0]}
