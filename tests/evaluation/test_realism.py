"""Measures of realism against SciPy's distances."""

import numpy as np
import pytest
import scipy.spatial

from svdam.core.validation import InputError
from svdam.evaluation.realism import Realism, measure_realism, nearest_distances


def test_measures_by_hand():
    rng = np.random.default_rng(0)
    scores, real_scores = rng.normal(size=(3, 5)), rng.normal(size=70)
    units, real_units = rng.normal(size=(3, 5, 24)), rng.normal(size=(70, 24))
    found = measure_realism(scores, real_scores, units, real_units)
    np.testing.assert_allclose(found.critic_scores, scores.mean(axis=1))
    assert found.real_critic_score == pytest.approx(real_scores.mean())
    expected = scipy.spatial.distance.cdist(units.reshape(15, -1), real_units).min(axis=1)
    np.testing.assert_allclose(found.nearest_distances, expected.reshape(3, 5).mean(1), rtol=1e-5)
    between = scipy.spatial.distance.cdist(real_units, real_units) + np.diag([np.inf] * 70)
    assert found.real_nearest_distance == pytest.approx(between.min(axis=1).mean(), rel=1e-5)


def test_each_measure_can_be_left_out():
    found = measure_realism(scores=np.zeros((2, 3)), real_scores=np.ones(2))
    assert found.nearest_distances is None and found.real_nearest_distance is None
    found = measure_realism(units=np.zeros((2, 3, 24)), real_units=2 * np.ones((2, 24)))
    assert found.critic_scores is None
    np.testing.assert_allclose(found.nearest_distances, 2 * np.sqrt(24), rtol=1e-6)


def test_nearest_distances_far_from_the_origin_lose_no_digits():
    rng = np.random.default_rng(1)
    real = 1e6 + rng.normal(size=(600, 3))
    points = 1e6 + rng.normal(size=(300, 3))
    expected = scipy.spatial.KDTree(real).query(points)[0]
    np.testing.assert_allclose(nearest_distances(points, real), expected, rtol=1e-6, atol=1e-9)
    expected = scipy.spatial.KDTree(real).query(real, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest_distances(real, real, others=True), expected, rtol=1e-6)


def test_correlations_with_the_metric():
    measured = Realism(
        critic_scores=np.array([3.0, 2, 1, 0]), nearest_distances=np.array([5.0, 5, 5, 5])
    )
    assert measured.correlations([0.1, 2, 30, 400]) == {"critic_scores": pytest.approx(-1)}
    assert Realism(critic_scores=np.array([1.0, 2.0])).correlations([1, 2]) == {}


def test_too_few_real_excerpts():
    with pytest.raises(InputError, match="no real excerpts"):
        measure_realism(scores=np.zeros((1, 2)), real_scores=np.zeros(0))
    with pytest.raises(InputError, match="too few"):
        nearest_distances(np.zeros((1, 2)), np.zeros((1, 2)), others=True)
