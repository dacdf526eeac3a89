"""How real generated clips are: a multivariate Frechet distance in a layer of the classifier.

It complements the losses, which do not say whether a GAN gets better. The layer is SVDNet's
second dense one, as the Frechet inception distance (Heusel et al., 2017) uses the inner layer of a
classifier. The distance is biased upwards for few samples: compare it with `floor`, which two
halves of the real clips are apart.
"""

import keras
import numpy as np
import tensorflow as tf

from svdam.evaluation.frechet import frechet_distance

LAYER = "fc2"
_BATCH = 64


class RealismScore:
    """Distance of clips from real ones; smaller is better.

    Attributes:
        floor: Distance between two halves of the real clips.
    """

    def __init__(self, classifier: keras.Model, real: np.ndarray, layer: str = LAYER):
        """Measures the real clips.

        Args:
            classifier: A classifier with a layer of this name.
            real: (batch, frames, bands, 1) real clips, at least 4.
            layer: Name of the layer.
        """
        features = keras.Model(classifier.input, classifier.get_layer(layer).output)
        self._features = tf.function(lambda clips: features(clips, training=False))
        activations = self._activations(real)
        order = np.random.RandomState(0).permutation(len(activations))
        half = len(order) // 2
        self.floor = _distance(
            _moments(activations[order[:half]]), _moments(activations[order[half : 2 * half]])
        )
        self._real = _moments(activations)

    def __call__(self, clips: np.ndarray) -> float:
        """The distance of (batch, frames, bands, 1) clips from the real ones."""
        return _distance(self._real, _moments(self._activations(clips)))

    def _activations(self, clips: np.ndarray) -> np.ndarray:
        batches = [clips[start : start + _BATCH] for start in range(0, len(clips), _BATCH)]
        parts = [self._features(tf.constant(batch, tf.float32)).numpy() for batch in batches]
        return np.concatenate(parts).reshape(len(clips), -1).astype(np.float64)


def _moments(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return activations.mean(axis=0), np.cov(activations, rowvar=False)


def _distance(a: tuple, b: tuple) -> float:
    return float(frechet_distance(*a, *b))
