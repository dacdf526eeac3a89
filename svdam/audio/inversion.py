"""From a log-mel spectrogram back to sound, so that an example can be heard.

Section 4.2 resynthesises examples. As the authors' code does: undo the logarithm, go back to linear
frequency with the filterbank's pseudo-inverse, set what became negative to zero (nothing is left
above 8 kHz, where no filter reaches), find phases by 100 iterations of Griffin & Lim (1984). Other
front ends are inverted in the same way; if their filters sum powers, the square root comes last.

Two options sound better and leave the paper's path: ``inversion="nnls"`` looks for magnitudes that
are not negative in the first place (least squares, librosa), and ``momentum`` above 0 is the fast
Griffin-Lim algorithm of Perraudin, Balazs & Soendergaard (WASPAA 2013). docs/concepts.md gives
their measured errors on real recordings.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.fft

from svdam.audio.filterbanks import mel_filterbank
from svdam.audio.log_mel import analysis_window, decompress, log_mel_spectrogram
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.processors import available_processors
from svdam.core.validation import InputError, quoted_list, require_finite, require_log_mel

GRIFFIN_LIM_ITERATIONS = 100
INVERSIONS = ("pseudo_inverse", "nnls")
"""Ways from mel bands back to linear frequency; the first is the paper's."""

ROUND_TRIP_RANGE_DB = 60.0
"""`round_trip_error_db` counts what is further below an excerpt's maximum as so far below it."""


def log_mel_to_audio(
    log_mel: np.ndarray,
    num_iterations: int = GRIFFIN_LIM_ITERATIONS,
    front_end: FrontEnd = FRONT_END,
    **options: Any,
) -> np.ndarray:
    """Resynthesises one log-mel spectrogram.

    Args:
        log_mel: (frames, num_mels), as `log_mel_spectrogram` computes it.
        num_iterations: Iterations of Griffin and Lim's algorithm.
        front_end: Front-end settings.
        **options: ``inversion`` and ``momentum``, as `log_mels_to_audio`.

    Returns:
        (samples,) float32 at ``front_end.sample_rate``, scaled to a peak of 1 (silence stays 0).

    Raises:
        InputError: If the shape is wrong, a value is not finite, or an option is out of range.

    Example:
        >>> import numpy as np
        >>> from svdam import log_mel_spectrogram
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> log_mel_to_audio(log_mel_spectrogram(tone)).shape
        (21814,)
    """
    log_mel = require_log_mel(log_mel, front_end.num_mels)
    return log_mels_to_audio(log_mel[np.newaxis], num_iterations, front_end, **options)[0]


def log_mels_to_audio(
    log_mels: np.ndarray,
    num_iterations: int = GRIFFIN_LIM_ITERATIONS,
    front_end: FrontEnd = FRONT_END,
    *,
    inversion: str = "pseudo_inverse",
    momentum: float = 0.0,
) -> np.ndarray:
    """Resynthesises a batch, one sound per thread.

    Args:
        log_mels: (batch, frames, num_mels), as `log_mel_spectrogram` computes them.
        num_iterations: Iterations of Griffin and Lim's algorithm.
        front_end: Front-end settings.
        inversion: One of `INVERSIONS`.
        momentum: 0 for Griffin and Lim's algorithm, as the paper; 0.99 for the fast variant.

    Returns:
        (batch, samples) float32; see `log_mel_to_audio`. A sound does not depend on its batch.

    Raises:
        InputError: As `log_mel_to_audio`.
    """
    if not 0 <= momentum < 1:
        raise InputError(f"momentum: found {momentum!r}, expected 0 to less than 1")
    magnitudes = log_mels_to_magnitudes(log_mels, front_end, inversion)
    with ThreadPoolExecutor(max(1, min(len(magnitudes), available_processors()))) as threads:
        sounds = list(
            threads.map(
                lambda one: _griffin_lim(one, num_iterations, front_end, momentum), magnitudes
            )
        )
    if not sounds:
        return np.zeros((0, front_end.num_samples(magnitudes.shape[1])), np.float32)
    return np.stack(sounds)


def log_mels_to_magnitudes(
    log_mels: np.ndarray,
    front_end: FrontEnd = FRONT_END,
    inversion: str = "pseudo_inverse",
) -> np.ndarray:
    """Linear-frequency magnitudes, by the filterbank's pseudo-inverse or by least squares.

    Args:
        log_mels: (batch, frames, num_mels).
        front_end: Front-end settings.
        inversion: One of `INVERSIONS`.

    Returns:
        (batch, frames, num_bins) float64, not negative. Values at the floor of the logarithm are
        taken as silence.

    Raises:
        InputError: If a value is not finite, or there is no such inversion.
    """
    if inversion not in INVERSIONS:
        raise InputError(
            f"inversion: found {inversion!r}, expected one of {quoted_list(INVERSIONS)}"
        )
    log_mels = np.asarray(log_mels, np.float64)
    require_finite(log_mels, "log-mel")
    mel = decompress(log_mels, front_end)
    if inversion == "pseudo_inverse":
        spectra = np.maximum(mel @ _inverse_filterbank(front_end), 0)
    else:
        spectra = np.stack([_least_squares(one, front_end) for one in mel])
    return spectra if front_end.power == 1 else np.sqrt(spectra)


