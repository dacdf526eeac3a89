"""Measures of realism against SciPy's distances and models whose output is known."""

import keras
import numpy as np
import pytest
import scipy.spatial

from svdam.core.validation import InputError
from svdam.explain.realism import Realism, layer_units, measure_realism, nearest_distances


def mean_critic():
    """Scores an excerpt by its mean."""
    inputs = keras.Input((6, 4, 1))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


def flat_classifier():
    """A classifier whose layer ``fc2`` is its input, flattened, times two."""
    inputs = keras.Input((6, 4, 1))
    scaled = keras.layers.Rescaling(2.0, name="scaled")(inputs)
    flat = keras.layers.Flatten(name="fc2")(scaled)
    return keras.Model(inputs, keras.layers.Dense(1, name="logit")(flat))


def test_measures_by_hand():
    rng = np.random.default_rng(0)
    examples = rng.normal(size=(3, 5, 6, 4, 1)).astype(np.float32)
    real = rng.normal(size=(70, 6, 4, 1)).astype(np.float32)
    batches = iter([real[:40], real[40:]])
    found = measure_realism(examples, batches, mean_critic(), flat_classifier())
    np.testing.assert_allclose(found.critic_scores, examples.mean(axis=(1, 2, 3, 4)), atol=1e-5)
    assert found.real_critic_score == pytest.approx(real.mean(), abs=1e-5)
    points = 2 * real.reshape(70, -1)
    expected = scipy.spatial.distance.cdist(2 * examples.reshape(15, -1), points).min(axis=1)
    np.testing.assert_allclose(found.nearest_distances, expected.reshape(3, 5).mean(1), rtol=1e-5)
    between = scipy.spatial.distance.cdist(points, points) + np.diag([np.inf] * 70)
    assert found.real_nearest_distance == pytest.approx(between.min(axis=1).mean(), rel=1e-5)


def test_each_measure_can_be_left_out():
    examples = np.zeros((2, 3, 6, 4, 1), np.float32)
    real = [np.ones((2, 6, 4, 1), np.float32)]
    found = measure_realism(examples, real, critic=mean_critic())
    assert found.nearest_distances is None and found.real_nearest_distance is None
    found = measure_realism(examples, real, classifier=flat_classifier())
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


def test_unknown_layer_and_no_real_excerpts():
    examples = np.zeros((1, 2, 6, 4, 1), np.float32)
    real = [np.ones((2, 6, 4, 1), np.float32)]
    with pytest.raises(InputError, match=r"--nearest_layer: .*'fc9'.*'scaled', 'fc2'"):
        measure_realism(examples, real, classifier=flat_classifier(), layer="fc9")
    with pytest.raises(InputError, match="no real excerpts"):
        measure_realism(examples, [], critic=mean_critic())
    with pytest.raises(InputError, match="too few"):
        nearest_distances(np.zeros((1, 2)), np.zeros((1, 2)), others=True)


def test_units_of_a_layer():
    excerpts = np.random.default_rng(3).normal(size=(70, 6, 4, 1)).astype(np.float32)
    units = layer_units(flat_classifier(), "fc2", excerpts)
    np.testing.assert_allclose(units, 2 * excerpts.reshape(70, -1), rtol=1e-6)
    with pytest.raises(InputError, match=r"--distance_layer: .*no layer 'fc9'; it has .*'fc2'"):
        layer_units(flat_classifier(), "fc9", excerpts)
