"""The prior term of eq. 2: how plausible a latent is.

``paper``: log p(z) of the standard normal, -|z|^2 / 2 - n/2 ln(2 pi) (Section 3.3).
``released_code``: -|z|^2, what the authors' released code adds: twice the paper's weight.
``none``: 0. Eq. 1, no prior.
"""

import math

import tensorflow as tf


def log_prior(latents: tf.Tensor, prior: str = "paper") -> tf.Tensor:
    """Log prior of each latent.

    Args:
        latents: (batch, ...) values of any shape.
        prior: ``paper``, ``released_code`` or ``none``.

    Returns:
        (batch,) of the latents' dtype.
    """
    axes = list(range(1, latents.shape.rank))
    squared_norm = tf.reduce_sum(tf.square(latents), axis=axes)
    if prior == "paper":
        size = math.prod(latents.shape[1:])
        return -0.5 * squared_norm - 0.5 * size * math.log(2 * math.pi)
    return -squared_norm if prior == "released_code" else tf.zeros_like(squared_norm)
