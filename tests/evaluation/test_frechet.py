"""Eq. 3 by hand, and its general form against scipy.linalg.sqrtm."""

import math

import numpy as np
import pytest
import scipy.linalg

from svdam.core.validation import InputError
from svdam.evaluation.frechet import (
    frechet_distance,
    frechet_distance_of_samples,
    sample_moments,
    scalar_distances,
)


def by_sqrtm(mean_a, cov_a, mean_b, cov_b):
    """The textbook formula, with SciPy's general matrix square root."""
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * root)


def random_covariance(rng, size, rank=None):
    factor = rng.normal(size=(size, rank or 2 * size))
    return factor @ factor.T / factor.shape[1]


def test_scalar_by_hand():
    # (3 - 1)^2 + 4 + 9 - 2 sqrt(4 * 9) = 4 + 13 - 12: sigma is a variance in the paper.
    assert frechet_distance(3, 4, 1, 9) == pytest.approx(5, rel=1e-15)


@pytest.mark.parametrize(
    "moments", [(6.2, 1.3, 5.9, 0.4), (-7.0, 0.0, 2.5, 3.0), (0.0, 1e-12, 0.0, 1e12)]
)
def test_scalar_is_the_formula_of_the_paper(moments):
    mean_r, var_r, mean_g, var_g = moments
    expected = (mean_r - mean_g) ** 2 + var_r + var_g - 2 * math.sqrt(var_r * var_g)
    assert frechet_distance(*moments) == pytest.approx(expected, rel=1e-12)


def test_equal_distributions_lie_exactly_at_zero():
    assert frechet_distance(0.1, 0.3, 0.1, 0.3) == 0.0


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_matrices_agree_with_sqrtm(size):
    rng = np.random.default_rng(size)
    mean_a, mean_b = rng.normal(size=(2, size))
    cov_a, cov_b = random_covariance(rng, size), 3 * random_covariance(rng, size)
    expected = by_sqrtm(mean_a, cov_a, mean_b, cov_b)
    assert frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-8)


def test_commuting_singular_matrices_have_a_closed_form():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    values_a, values_b = rng.uniform(1, 2, 30), rng.uniform(1, 2, 30)
    values_a[:20] = 0
    values_b[10:] = 0  # They share no direction at all.
    mean = np.zeros(30)
    got = frechet_distance(mean, (basis * values_a) @ basis.T, mean, (basis * values_b) @ basis.T)
    assert got == pytest.approx(np.sum((np.sqrt(values_a) - np.sqrt(values_b)) ** 2), rel=1e-12)


def test_singular_covariance_against_itself_is_zero():
    rng = np.random.default_rng(2)
    covariance = random_covariance(rng, 60, rank=5)
    assert frechet_distance(np.ones(60), covariance, np.ones(60), covariance) < 1e-12


def test_one_dimensional_vectors_are_scalars():
    assert frechet_distance([3.0], [[4.0]], [1.0], [[9.0]]) == pytest.approx(5)


def test_symmetry_and_shift():
    rng = np.random.default_rng(3)
    cov_a, cov_b = random_covariance(rng, 5), random_covariance(rng, 5)
    zero, shift = np.zeros(5), np.arange(5.0)
    forward = frechet_distance(zero, cov_a, zero, cov_b)
    assert frechet_distance(zero, cov_b, zero, cov_a) == pytest.approx(forward)
    assert frechet_distance(zero, cov_a, shift, cov_b) == pytest.approx(forward + 30)


@pytest.mark.parametrize(
    "shape_a, shape_b", [((50,), (60,)), ((50, 3), (40, 3)), ((9, 30), (7, 30))]
)
def test_samples_agree_with_their_moments(shape_a, shape_b):
    rng = np.random.default_rng(4)
    samples_a, samples_b = rng.normal(2, 3, shape_a), rng.normal(0, 1, shape_b)
    expected = frechet_distance(*sample_moments(samples_a), *sample_moments(samples_b))
    got = frechet_distance_of_samples(samples_a, samples_b)
    assert got == pytest.approx(expected, rel=1e-9)


def test_sample_variance_is_unbiased():
    mean, variance = sample_moments(np.array([1.0, 2.0, 6.0]))
    assert mean == 3 and variance == pytest.approx((4 + 1 + 9) / 2)


def test_scalar_distances_broadcast():
    got = scalar_distances(np.array([3.0, 1.0]), np.array([4.0, 9.0]), 1.0, 9.0)
    np.testing.assert_allclose(got, [5, 0])


def test_distance_beyond_doubles_is_infinite():
    assert frechet_distance(1e200, 1.0, 0.0, 1.0) == math.inf


@pytest.mark.parametrize(
    "moments, message",
    [
        ((0, -1, 0, 1), "var_a is -1"),
        ((math.nan, 1, 0, 1), "mean_a"),
        ((0, 1, 0, math.inf), "var_b"),
        (([0, 0], np.eye(3), [0, 0], np.eye(2)), r"var_a has shape \(3, 3\), expected \(2, 2\)"),
        ((0, np.eye(1), 0, 1), "var_a has shape"),
        (([0, 0], np.eye(2), [0], np.eye(1)), "same response"),
        (([0, 0], [[1, 2], [0, 1]], [0, 0], np.eye(2)), "not symmetric"),
        (([0, 0], np.eye(2), [0, 0], [[1, 2], [2, 1]]), "var_b is not a covariance"),
        ((np.zeros((2, 2)), np.eye(2), 0, 1), "mean_a has shape"),
    ],
)
def test_bad_moments(moments, message):
    with pytest.raises(InputError, match=message):
        frechet_distance(*moments)


@pytest.mark.parametrize(
    "samples_a, samples_b, message",
    [
        ([1.0], [1.0, 2.0], "at least 2"),
        ([1.0, math.nan], [1.0, 2.0], "not finite"),
        (np.zeros((3, 2)), np.zeros((3, 4)), "same response"),
        (np.zeros((3, 2, 2)), np.zeros(3), "found shape"),
    ],
)
def test_bad_samples(samples_a, samples_b, message):
    with pytest.raises(InputError, match=message):
        frechet_distance_of_samples(samples_a, samples_b)
