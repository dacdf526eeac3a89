"""Does the metric mean what it says? Realism of examples, measured without the response.

Eq. 3 looks at responses only. Two measures that do not use it complement it: what the GAN's
critic thinks of an example (higher is more like the music that it was trained on), and how far an
example lies from the nearest real excerpt, as Euclidean distance between activations of a late
layer of the classifier (smaller is more like something real). Real excerpts give the scale: the
critic's mean score of theirs, and their distance to the nearest other one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from svdam.core.validation import InputError
from svdam.evaluation.ranking import rank_correlation


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


@dataclasses.dataclass(frozen=True)
class RealismRow:
    """Measures of one configuration that do not use the response; None where not measured.

    Attributes:
        name: Rank of the configuration, or ``real``.
        mark: ``best``, ``median``, ``worst`` or "".
        distance: Eq. 3; None for the real excerpts.
        critic_score: Mean score given by the GAN's critic.
        nearest_distance: Mean distance to the nearest real excerpt.
    """

    name: str
    mark: str
    distance: float | None
    critic_score: float | None
    nearest_distance: float | None


def measure_realism(
    scores: np.ndarray | None = None,
    real_scores: np.ndarray | None = None,
    units: np.ndarray | None = None,
    real_units: np.ndarray | None = None,
) -> Realism:
    """Measures the realism of the examples of C configurations, N each.

    Args:
        scores: (C, N) critic scores of the examples; None to leave them out.
        real_scores: (M,) critic scores of the real excerpts.
        units: (C, N, n) activations of the examples in a layer; None to leave distances out.
        real_units: (M, n) activations of the real excerpts.

    Raises:
        InputError: If there are too few real excerpts to compare with.
    """
    found: dict[str, Any] = {}
    if scores is not None and real_scores is not None:
        if not len(real_scores):
            raise InputError("realism: there are no real excerpts to compare with")
        found["critic_scores"] = scores.mean(axis=1)
        found["real_critic_score"] = float(real_scores.mean())
    if units is not None and real_units is not None:
        distances = nearest_distances(units.reshape(-1, units.shape[-1]), real_units)
        found["nearest_distances"] = distances.reshape(units.shape[:2]).mean(axis=1)
        between = nearest_distances(real_units, real_units, others=True)
        found["real_nearest_distance"] = float(between.mean())
    return Realism(**found)


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
