"""Band statistics against the plain two-pass computation."""

import numpy as np
import pytest

from svdam.data.statistics import band_statistics, no_frames


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_equal_to_two_passes_over_all_frames(dtype):
    rng = np.random.RandomState(1)
    songs = [(rng.normal(-8, 3, (n, 80)) + n / 900).astype(dtype) for n in (115, 9000, 1, 20000, 2)]
    gathered = no_frames(80)
    for song in songs:
        gathered = gathered.merge(band_statistics(song))
    frames = np.concatenate(songs).astype(np.float64)
    np.testing.assert_allclose(gathered.mean, frames.mean(axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(gathered.std, frames.std(axis=0, ddof=1), rtol=0, atol=1e-10)
    assert gathered.num_frames == len(frames)


def test_equal_to_welford_frame_by_frame():
    """Welford (1962) as printed, in extended precision: what the original does song by song."""
    songs = [np.random.RandomState(n).normal(-9, 4, (n, 80)) for n in (700, 1200, 300)]
    mean = np.zeros(80, np.longdouble)
    squares = np.zeros(80, np.longdouble)
    for count, frame in enumerate(np.concatenate(songs).astype(np.longdouble), 1):
        delta = frame - mean
        mean += delta / count
        squares += delta * (frame - mean)
    gathered = no_frames(80)
    for song in songs:
        gathered = gathered.merge(band_statistics(song))
    np.testing.assert_allclose(gathered.mean, mean.astype(float), rtol=0, atol=1e-12)
    std = np.sqrt(squares / (count - 1)).astype(float)
    np.testing.assert_allclose(gathered.std, std, rtol=0, atol=1e-12)


def test_a_large_offset_costs_no_digits():
    frames = np.random.RandomState(2).normal(size=(40000, 3)) + 1e8
    gathered = no_frames(3)
    for part in np.array_split(frames, 300):
        gathered = gathered.merge(band_statistics(part))
    np.testing.assert_allclose(gathered.std, frames.std(axis=0, ddof=1), rtol=1e-8)


def test_one_frame_has_no_spread():
    assert (band_statistics(np.ones((1, 4))).std == 0).all()
    assert (no_frames(4).merge(no_frames(4)).std == 0).all()
