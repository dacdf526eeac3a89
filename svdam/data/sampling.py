"""Shuffling as a pure function: what comes i-th is computed, not remembered.

A shuffled order of any number of items takes no memory and can be entered anywhere, so that
training resumes exactly and workers share the work without talking to each other. Each epoch is a
permutation of its own, made by a Feistel network: the index is split into two halves of bits, and
each round adds a hash of one half to the other, which can be undone, so no two indices collide.
Indices that fall outside the range are sent through again until they fall inside (cycle walking).
"""

from typing import Any

import numpy as np

_ROUNDS = 8


def shuffled_items(positions: np.ndarray, num_items: int, seed: int) -> np.ndarray:
    """The items at some positions of an endless sequence of shuffled epochs.

    Args:
        positions: Places in the sequence, int64, from 0 on. Epoch e covers the positions from
            e * num_items to (e + 1) * num_items - 1, and holds every item once.
        num_items: Number of items, from 1 on.
        seed: Names the sequence.

    Returns:
        Items from 0 to num_items - 1, int64, of the shape of ``positions``.
    """
    epochs, places = np.divmod(np.asarray(positions, np.int64), num_items)
    half_bits = max(1, (int(num_items - 1).bit_length() + 1) // 2)
    keys = _mix(_mix(np.uint64(seed % 2**64)) ^ epochs.astype(np.uint64))
    items = _permute(places.astype(np.uint64), keys, half_bits)
    outside = items >= num_items
    while outside.any():
        items[outside] = _permute(items[outside], keys[outside], half_bits)
        outside = items >= num_items
    return items.astype(np.int64)


def _permute(values: np.ndarray, keys: np.ndarray, half_bits: int) -> np.ndarray:
    """A permutation of the numbers below 2 ** (2 * half_bits), chosen by the keys."""
    mask, shift = np.uint64((1 << half_bits) - 1), np.uint64(half_bits)
    left, right = values >> shift, values & mask
    for number in range(_ROUNDS):
        rounded = _mix(keys + np.uint64(number) ^ (right << np.uint64(32)))
        left, right = right, left ^ (rounded & mask)
    return (left << shift) | right


def _mix(values: np.ndarray | np.uint64) -> Any:
    """The finaliser of splitmix64: spreads every bit over all 64 bits. Overflow is meant."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
