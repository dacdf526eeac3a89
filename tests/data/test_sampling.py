"""Shuffling as a pure function."""

import numpy as np
import pytest

from svdam.data.sampling import shuffled_items


@pytest.mark.parametrize("num_items", [1, 2, 3, 4, 5, 64, 65, 1000])
def test_every_epoch_holds_every_item_once(num_items):
    for epoch in range(4):
        positions = np.arange(epoch * num_items, (epoch + 1) * num_items)
        assert sorted(shuffled_items(positions, num_items, seed=3)) == list(range(num_items))


def test_the_order_depends_on_seed_and_epoch_alone():
    positions = np.arange(500)
    order = shuffled_items(positions, 500, seed=1)
    np.testing.assert_array_equal(order[123:], shuffled_items(positions[123:], 500, seed=1))
    for other in (shuffled_items(positions, 500, 2), shuffled_items(positions + 500, 500, 1)):
        assert np.mean(order == other) < 0.02


def test_large_numbers_of_items_and_seeds():
    items = shuffled_items(np.arange(10**12, 10**12 + 1000), 3 * 10**9 + 7, seed=-(2**70))
    assert len(set(items.tolist())) == 1000
    assert items.min() >= 0 and items.max() < 3 * 10**9 + 7


def test_orders_look_uniform():
    # Over many seeds, each item is as likely as any other to come first, and the rank of the first
    # item says nothing about the second (chi-squared with 15 and 225 degrees of freedom).
    firsts = np.array([shuffled_items(np.arange(2), 16, seed) for seed in range(8000)])
    counts = np.bincount(firsts[:, 0], minlength=16)
    assert np.sum((counts - 500) ** 2 / 500) < 45
    pairs = np.bincount(firsts[:, 0] * 16 + firsts[:, 1], minlength=256).reshape(16, 16)
    expected = 8000 / 240
    off_diagonal = ~np.eye(16, dtype=bool)
    assert np.sum((pairs[off_diagonal] - expected) ** 2 / expected) < 330
    assert not pairs[~off_diagonal].any()
