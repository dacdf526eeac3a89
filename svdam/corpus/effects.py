"""Equaliser, panorama and room for the built-in corpus.

Sounds have shape (samples,) or (samples, 2); frequencies are in Hz, levels in dB.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve, lfilter, sosfilt


def equalise(
    sound: np.ndarray, bands: Sequence[tuple[float, float, float]], rate: int
) -> np.ndarray:
    """Peaking filters (Hz, dB, Q) along axis 0, as in Bristow-Johnson's "Audio EQ cookbook"."""
    sections = []
    for centre_hz, gain_db, quality in bands:
        if centre_hz < 0.45 * rate:
            omega = 2 * np.pi * centre_hz / rate
            alpha, gain = np.sin(omega) / (2 * quality), 10 ** (gain_db / 40)
            middle = -2 * np.cos(omega)
            section = np.array(
                [
                    1 + alpha * gain,
                    middle,
                    1 - alpha * gain,
                    1 + alpha / gain,
                    middle,
                    1 - alpha / gain,
                ]
            )
            sections.append(section / section[3])
    return sosfilt(np.array(sections), sound, axis=0) if sections else sound


def shelve(sound: np.ndarray, corner_hz: float, gain_db: float, rate: int) -> np.ndarray:
    """A first-order shelf that raises all above ``corner_hz`` by ``gain_db``, along axis 0."""
    gain, corner = 10 ** (gain_db / 20), np.tan(np.pi * corner_hz / rate)
    root = np.sqrt(gain)
    b = np.array([gain + corner * root, corner * root - gain]) / (1 + corner * root)
    a = np.array([1.0, (corner * root - 1) / (1 + corner * root)])
    # The cookbook's form with unit gain at 0 Hz.
    return lfilter(b * (1 + a[1]) / (b[0] + b[1]), a, sound, axis=0)


def pan(mono: np.ndarray, place: float) -> np.ndarray:
    """Puts a mono sound between left (-1) and right (1) at constant power, shape (samples, 2)."""
    return mono[:, None] * np.sqrt([(1 - place) / 2, (1 + place) / 2])


def room_response(secs: float, bright: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a room without the direct sound, in stereo, shape (samples, 2).

    Args:
        secs: Reverberation time (to -60 dB) at low frequencies.
        bright: From 0 to 1: how long high frequencies last.
        rate: Sample rate in Hz.
        rng: Source of its reflections.
    """
    time = np.arange(round(secs * rate)) / rate
    noise = rng.standard_normal((len(time), 2))
    low = lfilter([0.25], [1, -0.75], noise, axis=0) * np.exp(-6.9 * time / secs)[:, None]
    high = (noise - lfilter([0.25], [1, -0.75], noise, axis=0)) * np.exp(
        -6.9 * time / (secs * (0.2 + 0.6 * bright))
    )[:, None]
    response = low + (0.2 + 0.5 * bright) * high
    response[: round(0.008 * rate)] = 0.0
    return response / np.sqrt(np.sum(response**2, axis=0))


def reverberate(stereo: np.ndarray, response: np.ndarray, amount: float) -> np.ndarray:
    """Adds ``amount`` of room to a stereo sound, shape (samples, 2)."""
    wet = np.stack(
        [fftconvolve(stereo[:, side], response[:, side])[: len(stereo)] for side in range(2)],
        axis=1,
    )
    return stereo + amount * wet
