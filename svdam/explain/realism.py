"""Does the metric mean what it says? Realism of examples, measured without the response.

Eq. 3 looks at responses only. Two measures that do not use it stand beside it: what the GAN's
critic thinks of an example (higher is more like the music that it was trained on), and how far an
example lies from the nearest real excerpt, as Euclidean distance between activations of a late
layer of the classifier (smaller is more like something real). Real excerpts give the scale: the
critic's mean score of theirs, and their distance to the nearest other one.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError
from svdam.evaluation.ranking import rank_correlation
from svdam.explain.activations import Activations
from svdam.models.shapes import fitted_model

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Realism:
    """Measures of realism of every configuration.

    Attributes:
        critic_scores: (C,) mean critic score of each configuration's examples, or None.
        nearest_distances: (C,) mean distance to the nearest real excerpt, or None.
        real_critic_score: Mean critic score of the real excerpts, or None.
        real_nearest_distance: Mean distance of real excerpts to the nearest other one, or None.
    """

    critic_scores: np.ndarray | None = None
    nearest_distances: np.ndarray | None = None
    real_critic_score: float | None = None
    real_nearest_distance: float | None = None

    def correlations(self, distances: Sequence[float]) -> dict[str, float]:
        """Spearman's correlation of each measure with the paper's metric, where both vary.

        If the metric means realism, the critic's score falls with it and the distance to the
        nearest real excerpt rises with it.
        """
        found = {}
        for name in ("critic_scores", "nearest_distances"):
            values = getattr(self, name)
            if values is not None and len(values) >= 3:
                correlation = rank_correlation(values, np.asarray(distances))
                if np.isfinite(correlation):
                    found[name] = correlation
        return found


def measure_realism(
    examples: np.ndarray,
    real_batches: Iterable[np.ndarray],
    critic: keras.Model | None = None,
    classifier: keras.Model | None = None,
    layer: str = "fc2",
) -> Realism:
    """Measures the realism of examples.

    Args:
        examples: (C, N, frames, mels, 1) examples of C configurations.
        real_batches: Batches (b, frames, mels, 1) of real excerpts, gone through once.
        critic: From excerpts to scores; None to leave its score out.
        classifier: A model with ``layer``; None to leave distances out.
        layer: Layer in whose activations distances are taken; see `svdam.explain.activations`.

    Returns:
        The measures.

    Raises:
        InputError: If the classifier has no such layer, or there are fewer than two real excerpts.
    """
    shape = examples.shape[2:]
    inner = None
    if classifier is not None:
        inner = _inner_model(fitted_model(classifier, shape, "--classifier: it"), layer)
    if critic is not None:
        critic = fitted_model(critic, shape, "--critic: it")
    real_scores, real_activations = [], []
    for batch in real_batches:
        if critic is not None:
            real_scores.append(_flat(critic(batch, training=False)))
        if inner is not None:
            real_activations.append(_flat(inner(batch)))
    if max(len(real_scores), len(real_activations)) == 0:
        raise InputError("realism: there are no real excerpts to compare with")
    flat = examples.reshape((-1, *shape))
    counts = examples.shape[:2]
    values = {}
    if critic is not None:
        scores = _applied(critic, flat)[:, 0]
        values["critic_scores"] = scores.reshape(counts).mean(axis=1)
        values["real_critic_score"] = float(np.concatenate(real_scores)[:, 0].mean())
    if inner is not None:
        real = np.concatenate(real_activations)
        distances = nearest_distances(_applied(inner, flat), real)
        values["nearest_distances"] = distances.reshape(counts).mean(axis=1)
        values["real_nearest_distance"] = float(nearest_distances(real, real, others=True).mean())
    return Realism(**values)


def nearest_distances(points: np.ndarray, real: np.ndarray, others: bool = False) -> np.ndarray:
    """Euclidean distance of each point to the nearest real one.

    Args:
        points: (P, n).
        real: (M, n).
        others: Whether ``points`` are ``real`` themselves, and each is compared with the others.

    Returns:
        (P,) float64.

    Raises:
        InputError: If there is nothing to compare with.
    """
    if len(real) < 1 + others:
        raise InputError(f"nearest_distances: found {len(real)} real points, too few to compare")
    points, real = np.asarray(points, dtype=float), np.asarray(real, dtype=float)
    center = real.mean(axis=0)  # Squares of small numbers lose fewer digits.
    points, real = points - center, real - center
    real_squares = np.square(real).sum(axis=1)
    found = np.empty(len(points))
    for start in range(0, len(points), 256):
        block = points[start : start + 256]
        squares = np.square(block).sum(axis=1)[:, None] + real_squares - 2 * block @ real.T
        if others:
            rows = np.arange(len(block))
            squares[rows, start + rows] = np.inf
        found[start : start + 256] = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return found


def layer_units(
    classifier: keras.Model, layer: str, excerpts: np.ndarray, flag: str = "distance_layer"
) -> np.ndarray:
    """Activations of all units of a layer.

    Args:
        classifier: A model that tells the shape of its input.
        layer: Name of one of its layers; see `svdam.explain.activations`.
        excerpts: (N, frames, mels, 1).
        flag: The flag that named the layer, for messages.

    Returns:
        (N, units) float32.

    Raises:
        InputError: If there is no such layer.
    """
    classifier = fitted_model(classifier, excerpts.shape[1:], "--classifier: it")
    return _applied(_inner_model(classifier, layer, flag), excerpts)


def _inner_model(
    classifier: keras.Model, layer: str, flag: str = "nearest_layer"
) -> Callable[[np.ndarray], tf.Tensor]:
    """A function from excerpts to the activations of a layer."""
    activations = Activations(classifier)
    activations.require(layer, flag)

    @tf.function(reduce_retracing=True)
    def inner(excerpts):
        """(batch, ...) activations."""
        return activations(excerpts)[layer]

    return inner


def _applied(model: Callable, excerpts: np.ndarray) -> np.ndarray:
    batches = (excerpts[start : start + _BATCH] for start in range(0, len(excerpts), _BATCH))
    return np.concatenate([_flat(model(batch)) for batch in batches])


def _flat(values) -> np.ndarray:
    values = keras.ops.convert_to_numpy(values)
    return values.reshape(len(values), -1)
