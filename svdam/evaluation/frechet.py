"""The Frechet distance between two sets of responses: eq. 3 of the paper, and its general form.

Two normal distributions with means m and covariances S lie apart by

    |m_a - m_b|^2 + trace(S_a + S_b - 2 (S_a S_b)^(1/2)),

which for scalar responses is eq. 3. As in the paper, ``sigma`` is a variance, never a standard
deviation, and variances of samples are the unbiased ones (divided by N - 1). The distance has the
unit of the response squared; 0 means equal means and equal variances.

Caveat: estimated from few samples the distance is biased upwards. Two sets of N from one and the
same normal distribution with variance s already lie about 3 s / N apart, so distances should only
be compared at equal N.
"""

import numpy as np

from svdam.core.validation import InputError, require_finite


def frechet_distance(
    mean_a: float | np.ndarray,
    var_a: float | np.ndarray,
    mean_b: float | np.ndarray,
    var_b: float | np.ndarray,
) -> float:
    """Frechet distance between two normal distributions (eq. 3).

    Args:
        mean_a: Mean of the first distribution: a scalar, or a vector of shape (n,).
        var_a: Its variance (not its standard deviation), or its covariance matrix (n, n). Singular
            covariances, as those of fewer samples than dimensions, are fine.
        mean_b: Mean of the second distribution.
        var_b: Its variance or covariance matrix.

    Returns:
        The distance, at least 0; infinite if it exceeds the range of a double.

    Raises:
        InputError: If shapes disagree, a value is not finite, a variance is negative, or a
            covariance matrix is not symmetric or has a clearly negative eigenvalue.

    Example:
        >>> frechet_distance(10.5, 2.0, 8.5, 2.0)  # The squared difference of the means.
        4.0
        >>> frechet_distance([0, 0], [[1, 0], [0, 1]], [0, 1], [[4, 0], [0, 1]])
        2.0
    """
    mean_a, var_a = _validate_moments(mean_a, var_a, "a")
    mean_b, var_b = _validate_moments(mean_b, var_b, "b")
    if mean_a.shape != mean_b.shape:
        raise InputError(
            f"frechet_distance: mean_a has shape {mean_a.shape}, mean_b {mean_b.shape}; "
            "both sides must measure the same response"
        )
    if mean_a.ndim == 0:
        return scalar_distances(mean_a, var_a, mean_b, var_b).item()
    root_a, root_b = _symmetric_root(var_a, "var_a"), _symmetric_root(var_b, "var_b")
    # trace((A B)^1/2) is the sum of the singular values of A^1/2 B^1/2. Unlike the square root of
    # the product, this never takes the root of a rounding error of a singular matrix.
    coupling = np.linalg.svd(root_a @ root_b, compute_uv=False).sum()
    return _distance(mean_a, mean_b, np.trace(var_a) + np.trace(var_b), coupling)


def scalar_distances(
    mean_a: np.ndarray, var_a: np.ndarray, mean_b: np.ndarray, var_b: np.ndarray
) -> np.ndarray:
    """Eq. 3, elementwise on arrays of means and variances that broadcast; nothing is checked."""
    with np.errstate(over="ignore"):
        # s_a + s_b - 2 sqrt(s_a s_b), written so that equal variances cancel to exactly 0.
        return np.square(mean_a - mean_b) + np.square(np.sqrt(var_a) - np.sqrt(var_b))


