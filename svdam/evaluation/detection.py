"""How well predictions, of singing or of any other label, agree with labels: Table 3 and AUROC.

The evaluation of Schlueter & Grill (ISMIR 2015), which the paper's Table 3 uses:

- A prediction is one probability of singing per frame, at 70 frames per second, and a label
  one boolean per frame. Both come as lists of 1-D arrays, one array per song.
- Each song's predictions are smoothed by a median filter of 56 frames (0.8 s); beyond its ends a
  song is extended by its first and last value. The length is even: of the 56 sorted values the
  filter takes the 29th, from 28 frames before a frame to 27 after it.
- A frame counts as singing where the smoothed prediction is greater than the threshold.
- Frames of all songs are pooled, as if they were one long song.
- Without a given threshold, the one with the highest accuracy among `THRESHOLDS` is taken, the
  first one if several are equal. Choose it on validation songs, and give it for test songs.
- AUROC is the area under the trapezoids between the operating points of `THRESHOLDS`, smoothed
  predictions included. It is undefined, and None, where the labels hold one class only.

Precision, recall, specificity and F1 are 0 where their numerator is 0, as in the original.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage

from svdam.core.config import MEDIAN_FILTER_FRAMES
from svdam.core.validation import InputError

THRESHOLDS = np.array(
    [1e-5, 1e-4, 1e-3, *(step / 100 for step in range(1, 100)), 1 - 1e-3, 1 - 1e-4, 1 - 1e-5]
)
"""Thresholds that are tried, and operating points of the ROC curve."""


def evaluate(
    predictions: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    threshold: float | None = None,
    *,
    median_frames: int = MEDIAN_FILTER_FRAMES,
    pooled: bool = True,
    label: str = "singing",
) -> dict[str, Any]:
    """Scores predictions against labels (Table 3).

    Args:
        predictions: One array (frames,) a song: probability of singing, from 0 to 1.
        labels: One array (frames,) a song: True or 1 where there is singing.
        threshold: Smoothed predictions above it count as singing; None to choose the most accurate.
        median_frames: Length of the median filter; 0 or 1 for none.
        pooled: Whether the frames of all songs are pooled. If not, every score is an array with one
            value a song, and the threshold is the one with the best mean accuracy of the songs.
        label: What is predicted, in words, for messages.

    Returns:
        ``threshold``, ``precision``, ``recall``, ``specificity``, ``f1``, ``error``, ``accuracy``
        and ``auroc``; the last is None where it is undefined.

    Raises:
        InputError: If songs or lengths do not match, or a value is out of range.

    Example:
        >>> import numpy as np
        >>> label = np.arange(700) < 350  # Singing for 5 of 10 seconds.
        >>> scores = evaluate([np.where(label, 0.9, 0.2)], [label], threshold=0.5)
        >>> scores["recall"], scores["specificity"]
        (1.0, 0.997...)
    """
    predictions, labels = validate_detection(predictions, labels, threshold)
    smoothed = [smooth_predictions(prediction, median_frames) for prediction in predictions]
    thresholds = _thresholds_with(threshold)
    counts = np.stack(
        [
            count_outcomes(song, truth, thresholds)
            for song, truth in zip(smoothed, labels, strict=True)
        ]
    )
    if pooled:
        counts = counts.sum(axis=0, keepdims=True)
    scores = scores_of_counts(counts)
    if threshold is None:
        best = int(np.argmax(scores["accuracy"].mean(axis=0)))
    else:
        best = int(np.searchsorted(thresholds, threshold))
    auroc = _areas_under_roc(counts, scores, label)
    result: dict[str, Any] = {name: values[:, best] for name, values in scores.items()}
    if pooled:
        result = {name: float(values[0]) for name, values in result.items()}
    return {"threshold": float(thresholds[best]), **result, "auroc": auroc[0] if pooled else auroc}


def validate_detection(
    predictions: Sequence[np.ndarray], labels: Sequence[np.ndarray], threshold: float | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Checks what `evaluate` takes, and returns float predictions and boolean labels.

    Songs without a frame are left out, with a warning.

    Raises:
        InputError: Saying which song is wrong (counted from 0), what was found and expected.
    """
    if len(predictions) != len(labels):
        raise InputError(f"found predictions of {len(predictions)} songs, labels of {len(labels)}")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold: found {threshold}, expected a probability from 0 to 1")
    checked = [
        (_checked_prediction(prediction, index), _checked_label(label, index))
        for index, (prediction, label) in enumerate(zip(predictions, labels, strict=True))
    ]
    for index, (prediction, label) in enumerate(checked):
        if len(prediction) != len(label):
            raise InputError(
                f"song {index}: found {len(prediction)} predictions and {len(label)} labels, "
                "expected one of each per frame"
            )
        if not len(prediction):
            warnings.warn(f"song {index} has no frames and is left out", stacklevel=3)
    checked = [(prediction, label) for prediction, label in checked if len(prediction)]
    if not checked:
        raise InputError("found no labelled frame, expected at least one song with labels")
    return [prediction for prediction, _ in checked], [label for _, label in checked]


