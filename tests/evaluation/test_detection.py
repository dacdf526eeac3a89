"""Table 3's scores against counting frame by frame, and what the evaluation refuses."""

import math

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.evaluation import detection


def random_songs(seed, lengths=(300, 120, 700), resolution=None):
    """Predictions that know something about the labels; on a grid, so that ties occur, if asked."""
    random = np.random.RandomState(seed)
    labels = [np.repeat(random.rand(math.ceil(n / 40)) < 0.5, 40)[:n] for n in lengths]
    predictions = [np.clip(0.3 * random.randn(len(y)) + 0.3 + 0.4 * y, 0, 1) for y in labels]
    if resolution:
        predictions = [np.round(p * resolution) / resolution for p in predictions]
    return [p.astype(np.float32) for p in predictions], labels


def median_by_sorting(prediction, length):
    before = length // 2
    extended = [prediction[min(max(i, 0), len(prediction) - 1)] for i in range(-before, 2000)]
    return np.array([sorted(extended[i : i + length])[before] for i in range(len(prediction))])


def counts_by_loop(predictions, labels, threshold):
    outcomes = {"tp": 0, "fp": 0, "tn": 0, "fn": 0}
    for prediction, label in zip(predictions, labels, strict=True):
        for value, truth in zip(prediction, label, strict=True):
            positive = float(value) > threshold
            outcomes[("t" if positive == truth else "f") + ("p" if positive else "n")] += 1
    return outcomes


@pytest.mark.parametrize("frames", [1, 2, 27, 28, 29, 56, 57, 400])
def test_median_filter_of_even_length_takes_the_upper_middle_value(frames):
    prediction = np.random.RandomState(frames).rand(frames).astype(np.float32)
    smoothed = detection.smooth_predictions(prediction)
    np.testing.assert_array_equal(smoothed, median_by_sorting(prediction, 56))
    assert smoothed.dtype == np.float32


@pytest.mark.parametrize("median_frames", [0, 1])
def test_no_median_filter(median_frames):
    prediction = np.random.RandomState(0).rand(80)
    np.testing.assert_array_equal(
        detection.smooth_predictions(prediction, median_frames), prediction
    )


@pytest.mark.parametrize("threshold", [0.0, 1e-5, 0.3333, 0.37, 0.5, 0.99999, 1.0])
def test_scores_are_ratios_of_counted_frames(threshold):
    predictions, labels = random_songs(3, resolution=50)
    scores = detection.evaluate(predictions, labels, threshold)
    smoothed = [median_by_sorting(prediction, 56) for prediction in predictions]
    n = counts_by_loop(smoothed, labels, threshold)
    precision = n["tp"] / (n["tp"] + n["fp"]) if n["tp"] else 0
    recall = n["tp"] / (n["tp"] + n["fn"])
    assert scores["threshold"] == threshold
    assert scores["precision"] == pytest.approx(precision, abs=1e-12)
    assert scores["recall"] == pytest.approx(recall, abs=1e-12)
    assert scores["specificity"] == pytest.approx(n["tn"] / (n["tn"] + n["fp"]), abs=1e-12)
    f1 = 2 * n["tp"] / (2 * n["tp"] + n["fp"] + n["fn"])
    assert scores["f1"] == pytest.approx(f1, abs=1e-12)
    assert scores["error"] == pytest.approx((n["fp"] + n["fn"]) / sum(n.values()), abs=1e-12)
    assert scores["accuracy"] == pytest.approx(1 - scores["error"], abs=1e-12)


def test_chosen_threshold_is_the_first_most_accurate_of_the_grid():
    grid = [1e-5, 1e-4, 1e-3, *(i / 100 for i in range(1, 100)), 1 - 1e-3, 1 - 1e-4, 1 - 1e-5]
    predictions, labels = random_songs(7, lengths=(200, 90), resolution=8)
    accuracies = []
    for threshold in grid:
        n = counts_by_loop(predictions, labels, threshold)
        accuracies.append(n["tp"] + n["tn"])
    best = accuracies.index(max(accuracies))
    assert accuracies.count(max(accuracies)) > 1  # Otherwise the test does not see ties.
    chosen = detection.evaluate(predictions, labels, median_frames=0)
    assert chosen["threshold"] == grid[best]
    assert chosen["accuracy"] == pytest.approx(max(accuracies) / 290, abs=1e-12)


