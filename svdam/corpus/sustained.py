"""Sustained instruments of the built-in corpus: wind, strings, organ, synthesizers and pads.

A melody becomes curves of pitch and level, and the curves drive wavetables that grow brighter with
loudness. Several instruments carry vibrato and portamento as a voice does.

Conventions: times in seconds, pitches in MIDI note numbers, frequencies in Hz, mono sounds as
float64 arrays of shape (samples,), stereo as (samples, 2).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import lfilter

from svdam.corpus.effects import equalise
from svdam.corpus.synthesis import Note, midi_to_hz


@dataclasses.dataclass(frozen=True)
class Sustained:
    """What a sustained instrument is made of.

    Attributes:
        soft: Amplitudes of the harmonics when played softly.
        loud: The same when played loudly.
        attack_secs: Rise time.
        release_secs: Fall time.
        glide_secs: Time from one pitch to the next (portamento).
        vibrato_hz: Rate of the vibrato.
        vibrato_cents: Its depth.
        tremolo: Depth of the level's swing with the vibrato.
        breath: Level of breath or bow noise.
        body: Resonances of the body, (Hz, dB, Q).
        swell: How much a note grows and fades, from 0 to 1.
    """

    soft: np.ndarray
    loud: np.ndarray
    attack_secs: float = 0.05
    release_secs: float = 0.08
    glide_secs: float = 0.03
    vibrato_hz: float = 5.5
    vibrato_cents: float = 0.0
    tremolo: float = 0.0
    breath: float = 0.0
    body: tuple[tuple[float, float, float], ...] = ()
    swell: float = 0.3


_K = np.arange(1, 129, dtype=float)


def _even(level: float) -> np.ndarray:
    return np.where(_K % 2 == 0, level, 1.0)


def _bowed(low: float, rng: np.random.Generator) -> Sustained:
    body = [
        (low * ratio * rng.uniform(0.93, 1.07), rng.uniform(3, 9), 6.0) for ratio in (1, 1.7, 3.7)
    ]
    body += [(rng.uniform(900, 1500), -6.0, 2.0), (rng.uniform(2200, 3200), rng.uniform(3, 9), 1.5)]
    return Sustained(
        _K**-1.3, _K**-0.9, rng.uniform(0.04, 0.15), rng.uniform(0.08, 0.2),
        rng.uniform(0.02, 0.15),
        rng.uniform(4.5, 6.5), rng.uniform(10, 60), rng.uniform(0.1, 0.4), 0.02, tuple(body), 0.5,
    )  # fmt: skip


def _horn(centre: float, rng: np.random.Generator) -> Sustained:
    return Sustained(
        np.exp(-_K / 3), (1 + _K / 3) * np.exp(-_K / rng.uniform(4, 7)), rng.uniform(0.02, 0.06),
        0.06, rng.uniform(0.01, 0.06), rng.uniform(4.5, 6), rng.choice([0, 10, 25, 45]), 0.15, 0.01,
        ((centre, 8.0, 1.5), (centre * 2.2, 4.0, 2.0)), 0.5,
    )  # fmt: skip


def _reed(even: float, rng: np.random.Generator) -> Sustained:
    body = ((rng.uniform(500, 900), 5.0, 2.0), (rng.uniform(1300, 2600), 6.0, 2.0))
    return Sustained(
        _even(even) * _K**-1.8, _even(even**0.6) * _K**-1.0, rng.uniform(0.02, 0.07), 0.07,
        rng.uniform(0.01, 0.1), rng.uniform(4.5, 6), rng.choice([0, 15, 35, 60]), 0.2,
        rng.uniform(0.005, 0.04), body, 0.4,
    )  # fmt: skip


def _synth(rng: np.random.Generator) -> Sustained:
    shape = [_K**-1.0, _even(0.0) * _K**-1.0, np.abs(np.sin(np.pi * _K * 0.2)) / _K][
        rng.integers(3)
    ]
    cutoff = rng.uniform(4, 40)
    return Sustained(
        shape / (1 + (_K / cutoff * 2) ** 2), shape / (1 + (_K / cutoff) ** 2), 0.01, 0.05,
        rng.choice([0.01, 0.08, 0.25]), rng.uniform(4, 7), rng.choice([0, 20, 50, 90]), 0.05, 0.0,
        ((rng.uniform(600, 3000), rng.uniform(0, 10), 3.0),), 0.1,
    )  # fmt: skip


def _flute(rng: np.random.Generator) -> Sustained:
    return Sustained(
        np.exp(-_K / 0.9), np.exp(-_K / rng.uniform(1.4, 2.5)), rng.uniform(0.04, 0.1), 0.08,
        0.02, rng.uniform(4.5, 6), rng.choice([5, 15, 35]), rng.uniform(0.2, 0.5),
        rng.uniform(0.03, 0.12),
    )  # fmt: skip


def _organ(rng: np.random.Generator) -> Sustained:
    bars = np.zeros(len(_K))
    bars[[0, 1, 2, 3, 5, 7]] = rng.uniform(0.1, 1, 6)
    bars[11::4] += 0.02
    return Sustained(bars, bars, 0.01, 0.03, 0.0, rng.uniform(5.5, 7), rng.choice([0, 8, 15]), 0.15)


def _whine(rng: np.random.Generator) -> Sustained:
    return Sustained(
        np.exp(-_K / 0.5), np.exp(-_K / rng.uniform(0.6, 1.5)), 0.08, 0.12, rng.uniform(0.1, 0.3),
        rng.uniform(4.5, 7), rng.uniform(40, 120), 0.2, 0.01,
    )  # fmt: skip


def _slide(rng: np.random.Generator) -> Sustained:
    body = ((rng.uniform(400, 800), 5.0, 1.5), (rng.uniform(1800, 3500), 7.0, 1.5))
    return Sustained(
        _K**-1.2, _K**-0.7, 0.01, 0.15, rng.uniform(0.08, 0.25), rng.uniform(4.5, 6.5),
        rng.uniform(15, 70), 0.05, 0.01, body, 0.0,
    )  # fmt: skip


SUSTAINED: dict[str, Callable[[np.random.Generator], Sustained]] = {
    "violin": lambda rng: _bowed(280, rng),
    "cello": lambda rng: _bowed(110, rng),
    "trumpet": lambda rng: _horn(1200, rng),
    "trombone": lambda rng: _horn(550, rng),
    "clarinet": lambda rng: _reed(0.1, rng),
    "saxophone": lambda rng: _reed(0.8, rng),
    "harmonica": lambda rng: _reed(0.9, rng),
    "flute": _flute,
    "organ": _organ,
    "synth lead": _synth,
    "theremin": _whine,
    "slide guitar": _slide,
}
"""Makers of sustained instruments; several carry vibrato and portamento as a voice does."""

_TABLE_POINTS = 1024


def _tables(amplitudes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Wavetables with ever more harmonics, shape (len(counts), points); Schroeder's phases."""
    phases = np.exp(1j * np.pi * _K * (_K - 1) / len(_K))
    tables = np.zeros((len(counts), _TABLE_POINTS))
    for index, count in enumerate(counts):
        spectrum = np.zeros(_TABLE_POINTS // 2 + 1, complex)
        spectrum[1 : count + 1] = (amplitudes * phases)[:count]
        tables[index] = np.fft.irfft(spectrum)
    scale = np.sqrt(np.mean(tables[-1] ** 2)) + 1e-12
    return tables / scale


def play_line(
    notes: Sequence[Note], patch: Sustained, num_samples: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Plays a melody, one note at a time, on a sustained instrument."""
    hop = 64
    frames = -(-num_samples // hop) + 1
    curve_rate = rate / hop
    pitch, level, vibrato = np.full(frames, np.nan), np.zeros(frames), np.zeros(frames)
    for note in notes:
        span = slice(round(note.start * curve_rate), round(note.end * curve_rate))
        length = len(pitch[span])
        if not length:
            continue
        time = np.arange(length) / curve_rate
        pitch[span] = note.pitch
        position = np.linspace(0, 1, length)
        shape = 1 - patch.swell * np.abs(position - 0.4)
        # A short dip parts repeated notes, as a new bow stroke or tongue does.
        level[span] = note.level * shape * np.minimum(0.3 + time / 0.04, 1)
        vibrato[span] = np.clip((time - 0.12) / 0.3, 0, 1)
    known = np.flatnonzero(np.isfinite(pitch))
    if not len(known):
        return np.zeros(num_samples)
    pitch = _follow(pitch[known][np.searchsorted(known, np.arange(frames)).clip(0, len(known) - 1)],
                    patch.glide_secs * curve_rate)  # fmt: skip
    swing = np.sin(
        2 * np.pi * np.cumsum(patch.vibrato_hz * (1 + 0.05 * _wander(frames, rng))) / curve_rate
    )
    vibrato = _follow(vibrato, 0.05 * curve_rate)
    pitch += vibrato * swing * patch.vibrato_cents / 100 + 0.03 * _wander(frames, rng)
    rising = lfilter([1 / (patch.attack_secs * curve_rate + 1)],
                     [1, 1 / (patch.attack_secs * curve_rate + 1) - 1], level)  # fmt: skip
    falling = lfilter([1 / (patch.release_secs * curve_rate + 1)],
                      [1, 1 / (patch.release_secs * curve_rate + 1) - 1], level)  # fmt: skip
    level = np.where(level > 0, rising, falling) * (1 + patch.tremolo * vibrato * swing)
    return _oscillate(pitch, np.maximum(level, 0), patch, num_samples, rate, rng)


def _oscillate(
    pitch: np.ndarray,
    level: np.ndarray,
    patch: Sustained,
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Reads the wavetables along curves of pitch and level, one value for every 64 samples."""
    samples, frames = np.arange(num_samples), np.arange(len(pitch)) * 64
    f0_hz = np.interp(samples, frames, midi_to_hz(pitch))
    loudness = np.interp(samples, frames, level)
    counts = np.array([2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 128])
    band = np.maximum(np.searchsorted(counts, 0.48 * rate / f0_hz, side="right") - 1, 0)
    phase = np.cumsum(f0_hz / rate) % 1
    point = band * _TABLE_POINTS + (phase * _TABLE_POINTS).astype(int)
    soft, loud = _tables(patch.soft, counts).reshape(-1), _tables(patch.loud, counts).reshape(-1)
    weight = np.clip(loudness, 0, 1)
    sound = (soft[point] * (1 - weight) + loud[point] * weight) * loudness
    if patch.breath:
        noise = lfilter([0.3], [1, -0.7], rng.standard_normal(num_samples))
        sound += patch.breath * loudness * noise * 3
    return equalise(sound, patch.body, rate)


def _follow(values: np.ndarray, width: float) -> np.ndarray:
    window = np.hanning(2 * max(round(width / 2), 1) + 3)[1:-1]
    padded = np.pad(values, len(window) // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _wander(length: int, rng: np.random.Generator) -> np.ndarray:
    """Slow random motion of about unit deviation."""
    return lfilter([0.14], [1, -0.99], rng.standard_normal(length))


def play_pad(
    notes: Sequence[Note],
    bright: float,
    attack_secs: float,
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sustained chords of detuned saws, in stereo, shape (samples, 2): strings or a synthesizer."""
    out = np.zeros((num_samples, 2))
    counts = np.array([4, 8, 16, 32, 64, 128])
    tables = _tables(_K**-1.0 / (1 + (_K / (4 + 30 * bright)) ** 2), counts)
    for note in notes:
        first = round(note.start * rate)
        length = min(round((note.end - note.start + 0.25) * rate), num_samples - first)
        if length <= 0:
            continue
        time = np.arange(length) / rate
        ends = np.minimum(time / attack_secs, 1) * np.clip((time[-1] - time) / 0.25, 0, 1)
        f0_hz = float(midi_to_hz(note.pitch))
        richest = int(np.searchsorted(counts, 0.48 * rate / f0_hz, side="right")) - 1
        table = tables[max(richest, 0)]
        for channel in range(2):
            cycles = f0_hz * (1 + rng.normal(0, 0.002)) * time + rng.random()
            cycles += (
                0.004 * f0_hz / 5 * np.sin(2 * np.pi * rng.uniform(3, 6) * time + rng.random())
            )
            index = (cycles * _TABLE_POINTS).astype(int) % _TABLE_POINTS
            out[first : first + length, channel] += note.level * ends * table[index]
    return out
