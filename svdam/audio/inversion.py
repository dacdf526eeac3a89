"""From a log-mel spectrogram back to sound, so that an example can be heard.

Section 4.2 resynthesises examples. As the authors' code does: undo the logarithm, go back to linear
frequency with the filterbank's pseudo-inverse, set what became negative to zero (nothing is left
above 8 kHz, where no filter reaches), find phases by 100 iterations of Griffin & Lim (1984).
"""

import functools

import numpy as np

from svdam.audio.log_mel import mel_filterbank
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import require_finite, require_log_mel

GRIFFIN_LIM_ITERATIONS = 100


def log_mel_to_audio(
    log_mel: np.ndarray,
    num_iterations: int = GRIFFIN_LIM_ITERATIONS,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """Resynthesises one log-mel spectrogram.

    Args:
        log_mel: (frames, num_mels) natural logarithm of mel magnitudes.
        num_iterations: Iterations of Griffin and Lim's algorithm.
        front_end: Front-end settings.

    Returns:
        (samples,) float32 at ``front_end.sample_rate``, scaled to a peak of 1 (silence stays 0).

    Raises:
        InputError: If the shape is wrong or a value is not finite.
    """
    log_mel = require_log_mel(log_mel, front_end.num_mels)
    return log_mels_to_audio(log_mel[np.newaxis], num_iterations, front_end)[0]


def log_mels_to_audio(
    log_mels: np.ndarray,
    num_iterations: int = GRIFFIN_LIM_ITERATIONS,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """Resynthesises (batch, frames, num_mels) as (batch, samples); see `log_mel_to_audio`."""
    magnitudes = log_mels_to_magnitudes(log_mels, front_end)
    samples = _griffin_lim(magnitudes, num_iterations, front_end)
    peak = np.abs(samples).max(axis=1, keepdims=True, initial=0)
    return (samples / np.where(peak > 0, peak, 1)).astype(np.float32)


def log_mels_to_magnitudes(log_mels: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Linear-frequency magnitudes by the filterbank's pseudo-inverse.

    Args:
        log_mels: (batch, frames, num_mels).
        front_end: Front-end settings.

    Returns:
        (batch, frames, window_length // 2 + 1) float64, not negative. Values at the floor of the
        logarithm are taken as silence.
    """
    log_mels = np.asarray(log_mels, np.float64)
    require_finite(log_mels, "log-mel")
    mel = np.exp(np.minimum(log_mels, 50.0))  # exp(50) is far beyond any sound; no overflow.
    mel[log_mels <= front_end.silence + 1e-6] = 0
    return np.maximum(mel @ _inverse_filterbank(front_end), 0)


@functools.lru_cache(maxsize=8)
def _inverse_filterbank(front_end: FrontEnd) -> np.ndarray:
    """(num_mels, bins) pseudo-inverse of the filterbank."""
    inverse = np.linalg.pinv(mel_filterbank(front_end))
    bin_hz = np.linspace(0, front_end.sample_rate / 2, inverse.shape[1])
    inverse[:, bin_hz > front_end.max_hz] = 0
    return inverse


def _griffin_lim(magnitudes: np.ndarray, num_iterations: int, front_end: FrontEnd) -> np.ndarray:
    """Signals whose STFT magnitudes come close to ``magnitudes``, (batch, frames, bins).

    Uses the front end's own framing (no centre padding), so that analysing the result again gives
    as many frames. Phases start from a fixed seed: the same input sounds the same.
    """
    window = np.hanning(front_end.window_length)
    overlap = _overlap_add(
        np.broadcast_to(window**2, magnitudes.shape[1:2] + window.shape), front_end
    )
    # At the very ends the window is nearly zero; there is nothing to be divided back.
    overlap = np.maximum(overlap, 1e-3 * overlap.max(initial=1e-12))

    def synthesise(spectra: np.ndarray) -> np.ndarray:
        frames = np.fft.irfft(spectra, n=front_end.window_length, axis=-1) * window
        return _overlap_add(frames, front_end) / overlap

    phases = np.random.RandomState(0).uniform(-np.pi, np.pi, magnitudes.shape[1:])
    samples = synthesise(magnitudes * np.exp(1j * phases))
    for _ in range(num_iterations):
        frames = np.lib.stride_tricks.sliding_window_view(samples, front_end.window_length, axis=-1)
        spectra = np.fft.rfft(frames[:, :: front_end.hop_length] * window, axis=-1)
        samples = synthesise(magnitudes * spectra / np.maximum(np.abs(spectra), 1e-12))
    return samples


def _overlap_add(frames: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Adds (..., frames, window_length) at their places: (..., samples)."""
    num_frames = frames.shape[-2]
    samples = np.zeros((*frames.shape[:-2], front_end.num_samples(num_frames)))
    # Every fourth frame does not touch its like (hop 315, window 1024): add them in one go.
    stride = -(-front_end.window_length // front_end.hop_length)
    for first in range(min(stride, num_frames)):
        group = frames[..., first::stride, :]
        count, spread = group.shape[-2], stride * front_end.hop_length
        padding = [(0, 0)] * (group.ndim - 1) + [(0, spread - front_end.window_length)]
        joined = np.pad(group, padding).reshape((*group.shape[:-2], count * spread))
        start = first * front_end.hop_length
        length = min(joined.shape[-1], samples.shape[-1] - start)
        samples[..., start : start + length] += joined[..., :length]
    return samples