def frechet_distance_of_samples(samples_a: np.ndarray, samples_b: np.ndarray) -> float:
    """Frechet distance between two sets of responses, with unbiased variances (eq. 3).

    For vectors no covariance matrix is built: time and memory follow the number of samples, so a
    layer of many thousand units is no burden.

    Args:
        samples_a: (N,) scalar responses, or (N, n) vectors of a layer's activations.
        samples_b: (M,) or (M, n).

    Returns:
        The distance, at least 0.

    Raises:
        InputError: If shapes disagree, a set has fewer than two samples, or a value is not finite.

    Example:
        >>> frechet_distance_of_samples([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
        1.0
    """
    samples_a, samples_b = _validate_samples(samples_a, "a"), _validate_samples(samples_b, "b")
    if samples_a.shape[1:] != samples_b.shape[1:]:
        raise InputError(
            f"frechet_distance_of_samples: responses have shapes {samples_a.shape[1:]} and "
            f"{samples_b.shape[1:]}; both sides must measure the same response"
        )
    if samples_a.ndim == 1:
        mean_a, var_a = sample_moments(samples_a)
        mean_b, var_b = sample_moments(samples_b)
        return scalar_distances(mean_a, var_a, mean_b, var_b).item()
    mean_a, mean_b = samples_a.mean(axis=0), samples_b.mean(axis=0)
    root_a = (samples_a - mean_a) / np.sqrt(len(samples_a) - 1)
    root_b = (samples_b - mean_b) / np.sqrt(len(samples_b) - 1)
    total = np.square(root_a).sum() + np.square(root_b).sum()
    coupling = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return _distance(mean_a, mean_b, total, coupling)


def sample_moments(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance (covariance matrix, for vectors) of a set of responses.

    Args:
        samples: (N,) or (N, n), at least two samples.

    Returns:
        Scalars, or shapes (n,) and (n, n), float64: what `frechet_distance` takes.

    Raises:
        InputError: If there are fewer than two samples, or a value is not finite.
    """
    samples = _validate_samples(samples, "of responses")
    if samples.ndim == 1:
        return samples.mean(), samples.var(ddof=1)
    return samples.mean(axis=0), np.atleast_2d(np.cov(samples, rowvar=False, ddof=1))


def _distance(mean_a: np.ndarray, mean_b: np.ndarray, total: float, coupling: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.square(mean_a - mean_b).sum() + max(total - 2 * coupling, 0.0))


def _symmetric_root(covariance: np.ndarray, name: str) -> np.ndarray:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    noise = len(values) * np.finfo(float).eps * np.abs(values).max()
    # Estimates that were stored in single precision may be this far from positive.
    tolerance = max(noise, 1e-6 * np.abs(values).max())
    if values[0] < -tolerance:
        raise InputError(
            f"frechet_distance: {name} is not a covariance matrix (eigenvalue {values[0]:.6g} < 0)"
        )
    roots = np.sqrt(np.where(values > noise, values, 0.0))
    return (vectors * roots) @ vectors.T


def _validate_moments(mean, variance, side: str) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    require_finite(mean, f"frechet_distance: mean_{side}")
    require_finite(variance, f"frechet_distance: var_{side}")
    if mean.ndim > 1 or not mean.size:
        raise InputError(
            f"frechet_distance: mean_{side} has shape {mean.shape}, expected a scalar or (n,)"
        )
    if variance.shape != mean.shape * 2:
        raise InputError(
            f"frechet_distance: var_{side} has shape {variance.shape}, expected {mean.shape * 2} "
            f"for a mean of shape {mean.shape}"
        )
    if mean.ndim == 0 and variance < 0:
        raise InputError(f"frechet_distance: var_{side} is {variance.item():.6g}, expected >= 0")
    if mean.ndim == 1:
        scale = np.abs(variance).max()
        if not np.allclose(variance, variance.T, rtol=0, atol=1e-6 * scale):
            raise InputError(f"frechet_distance: var_{side} is not symmetric")
        variance = (variance + variance.T) / 2
    return mean, variance


def _validate_samples(samples: np.ndarray, side: str) -> np.ndarray:
    samples = np.asarray(samples, dtype=float)
    if samples.ndim not in (1, 2):
        raise InputError(
            f"samples {side}: found shape {samples.shape}, expected (N,) or (N, n) responses"
        )
    if len(samples) < 2:
        raise InputError(
            f"samples {side}: found {len(samples)}, expected at least 2: a variance needs two"
        )
    require_finite(samples, f"samples {side}")
    return samples
