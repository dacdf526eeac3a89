"""The ranking against answers known beforehand, and the bootstrap against theory."""

import math

import numpy as np
import pytest

from svdam.core.validation import InputError
from svdam.evaluation.frechet import frechet_distance, frechet_distance_of_samples
from svdam.evaluation.ranking import (
    Configuration,
    rank_configurations,
    rank_correlation,
    unusable_configurations,
)

FOUR = [Configuration(0.1, 0.01, steps) for steps in (1, 2, 3, 4)]
ONE, TWO, THREE, _ = FOUR


def with_moments(rng, mean, variance, size):
    """Responses whose sample mean and unbiased variance are exactly these."""
    values = rng.normal(size=size)
    values = (values - values.mean()) / values.std(ddof=1)
    return mean + math.sqrt(variance) * values


@pytest.fixture
def generators_of_figure_2():
    """The paper's four hypothetical generators; its text says that the second is the best."""
    rng = np.random.default_rng(0)
    real = with_moments(rng, 6, 1, 50)
    moments = [(12, 1), (6.3, 1.2), (0, 1), (6.3, 0.01)]
    return np.array([with_moments(rng, *one, 50) for one in moments]), real


def test_figure_2(generators_of_figure_2):
    generated, real = generators_of_figure_2
    ranking = rank_configurations(generated, real, FOUR)
    assert [row.configuration.num_steps for row in ranking.rows] == [2, 4, 1, 3]
    assert ranking.best.configuration == TWO
    assert [row.mark for row in ranking.rows] == ["best", "median", "", "worst"]
    assert ranking.best.index == 1 and ranking.median.index == 3 and ranking.worst.index == 2
    expected = [
        frechet_distance(6, 1, *moments) for moments in ((6.3, 1.2), (6.3, 0.01), (12, 1), (0, 1))
    ]
    np.testing.assert_allclose([row.distance for row in ranking.rows], expected)
    assert ranking.real_mean == pytest.approx(6) and ranking.real_variance == pytest.approx(1)
    assert ranking.best.mean == pytest.approx(6.3)
    assert ranking.best.variance == pytest.approx(1.2)


def test_clear_winner_wins_every_resample(generators_of_figure_2):
    generated, real = generators_of_figure_2
    ranking = rank_configurations(generated[:3], real, FOUR[:3])
    assert [row.first_share for row in ranking.rows] == [1, 0, 0]
    assert ranking.ahead_share == 1 and ranking.warnings == ()


def test_interval_of_the_distance_covers_what_theory_says():
    # Far apart, the distance is about (difference of means)^2, whose standard error by the delta
    # method is 2 * difference * sqrt(var / N + var / M).
    rng = np.random.default_rng(1)
    generated = with_moments(rng, 20, 4, 200)
    real = with_moments(rng, 0, 4, 200)
    row = rank_configurations(generated[None], real, [ONE], num_resamples=4000).best
    half_width = 1.96 * 2 * 20 * math.sqrt(4 / 200 + 4 / 200)
    assert row.distance_low == pytest.approx(400 - half_width, rel=0.02)
    assert row.distance_high == pytest.approx(400 + half_width, rel=0.02)
    assert row.first_share == 1


def test_two_that_cannot_be_told_apart_share_the_first_place():
    rng = np.random.default_rng(2)
    generated = np.stack([with_moments(rng, 5, 2, 30), with_moments(rng, 5.02, 2, 30)])
    real = with_moments(rng, 6, 2, 30)
    ranking = rank_configurations(generated, real, [ONE, TWO])
    assert 0.3 < ranking.best.first_share < 0.7
    [warning] = ranking.warnings
    assert "N = 30 is too small" in warning and "'" not in warning
    assert f"{TWO} beats {ONE}" in warning


def test_examples_of_one_latent_are_resampled_together():
    # The second is the first plus a constant: latent by latent there is no doubt which is better,
    # although each response varies far more than they differ.
    rng = np.random.default_rng(3)
    first = with_moments(rng, 0, 9, 40)
    real = with_moments(rng, 30, 9, 40)
    ranking = rank_configurations(np.stack([first, first - 0.5]), real, [ONE, TWO])
    assert ranking.best.index == 0 and ranking.ahead_share == 1


def test_copies_share_the_first_place_evenly():
    rng = np.random.default_rng(4)
    responses = rng.normal(size=20)
    ranking = rank_configurations(np.stack([responses] * 4), rng.normal(1, 1, 20), FOUR)
    assert [row.first_share for row in ranking.rows] == pytest.approx([0.25] * 4)


