"""From log-mel back to sound, judged by analysing the sound again."""

import numpy as np
import pytest
import scipy.signal

from svdam.audio.inversion import (
    INVERSIONS,
    log_mel_to_audio,
    log_mels_to_audio,
    log_mels_to_magnitudes,
    round_trip_error_db,
)
from svdam.audio.log_mel import log_mel_spectrogram, magnitude_spectrogram, mel_filterbank
from svdam.core.validation import InputError


@pytest.fixture(scope="module")
def log_mel():
    """115 frames of a harmonic tone with clicks."""
    samples = np.zeros(1024 + 114 * 315)
    time_secs = np.arange(len(samples)) / 22050
    for partial in range(1, 12):
        samples += np.sin(2 * np.pi * 220 * partial * time_secs) / partial
    samples[::5000] += 3
    return log_mel_spectrogram(0.1 * samples.astype(np.float32))


def convergence(samples, magnitudes):
    """Relative error of a sound's STFT magnitudes, at the level that fits best."""
    found = magnitude_spectrogram(samples).astype(float)
    found *= (found * magnitudes).sum() / (found * found).sum()
    return np.linalg.norm(found - magnitudes) / np.linalg.norm(magnitudes)


def test_pseudo_inverse_gives_back_the_mel_spectrum(log_mel):
    magnitudes = log_mels_to_magnitudes(log_mel[np.newaxis])[0]
    assert magnitudes.shape == (115, 513) and magnitudes.min() == 0
    bin_hz = np.linspace(0, 11025, 513)
    assert not magnitudes[:, bin_hz > 8000].any()
    # Only where the pseudo-inverse went below zero is something lost.
    again, mel = magnitudes @ mel_filterbank(), np.exp(log_mel)
    assert np.abs(again - mel).sum() / mel.sum() < 0.15


def test_sound_has_the_spectrum_that_was_asked_for(log_mel):
    samples = log_mel_to_audio(log_mel)
    assert samples.shape == (1024 + 114 * 315,) and samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(1)
    again = np.exp(log_mel_spectrogram(samples))
    mel = np.exp(log_mel)
    again *= (again * mel).sum() / (again * again).sum()
    assert np.linalg.norm(again - mel) / np.linalg.norm(mel) < 0.2
    # More iterations come closer to the magnitudes than none.
    wanted = log_mels_to_magnitudes(log_mel[np.newaxis])[0]
    assert convergence(samples, wanted) < 0.7 * convergence(log_mel_to_audio(log_mel, 0), wanted)


def test_the_tone_keeps_its_pitch(log_mel):
    frequencies, power = scipy.signal.welch(log_mel_to_audio(log_mel), 22050, nperseg=8192)
    low = (frequencies > 100) & (frequencies < 330)
    assert frequencies[low][power[low].argmax()] == pytest.approx(220, abs=25)


def test_batch_equals_single_and_is_repeatable(log_mel):
    batch = np.stack([log_mel, log_mel[::-1]])
    sounds = log_mels_to_audio(batch, 5)
    np.testing.assert_array_equal(sounds[0], log_mel_to_audio(batch[0], 5))
    np.testing.assert_array_equal(sounds, log_mels_to_audio(batch, 5))


def test_silence_and_extreme_values_stay_finite():
    silence = np.full((115, 80), np.log(1e-7))
    assert not log_mel_to_audio(silence, 2).any()
    assert np.isfinite(log_mel_to_audio(np.full((115, 80), 700.0), 2)).all()
    assert log_mel_to_audio(np.zeros((1, 80)), 2).shape == (1024,)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"found shape \(115, 79\)"):
        log_mel_to_audio(np.zeros((115, 79)))
    with pytest.raises(InputError, match="not finite"):
        log_mel_to_audio(np.full((115, 80), np.nan))


def test_momentum_comes_closer_to_the_wanted_magnitudes(log_mel):
    wanted = log_mels_to_magnitudes(log_mel[np.newaxis])[0]
    plain, fast = (log_mel_to_audio(log_mel, 60, momentum=value) for value in (0, 0.99))
    assert convergence(fast, wanted) < 0.97 * convergence(plain, wanted)


def test_least_squares_keeps_what_the_pseudo_inverse_loses(log_mel):
    mel = np.exp(log_mel)
    errors = {}
    for inversion in INVERSIONS:
        magnitudes = log_mels_to_magnitudes(log_mel[np.newaxis], inversion=inversion)[0]
        assert magnitudes.min() >= 0 and magnitudes.shape == (115, 513)
        errors[inversion] = np.linalg.norm(magnitudes @ mel_filterbank() - mel)
    assert errors["nnls"] < 0.3 * errors["pseudo_inverse"]
    # The level does not matter: librosa's solver stops by absolute tolerances.
    quiet = log_mels_to_magnitudes(log_mel[np.newaxis, :5] - 9, inversion="nnls")
    loud = log_mels_to_magnitudes(log_mel[np.newaxis, :5], inversion="nnls")
    np.testing.assert_allclose(quiet * np.exp(9), loud, atol=1e-3 * loud.max())


def test_round_trip_error_is_in_decibels_and_blind_to_the_level(log_mel):
    samples = log_mel_to_audio(log_mel, 60)
    error = round_trip_error_db(log_mel, samples)
    assert error == pytest.approx(round_trip_error_db(log_mel + 3, samples), abs=1e-6)
    assert 0.1 < error < 4
    assert round_trip_error_db(log_mel, log_mel_to_audio(log_mel, 0)) > error
    # A difference that is known: 30 of the 80 bands of noise are 6 dB louder than the sound says.
    noise = np.random.default_rng(0).normal(size=1024 + 114 * 315)
    raised = log_mel_spectrogram(noise)
    raised[:, 50:] += 6 / 8.685889638
    assert round_trip_error_db(raised, noise) == pytest.approx(6 * 30 / 80, rel=0.01)


@pytest.mark.parametrize(
    "options, message", [({"inversion": "magic"}, "'nnls'"), ({"momentum": 1}, "momentum: found 1")]
)
def test_bad_options_are_refused(log_mel, options, message):
    with pytest.raises(InputError, match=message):
        log_mel_to_audio(log_mel, 1, **options)