def test_a_prediction_equal_to_the_threshold_is_no_singing():
    scores = detection.evaluate(
        [np.array([0.5, 0.5, 0.7])], [np.array([0, 0, 1])], 0.5, median_frames=0
    )
    assert scores["accuracy"] == 1


def test_a_single_precision_prediction_is_compared_in_double_precision():
    # float32(0.7) is 0.699999988: below 0.7, though 0.7 rounds to it.
    scores = detection.evaluate(
        [np.array([0.7, 0.9], np.float32)], [np.array([0, 1])], 0.7, median_frames=0
    )
    assert scores["error"] == 0


def test_auroc_is_the_probability_of_ranking_a_singing_frame_higher():
    # Predictions on the grid's cells, so that its operating points are all there are.
    predictions, labels = random_songs(5, lengths=(200, 150))
    predictions = [np.clip(np.floor(p * 100) / 100 + 0.005, 0.005, 0.995) for p in predictions]
    values, truth = np.concatenate(predictions), np.concatenate(labels)
    difference = values[truth][:, None] - values[~truth][None]
    ranked = np.mean((difference > 1e-9) + 0.5 * (np.abs(difference) <= 1e-9))
    scores = detection.evaluate(predictions, labels, median_frames=0)
    assert scores["auroc"] == pytest.approx(ranked, abs=1e-9)


def test_scores_of_single_songs():
    predictions, labels = random_songs(6)
    apart = detection.evaluate(predictions, labels, pooled=False)
    for index, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        alone = detection.evaluate([prediction], [label], apart["threshold"])
        for name in ("precision", "recall", "specificity", "f1", "error", "accuracy", "auroc"):
            assert apart[name][index] == pytest.approx(alone[name], abs=1e-12), name


def test_pooling_counts_frames_not_songs():
    predictions = [np.full(10, 0.9), np.full(30, 0.9)]
    labels = [np.ones(10), np.zeros(30)]
    assert detection.evaluate(predictions, labels, 0.5)["precision"] == 0.25


@pytest.mark.parametrize("value", [0, 1])
def test_auroc_of_one_class_is_undefined(value):
    with pytest.warns(UserWarning, match="AUROC is undefined"):
        scores = detection.evaluate([np.linspace(0, 1, 99)], [np.full(99, value)], 0.5)
    assert scores["auroc"] is None
    assert all(math.isfinite(scores[name]) for name in scores if name != "auroc")


def test_a_song_without_frames_is_left_out():
    with pytest.warns(UserWarning, match="song 1 has no frames"):
        scores = detection.evaluate(
            [np.array([0.2, 0.8]), np.array([])], [np.array([0, 1]), np.array([])], 0.5
        )
    assert scores["accuracy"] == 1


@pytest.mark.parametrize(
    ("predictions", "labels", "threshold", "message"),
    [
        ([[0.1]], [], None, "predictions of 1 songs, labels of 0"),
        ([], [], None, "no labelled frame"),
        ([[0.1, 0.2]], [[1]], None, "song 0: found 2 predictions and 1 labels"),
        ([[[0.1], [0.2]]], [[1, 0]], None, r"song 0: found predictions of shape \(2, 1\)"),
        ([[0.1, 1.5]], [[1, 0]], None, "song 0: 1 of 2 predictions are not probabilities"),
        ([[0.1], [np.nan]], [[1], [0]], None, "song 1: 1 of 1 predictions"),
        ([["a"]], [[1]], None, "song 0: found predictions"),
        ([[0.1, 0.2]], [[1, 2]], None, "song 0: found labels"),
        ([[0.1, 0.2]], [[1, np.nan]], None, "song 0: found labels"),
        ([[0.1, 0.2]], [[1, 0]], 1.2, "threshold: found 1.2"),
        ([[0.1, 0.2]], [[1, 0]], float("nan"), "threshold: found nan"),
    ],
)
def test_refuses(predictions, labels, threshold, message):
    arrays = [np.array(p) for p in predictions], [np.array(y) for y in labels]
    with pytest.raises(InputError, match=message):
        detection.evaluate(*arrays, threshold)