def test_same_seed_same_ranking():
    rng = np.random.default_rng(5)
    generated, real = rng.normal(size=(3, 12)), rng.normal(size=12)
    ranking = rank_configurations(generated, real, [ONE, TWO, THREE], seed=7)
    assert ranking == rank_configurations(generated, real, [ONE, TWO, THREE], seed=7)
    assert ranking != rank_configurations(generated, real, [ONE, TWO, THREE], seed=8)


def test_vector_responses():
    rng = np.random.default_rng(6)
    real = rng.normal(size=(40, 3))
    near, far = rng.normal(size=(40, 3)), rng.normal(4, 1, size=(40, 3))
    ranking = rank_configurations(np.stack([far, near]), real, [ONE, TWO], num_resamples=50)
    expected = frechet_distance(real.mean(0), np.cov(real.T), far.mean(0), np.cov(far.T))
    assert ranking.best.index == 1 and ranking.best.first_share == 1
    assert ranking.worst.distance == pytest.approx(expected)


def test_bootstrap_of_vectors_is_that_of_the_distance_itself():
    # A layer with more units than samples, far from 0, where inner products lose digits.
    rng = np.random.default_rng(9)
    generated = rng.normal(100, 1, size=(2, 9, 30)) * rng.uniform(0.1, 3, size=30)
    real = rng.normal(100.5, 1, size=(7, 30))
    ranking = rank_configurations(
        generated, real, [ONE, TWO], num_resamples=60, confidence=0.9, seed=3
    )
    rng = np.random.default_rng(3)
    drawn, drawn_real = rng.integers(9, size=(60, 9)), rng.integers(7, size=(60, 7))
    for row in ranking.rows:
        expected = [
            frechet_distance_of_samples(real[j], generated[row.index][i])
            for i, j in zip(drawn, drawn_real, strict=True)
        ]
        low, high = np.percentile(expected, [5, 95])
        assert row.distance_low == pytest.approx(low, rel=1e-9)
        assert row.distance_high == pytest.approx(high, rel=1e-9)


def test_sets_of_different_sizes_are_warned_about():
    rng = np.random.default_rng(7)
    ranking = rank_configurations(rng.normal(size=(1, 10)), rng.normal(size=20), [ONE])
    assert "10 examples are compared with 20 real" in ranking.warnings[0]


def test_diverged_and_constant_configurations_are_refused_by_name():
    rng = np.random.default_rng(8)
    generated = rng.normal(size=(4, 10))
    generated[1, 3] = math.nan
    generated[2] = 1.5
    wild, dead = "rate 0.1, lambda 0.01, 2 steps", "rate 0.1, lambda 0.01, 3 steps"
    message = rf"'{wild}', '{dead}'.*{wild}: 1 of 10 .*{dead}: all 10 .*1.5"
    with pytest.raises(InputError, match=message):
        rank_configurations(generated, rng.normal(size=10), FOUR)
    assert list(unusable_configurations(generated, list(map(str, FOUR)))) == [1, 2]


def test_constant_real_responses_are_refused():
    with pytest.raises(InputError, match="real responses: all 5 responses are the same"):
        rank_configurations(np.arange(10.0).reshape(2, 5), np.ones(5), [ONE, TWO])


@pytest.mark.parametrize(
    "generated, real, message",
    [
        (np.zeros((3, 1)), np.zeros(3), "at least two examples"),
        (np.zeros((0, 5)), np.zeros(3), "at least two examples"),
        (np.zeros(5), np.zeros(5), "found shape"),
        (np.zeros((2, 5, 3)), np.zeros(5), "real responses: found shape"),
        (np.zeros((2, 5)), np.zeros(1), "at least two responses"),
    ],
)
def test_bad_shapes(generated, real, message):
    with pytest.raises(InputError, match=message):
        rank_configurations(generated, real, FOUR[: len(generated)])


def test_as_many_configurations_as_sets():
    with pytest.raises(InputError, match="responses of 2 configurations, expected those of 4"):
        rank_configurations(np.arange(10.0).reshape(2, 5), np.arange(5.0), FOUR)


def test_rank_correlation():
    assert rank_correlation([1, 2, 3, 4], [10, 100, 1000, 1e9]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    # 1 - 6 sum(d^2) / (n (n^2 - 1)), by hand.
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / 60)
    assert math.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))
    with pytest.raises(InputError, match="at least three"):
        rank_correlation([1, 2], [1, 2])
