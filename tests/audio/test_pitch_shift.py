"""Pitch-shifted log-mel against shifting the spectrogram and then applying the filterbank."""

import numpy as np
import pytest
import scipy.ndimage

from svdam.audio import pitch_shift
from svdam.audio.front_ends import FRONT_ENDS
from svdam.audio.log_mel import log_mel_spectrogram, magnitude_spectrogram, mel_filterbank
from svdam.audio.pitch_shift import pitch_shifted_log_mel
from svdam.core.validation import InputError


def chord(secs=1.0, seed=0):
    time_secs = np.arange(round(secs * 22050)) / 22050
    tones = sum(np.sin(2 * np.pi * hz * time_secs) for hz in (220, 700, 1900, 5200))
    return (tones + 0.01 * np.random.RandomState(seed).randn(len(time_secs))).astype(np.float32)


@pytest.mark.parametrize("percent", [10, -20, 30, -35])
def test_equals_the_affine_transform_of_the_spectrogram(percent):
    spectrogram = magnitude_spectrogram(chord())
    shifted = scipy.ndimage.affine_transform(
        spectrogram.astype(np.float64),
        (1, 1 / (1 + percent / 100)),
        output_shape=(len(spectrogram), 372),
        order=2,
    )
    expected = np.log(np.maximum(shifted @ mel_filterbank()[:372], 1e-7))
    np.testing.assert_allclose(pitch_shifted_log_mel(chord(), percent), expected, atol=2e-5)


def test_no_shift_is_the_front_end():
    np.testing.assert_allclose(
        pitch_shifted_log_mel(chord(), 0), log_mel_spectrogram(chord()), atol=5e-6
    )


@pytest.mark.parametrize("name", ["musicnn", "yamnet", "librosa"])
def test_no_shift_is_any_front_end(name, monkeypatch):
    monkeypatch.setattr(pitch_shift, "_BLOCK_FRAMES", 7)
    found = pitch_shifted_log_mel(chord(), 0, FRONT_ENDS[name])
    np.testing.assert_allclose(found, log_mel_spectrogram(chord(), FRONT_ENDS[name]), atol=2e-5)


def test_blocks_leave_no_seam(monkeypatch):
    whole = pitch_shifted_log_mel(chord(), 10)
    monkeypatch.setattr(pitch_shift, "_BLOCK_FRAMES", 7)
    np.testing.assert_allclose(pitch_shifted_log_mel(chord(), 10), whole, atol=1e-6)


def test_a_tone_moves_up():
    time_secs = np.arange(22050) / 22050
    low = np.sin(2 * np.pi * 1000 * time_secs).astype(np.float32)
    high = np.sin(2 * np.pi * 1200 * time_secs).astype(np.float32)
    found = pitch_shifted_log_mel(low, 20).mean(axis=0)
    assert found.argmax() == log_mel_spectrogram(high).mean(axis=0).argmax()


def test_shorter_than_a_window():
    assert pitch_shifted_log_mel(np.zeros(1000, np.float32), 10).shape == (0, 80)


@pytest.mark.parametrize("percent", [-95, 1000, np.nan])
def test_refuses(percent):
    with pytest.raises(InputError, match="pitch shift: found"):
        pitch_shifted_log_mel(chord(), percent)
