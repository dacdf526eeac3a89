"""How a search moves: Adam as in the paper, and the plain gradient ascent of the released code.

An optimizer is a pair of pure functions on tensors. Its state has one row per latent, and learning
rates are one value per latent, which is why these are not Keras optimizers (those have one rate for
all, and round Adam's betas to single precision): latents with other rates share one step, and a
batch can be split anywhere.
"""

import dataclasses
from typing import Protocol

import tensorflow as tf

from svdam.explain.choices import BETA_1


class Optimizer(Protocol):
    """Moves latents up a gradient."""

    def start(self, latents: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The state before the first step; each tensor has the latents' first axis."""

    def ascend(
        self,
        latents: tf.Tensor,
        gradients: tf.Tensor,
        state: tuple[tf.Tensor, ...],
        rates: tf.Tensor,
        step: tf.Tensor,
        num_steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """One step.

        Args:
            latents: (batch, ...).
            gradients: Of the objective that goes up, shaped as the latents.
            state: From `start`, or the step before.
            rates: (batch,) learning rates.
            step: Scalar integer, 0 for the first step.
            num_steps: Scalar integer, length of the whole run.

        Returns:
            The new latents and the new state.
        """


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba, 2015) in TensorFlow's form, with the constants of Section 3.4.

    z += rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)
    """

    beta_1: float = BETA_1
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def start(self, latents: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Both moments, 0."""
        return tf.zeros_like(latents), tf.zeros_like(latents)

    def ascend(self, latents, gradients, state, rates, step, num_steps):
        """See `Optimizer`; the length of the run does not matter."""
        first, second = state
        first = self.beta_1 * first + (1 - self.beta_1) * gradients
        second = self.beta_2 * second + (1 - self.beta_2) * tf.square(gradients)
        count = tf.cast(step + 1, tf.float64)  # 1 - beta^t would lose digits in single precision.
        correction = tf.sqrt(1 - self.beta_2**count) / (1 - self.beta_1**count)
        sizes = _per_row(rates * tf.cast(correction, rates.dtype), latents)
        return latents + sizes * first / (tf.sqrt(second) + self.epsilon), (first, second)


@dataclasses.dataclass(frozen=True)
class GradientAscent:
    """z += rate * gradient, with a rate that falls linearly to 0; then z is shrunk.

    The released code's alternative to Adam. Its weight decay stands in the prior's place.

    Attributes:
        weight_decay: Share of every latent that is taken off after each step (0.01 is the factor
            0.99 of the released code); 0 for none.
    """

    weight_decay: float = 0.0

    def start(self, latents: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Nothing to remember."""
        return ()

    def ascend(self, latents, gradients, state, rates, step, num_steps):
        """See `Optimizer`."""
        left = 1 - tf.cast(step, rates.dtype) / tf.cast(num_steps, rates.dtype)
        moved = latents + _per_row(rates * left, latents) * gradients
        return moved * (1 - self.weight_decay), state


def _per_row(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """(batch,) values with axes added to spread over ``like``."""
    return tf.reshape(values, [-1] + [1] * (like.shape.rank - 1))
