"""The front end against the paper's definition, written out naively."""

import numpy as np
import pytest

from svdam.audio.log_mel import (
    log_mel_blocks,
    log_mel_spectrogram,
    magnitude_spectrogram,
    mel_filterbank,
)
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError


@pytest.fixture(scope="module")
def samples():
    """Half a second of a gliding tone in noise, with digital silence at the end."""
    time_secs = np.arange(11025) / 22050
    tone = 0.5 * np.sin(2 * np.pi * (200 * time_secs + 3000 * time_secs**2))
    noise = 0.01 * np.random.RandomState(0).normal(size=11025)
    return np.where(time_secs < 0.4, tone + noise, 0).astype(np.float32)


def test_magnitudes_are_those_of_a_fourier_matrix(samples):
    n = np.arange(1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1023)  # Symmetric Hann.
    matrix = np.exp(-2j * np.pi * np.outer(n, np.arange(513)) / 1024)
    expected = [
        np.abs((samples[start : start + 1024].astype(float) * window) @ matrix)
        for start in range(0, 11025 - 1024 + 1, 315)
    ]
    found = magnitude_spectrogram(samples)
    assert found.shape == (1 + (11025 - 1024) // 315, 513) == np.shape(expected)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_filterbank_sums_and_corners():
    filterbank = mel_filterbank()
    assert filterbank.shape == (513, 80)
    np.testing.assert_allclose(filterbank.sum(axis=0), 1)
    bin_hz = np.arange(513) * 22050 / 1024
    mel = np.linspace(1127 * np.log(1 + 27.5 / 700), 1127 * np.log(1 + 8000 / 700), 82)
    corners = 700 * (np.exp(mel / 1127) - 1)
    for band in range(80):
        inside = bin_hz[filterbank[:, band] > 0]
        assert corners[band] <= inside[0] and inside[-1] <= corners[band + 2]
        # No bin between the corners is left out.
        between = (bin_hz > corners[band]) & (bin_hz < corners[band + 2])
        assert len(inside) == between.sum()
    assert not filterbank[bin_hz > 8000].any()


def test_filterbank_equals_the_original_code():
    """Values of the original ismir2015 filterbank, computed once with that code."""
    for band, first_bin, values in (
        (0, 2, [0.63705041, 0.36294959]),
        (4, 6, [0.34880708, 0.59939932, 0.05179359]),
        (5, 7, [0.06599847, 0.57200229, 0.36199924]),
    ):
        column = mel_filterbank()[:, band]
        np.testing.assert_allclose(column[first_bin : first_bin + len(values)], values, atol=5e-9)


def test_log_mel_is_the_floored_logarithm(samples):
    found = log_mel_spectrogram(samples)
    magnitudes = magnitude_spectrogram(samples).astype(np.float64)
    expected = np.log(np.maximum(magnitudes @ mel_filterbank(), 1e-7))
    np.testing.assert_allclose(found, expected, atol=5e-6)
    assert found.dtype == np.float32
    assert found[-1].max() == np.float32(np.log(1e-7)) == np.float32(FRONT_END.silence)


def test_long_recordings_are_the_same_in_blocks():
    """Over 1024 frames, where blocks meet."""
    samples = np.random.RandomState(1).normal(size=400_000).astype(np.float32)
    whole = log_mel_spectrogram(samples)
    for first in (1020, 1023, 1024):
        piece = samples[first * 315 : first * 315 + 1024 + 5 * 315]
        # Matrix products of other sizes may round otherwise.
        np.testing.assert_allclose(log_mel_spectrogram(piece), whole[first : first + 6], atol=1e-6)


@pytest.mark.parametrize("size", [1000, 65536, 399_999])
def test_samples_may_come_block_by_block(size):
    """Equal to the bit, whatever the blocks."""
    samples = np.random.RandomState(2).normal(size=700_000).astype(np.float32)
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
    found = np.concatenate(list(log_mel_blocks(blocks)))
    np.testing.assert_array_equal(found, log_mel_spectrogram(samples))


@pytest.mark.parametrize(("num_samples", "frames"), [(0, 0), (1023, 0), (1024, 1), (1339, 2)])
def test_short_recordings(num_samples, frames):
    assert log_mel_spectrogram(np.zeros(num_samples, np.float32)).shape == (frames, 80)
    assert FRONT_END.num_frames(num_samples) == frames


def test_bad_samples_are_refused():
    with pytest.raises(InputError, match=r"found shape \(10, 2\), expected \(samples,\)"):
        log_mel_spectrogram(np.zeros((10, 2)))
    with pytest.raises(InputError, match="not finite"):
        log_mel_spectrogram(np.full(2000, np.nan))
