"""A classifier's output as a probability, whatever the classifier ends in."""

import keras
import numpy as np
import tensorflow as tf

_BATCH = 64


def classify(classifier: keras.Model, excerpts: np.ndarray) -> np.ndarray:
    """(N,) float32 probabilities of excerpts (N, frames, mels, 1); see `probabilities_of`."""
    are_probabilities = ends_in_probability(classifier)

    @tf.function(reduce_retracing=True)
    def probabilities(batch):
        """(batch,) of (batch, frames, mels, 1) excerpts."""
        outputs = tf.cast(classifier(batch, training=False), tf.float32)
        return probabilities_of(outputs, are_probabilities)

    batches = (excerpts[start : start + _BATCH] for start in range(0, len(excerpts), _BATCH))
    return np.concatenate([probabilities(batch).numpy() for batch in batches])


def probabilities_of(outputs: tf.Tensor, are_probabilities: bool = False) -> tf.Tensor:
    """(batch,) probability of the last class: the sigmoid of one logit, the softmax of several.

    Args:
        outputs: (batch, ..., classes) outputs of a classifier; over what is between, as time, the
            mean is taken.
        are_probabilities: Whether the classifier itself ends in a sigmoid or softmax.
    """
    if outputs.shape.rank == 1:
        outputs = outputs[:, tf.newaxis]
    if outputs.shape.rank > 2:
        outputs = tf.reduce_mean(outputs, axis=list(range(1, outputs.shape.rank - 1)))
    if are_probabilities:
        return outputs[:, -1]
    if outputs.shape[-1] == 1:
        return tf.sigmoid(outputs[:, 0])
    return tf.nn.softmax(outputs)[:, -1]


def ends_in_probability(classifier: keras.Model) -> bool:
    """Whether the last layer is, or ends in, a sigmoid or softmax."""
    last = classifier.layers[-1] if getattr(classifier, "layers", None) else None
    if isinstance(last, keras.Model):
        return ends_in_probability(last)
    known = (keras.activations.sigmoid, keras.activations.softmax)
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) in known
