"""Statistics of units, in parts, against NumPy and SciPy on the whole."""

import itertools

import numpy as np
import pytest
import scipy.stats

from svdam.core.validation import InputError
from svdam.evaluation import units
from svdam.evaluation.units import alike_groups, unit_statistics


@pytest.fixture(scope="module")
def responses():
    """(500, 5): two units that are alike, one by itself, one that is constant, one below 0."""
    rng = np.random.default_rng(3)
    found = rng.normal(size=(500, 5))
    found[:, 1] = 3 * found[:, 0] + 1e-1 * found[:, 1] + 1000  # Far from 0: digits would cancel.
    found[:, 3] = 0.1
    found[:, 4] = -np.exp(found[:, 4])
    found[[3, 450], 2] = 9.0  # The same maximum twice.
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(4)
    found = (rng.random((500, 2)) < 0.3).astype(np.float32)
    found[:100, 0] = np.nan
    found[:, 1] = np.nan
    found[0, 1] = 1  # Too few.
    return found


def in_parts(*arrays, sizes=(7, 200, 1, 292)):
    edges = np.cumsum((0, *sizes))
    return lambda: (
        tuple(array[first:stop] for array in arrays) for first, stop in itertools.pairwise(edges)
    )


def test_statistics_are_those_of_the_whole(responses, labels):
    found = unit_statistics(in_parts(responses, labels), top_n=4)
    exact = responses.astype(np.float64)
    assert found.num_excerpts == 500 and found.is_finite.all()
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, exact.var(axis=0, ddof=1), rtol=1e-12)
    for unit in (0, 1, 2, 4):
        counts, edges = np.histogram(exact[:, unit], bins=units.NUM_BINS)
        np.testing.assert_allclose(found.bin_edges[unit], edges, rtol=1e-12)
        # A value on an edge may fall to either side.
        assert np.abs(found.bin_counts[unit] - counts).sum() <= 2
    assert (found.bin_counts.sum(axis=1) == 500).all()
    half = [(exact[:, unit] > exact[:, unit].max() / 2).mean() for unit in range(4)]
    np.testing.assert_allclose(found.share_above_half, [*half, np.nan])
    varying = [0, 1, 2, 4]
    np.testing.assert_allclose(
        found.correlations[np.ix_(varying, varying)],
        np.corrcoef(exact[:, varying].T),
        rtol=1e-9,
        atol=1e-12,
    )
    assert np.isnan(found.correlations[3]).all()


def test_extremes_and_their_places(responses, labels):
    found = unit_statistics(in_parts(responses, labels), top_n=4)
    for unit in range(5):
        column = responses[:, unit]
        for sign, values, places in (
            (-1, found.highest[unit], found.highest_at[unit]),
            (1, found.lowest[unit], found.lowest_at[unit]),
        ):
            order = np.argsort(sign * column, kind="stable")[:4]
            np.testing.assert_array_equal(places, order)
            np.testing.assert_array_equal(values, column[order])
    assert found.highest_at[2, :2].tolist() == [3, 450]


def test_effect_sizes_are_cohens_d(responses, labels):
    """Student's t is d times the root of n1 n2 / (n1 + n2)."""
    found = unit_statistics(in_parts(responses, labels), top_n=4).effect_sizes
    assert found.shape == (5, 2)
    for unit in (0, 1, 2, 4):
        column = responses[:, unit].astype(np.float64)
        with_it, without = column[labels[:, 0] == 1], column[labels[:, 0] == 0]
        scale = np.sqrt(len(with_it) * len(without) / (len(with_it) + len(without)))
        t = scipy.stats.ttest_ind(with_it, without).statistic
        assert found[unit, 0] == pytest.approx(t / scale, rel=1e-9)
    assert np.isnan(found[3]).all() and np.isnan(found[:, 1]).all()


def test_a_unit_that_is_not_finite_leaves_the_others_alone(responses, labels):
    broken = responses.copy()
    broken[300, 2] = np.nan
    whole = unit_statistics(in_parts(responses, labels), top_n=4)
    found = unit_statistics(in_parts(broken, labels), top_n=4)
    assert found.is_finite.tolist() == [True, True, False, True, True]
    others = [0, 1, 3, 4]
    for name in ("mean", "variance", "highest", "share_above_half", "effect_sizes"):
        np.testing.assert_array_equal(
            getattr(found, name)[others], getattr(whole, name)[others], err_msg=name
        )


def test_no_labels_many_units_and_too_few_excerpts(responses, monkeypatch):
    none = np.zeros((500, 0), np.float32)
    monkeypatch.setattr(units, "MOST_COMPARED", 4)
    found = unit_statistics(in_parts(responses, none), top_n=4)
    assert found.effect_sizes.shape == (5, 0) and found.correlations.shape == (0, 0)
    with pytest.raises(InputError, match="501 excerpts are requested, but there are 500"):
        unit_statistics(in_parts(responses, none), top_n=501)


def test_alike_units_are_neighbours_and_form_groups():
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(2, 1000))
    rows = [causes[i % 2] + 0.3 * rng.normal(size=1000) for i in range(6)]
    correlations = np.corrcoef([*rows, rng.normal(size=1000), np.arange(1000)])
    correlations[7] = correlations[:, 7] = np.nan  # Does not vary.
    order, groups = alike_groups(correlations)
    assert sorted(order) == list(range(8))
    assert len({groups[0], groups[2], groups[4]}) == len({groups[1], groups[3], groups[5]}) == 1
    assert len({groups[0], groups[1], groups[6], groups[7]}) == 4
    in_order = groups[order]
    assert in_order.tolist() == sorted(in_order)
    assert alike_groups(np.ones((1, 1)))[0].tolist() == [0]