def round_trip_error_db(
    log_mel: np.ndarray, samples: np.ndarray, front_end: FrontEnd = FRONT_END
) -> float:
    """Mean difference in dB between a log-mel spectrogram and that of its resynthesised sound.

    The level, which a sound of peak 1 cannot keep, is matched first: by the median difference of
    the cells within half the range. Cells more than `ROUND_TRIP_RANGE_DB` below the maximum count
    as so far below it on both sides.

    Args:
        log_mel: (frames, num_mels).
        samples: (samples,) what `log_mel_to_audio` made of it.
        front_end: Front-end settings.

    Returns:
        Mean absolute difference over all cells, in dB.
    """
    wanted = _decibels(log_mel, front_end)
    found = _decibels(log_mel_spectrogram(samples, front_end), front_end)
    loud = wanted > wanted.max() - ROUND_TRIP_RANGE_DB / 2
    found = found + np.median((wanted - found)[loud])
    floor = wanted.max() - ROUND_TRIP_RANGE_DB
    return float(np.abs(np.maximum(found, floor) - np.maximum(wanted, floor)).mean())


def _decibels(log_mel: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Mel bands in dB, before the offset of the logarithm."""
    mel = np.maximum(decompress(log_mel, front_end), np.finfo(np.float64).tiny)
    return (20 if front_end.power == 1 else 10) * np.log10(mel)


@functools.lru_cache(maxsize=8)
def _inverse_filterbank(front_end: FrontEnd) -> np.ndarray:
    """(num_mels, bins) pseudo-inverse of the filterbank."""
    inverse = np.linalg.pinv(mel_filterbank(front_end))
    bin_hz = np.linspace(0, front_end.sample_rate / 2, inverse.shape[1])
    inverse[:, bin_hz > front_end.max_hz] = 0
    return inverse


def _least_squares(mel: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """(frames, bins) magnitudes >= 0 whose mel spectrum is closest to ``mel``, (frames, mels)."""
    import librosa

    filterbank = mel_filterbank(front_end)
    num_bins = int(np.flatnonzero(filterbank.any(axis=1))[-1]) + 1  # No filter reaches further.
    # The solver stops by absolute tolerances: louder input is solved more exactly, and more slowly.
    # A maximum of 1000 would take several times as long and gain 0.1 dB in the round trip.
    scale = max(mel.max(initial=0), 1e-30) / 100
    found = np.zeros((len(mel), len(filterbank)))
    found[:, :num_bins] = librosa.util.nnls(filterbank[:num_bins].T, mel.T / scale).T * scale
    return found


def _griffin_lim(
    magnitudes: np.ndarray, num_iterations: int, front_end: FrontEnd, momentum: float
) -> np.ndarray:
    """A signal of peak 1 whose STFT magnitudes come close to ``magnitudes``, (frames, bins).

    Uses the front end's own framing, so that analysing the result again gives as many frames.
    Phases start from a fixed seed: the same input sounds the same. Single precision halves the
    time; its rounding is far below what Griffin-Lim leaves undone.
    """
    num_samples = front_end.num_samples(len(magnitudes))
    peak = magnitudes.max(initial=0)
    if peak <= 0:
        return np.zeros(num_samples, np.float32)
    magnitudes = (magnitudes / peak).astype(np.float32)
    window = analysis_window(front_end).astype(np.float32)
    overlap_add = _OverlapAdd(len(magnitudes), front_end)
    overlap = overlap_add(np.broadcast_to(window**2, (len(magnitudes), len(window)))).copy()
    # At the very ends the window is nearly zero; there is nothing to be divided back.
    overlap = np.maximum(overlap, 1e-3 * overlap.max())
    inside = slice(front_end.padding, front_end.padding + num_samples)
    overlap[: inside.start] = overlap[inside.stop :] = np.inf  # Silence, which is not heard.

    def synthesise(spectra: np.ndarray) -> np.ndarray:
        frames = scipy.fft.irfft(spectra, n=front_end.fft_length, axis=-1)
        return overlap_add(frames[:, : len(window)] * window) / overlap

    phases = np.random.RandomState(0).uniform(-np.pi, np.pi, magnitudes.shape)
    samples = synthesise((magnitudes * np.exp(1j * phases)).astype(np.complex64))
    previous = None
    for _ in range(num_iterations):
        frames = np.lib.stride_tricks.sliding_window_view(samples, len(window))
        windowed = frames[:: front_end.hop_length] * window
        spectra = scipy.fft.rfft(windowed, front_end.fft_length, axis=-1)
        ahead = spectra
        if momentum and previous is not None:
            ahead = spectra + np.float32(momentum) * (spectra - previous)
        previous = spectra
        norms = np.sqrt(np.square(ahead.real) + np.square(ahead.imag))
        samples = synthesise(ahead * (magnitudes / np.maximum(norms, 1e-15)))
    samples = samples[inside]
    return samples / max(np.abs(samples).max(), 1e-30)


class _OverlapAdd:
    """Adds (frames, window_length) at their places: (samples,), in a buffer that is used again."""

    def __init__(self, num_frames: int, front_end: FrontEnd):
        self._window_length, self._hop_length = front_end.window_length, front_end.hop_length
        # Every fourth frame does not touch its like (hop 315, window 1024): add them in one go.
        self._stride = -(-front_end.window_length // front_end.hop_length)
        self._num_samples = self._window_length + (num_frames - 1) * self._hop_length
        span = self._stride * self._hop_length
        self._buffer = np.zeros((-(-num_frames // self._stride) + 1) * span, np.float32)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        span = self._stride * self._hop_length
        self._buffer[:] = 0
        for first in range(min(self._stride, len(frames))):
            group = frames[first :: self._stride]
            start = first * self._hop_length
            places = self._buffer[start : start + len(group) * span].reshape(len(group), span)
            places[:, : self._window_length] += group
        return self._buffer[: self._num_samples]