def smooth_predictions(
    prediction: np.ndarray, median_frames: int = MEDIAN_FILTER_FRAMES
) -> np.ndarray:
    """Median-filters one song's predictions; its first and last value go on beyond its ends.

    Args:
        prediction: (frames,) probabilities.
        median_frames: Length of the filter, in frames. For an even length the greater of the two
            middle values is taken, and one more frame before than after the centre.

    Returns:
        (frames,) of the same dtype.
    """
    if median_frames < 2 or not len(prediction):
        return prediction
    before, after = median_frames // 2, (median_frames - 1) // 2
    # Padded here, so that songs shorter than the filter do not depend on SciPy's treatment of them.
    padded = np.pad(prediction, (before, after), mode="edge")
    smoothed = scipy.ndimage.median_filter(padded, median_frames, mode="nearest")
    return smoothed[before : before + len(prediction)]


def count_outcomes(prediction: np.ndarray, label: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Counts frames of one song by outcome.

    Args:
        prediction: (frames,) smoothed probabilities.
        label: (frames,) bool.
        thresholds: (thresholds,) in rising order.

    Returns:
        (4, thresholds) int64: true positives, false positives, true negatives, false negatives.
    """
    # Doubles on both sides: a threshold must not be rounded to single precision.
    singing = np.sort(prediction[label].astype(np.float64))
    other = np.sort(prediction[~label].astype(np.float64))
    false_negatives = np.searchsorted(singing, thresholds, side="right")
    true_negatives = np.searchsorted(other, thresholds, side="right")
    true_positives = len(singing) - false_negatives
    false_positives = len(other) - true_negatives
    return np.stack([true_positives, false_positives, true_negatives, false_negatives])


def scores_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the counts of `count_outcomes`.

    Args:
        counts: (songs, 4, thresholds) int64.

    Returns:
        ``precision``, ``recall``, ``specificity``, ``f1``, ``error`` and ``accuracy``, each
        (songs, thresholds) float64.
    """
    tp, fp, tn, fn = np.moveaxis(counts, 1, 0)
    precision = _ratio(tp, tp + fp)
    recall = _ratio(tp, tp + fn)
    accuracy = (tp + tn) / (tp + fp + tn + fn)
    return {
        "precision": precision,
        "recall": recall,
        "specificity": _ratio(tn, tn + fp),
        "f1": _ratio(2 * precision * recall, precision + recall),
        "error": 1 - accuracy,
        "accuracy": accuracy,
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient; 0 where the numerator is 0, whatever the denominator."""
    return numerator / np.where(numerator == 0, 1, denominator)


def _thresholds_with(threshold: float | None) -> np.ndarray:
    if threshold is None or threshold in THRESHOLDS:
        return THRESHOLDS
    return np.insert(THRESHOLDS, np.searchsorted(THRESHOLDS, threshold), threshold)


def _areas_under_roc(
    counts: np.ndarray, scores: dict[str, np.ndarray], label: str
) -> list[float | None]:
    """AUROC of every row of ``counts``; None, with a warning, where one class is missing."""
    num_positive = counts[:, 0, 0] + counts[:, 3, 0]
    num_other = counts[:, 1, 0] + counts[:, 2, 0]
    areas: list[float | None] = []
    for row, (positive, other) in enumerate(zip(num_positive, num_other, strict=True)):
        if not positive or not other:
            found = label if positive else f"no {label}"
            place = f"song {row}: " if len(counts) > 1 else ""
            warnings.warn(
                f"{place}AUROC is undefined, because all labels are {found}", stacklevel=3
            )
            areas.append(None)
            continue
        recall = np.concatenate([[0], scores["recall"][row, ::-1], [1]])
        false_alarms = np.concatenate([[0], 1 - scores["specificity"][row, ::-1], [1]])
        heights = (recall[1:] + recall[:-1]) / 2
        areas.append(float(np.sum(np.diff(false_alarms) * heights)))
    return areas


def _checked_prediction(prediction: np.ndarray, index: int) -> np.ndarray:
    prediction = np.asarray(prediction)
    if prediction.ndim != 1 or prediction.dtype.kind not in "fiub":
        raise InputError(
            f"song {index}: found predictions of shape {prediction.shape} and dtype "
            f"{prediction.dtype}, expected (frames,) probabilities"
        )
    if prediction.dtype.kind != "f":
        prediction = prediction.astype(np.float64)
    outside = np.count_nonzero(~((prediction >= 0) & (prediction <= 1)))
    if outside:
        raise InputError(
            f"song {index}: {outside} of {prediction.size} predictions are not probabilities from "
            "0 to 1; apply the sigmoid to logits first"
        )
    return prediction


def _checked_label(label: np.ndarray, index: int) -> np.ndarray:
    label = np.asarray(label)
    if label.ndim != 1 or not np.isin(label, (0, 1)).all():
        raise InputError(
            f"song {index}: found labels of shape {label.shape} and dtype {label.dtype}, "
            "expected (frames,) of 0 and 1"
        )
    return label.astype(bool)
