"""Notes, and plucked and struck instruments, of the built-in corpus.

Pure functions from notes to samples: each note is a sum of decaying partials.

Conventions: times in seconds, pitches in MIDI note numbers, frequencies in Hz, sounds as float64
arrays of shape (samples,).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter


@dataclasses.dataclass(frozen=True)
class Note:
    """A note: start and end in seconds, MIDI pitch, level from 0 to 1."""

    start: float
    end: float
    pitch: float
    level: float = 0.8


def midi_to_hz(pitch: np.ndarray | float) -> np.ndarray | float:
    """Frequency in Hz of MIDI note numbers."""
    return 440.0 * 2.0 ** ((np.asarray(pitch) - 69.0) / 12.0)


def decaying_partials(
    frequencies_hz: np.ndarray,
    amplitudes: np.ndarray,
    decay_secs: np.ndarray,
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sum of exponentially decaying sinusoids with random phases.

    The powers of each partial's complex ratio split into an outer product of coarse and fine steps,
    so the whole note is one matrix product.

    Args:
        frequencies_hz: Shape (partials,); those above 0.45 of the rate are left out.
        amplitudes: Shape (partials,).
        decay_secs: Time constants (to 1/e), shape (partials,).
        num_samples: Length of the note.
        rate: Sample rate in Hz.
        rng: Source of the phases.
    """
    kept = frequencies_hz < 0.45 * rate
    frequencies_hz, amplitudes, decay_secs = (
        values[kept] for values in (frequencies_hz, amplitudes, decay_secs)
    )
    exponent = (2j * np.pi * frequencies_hz - 1 / decay_secs) / rate
    fine = 256
    coarse = -(-num_samples // fine)
    start = amplitudes * np.exp(2j * np.pi * rng.random(len(amplitudes)))
    rows = np.exp(np.outer(np.arange(coarse) * fine, exponent)) * start
    columns = np.exp(np.outer(exponent, np.arange(fine)))
    rows, columns = rows.astype(np.complex64), columns.astype(np.complex64)
    note = (rows.real @ columns.real - rows.imag @ columns.imag).astype(float)
    return note.reshape(-1)[:num_samples]


@dataclasses.dataclass(frozen=True)
class Struck:
    """What a plucked or struck note is made of.

    Attributes:
        decay_secs: Time constant of the lowest partial at middle C.
        tilt: Exponent of the partials' amplitudes: 1/k**tilt.
        damping: How much faster high partials decay.
        stiffness: Inharmonicity B of f_k = k f_0 sqrt(1 + B k^2).
        position: Where the string is struck, as a fraction of its length.
        ratios: Frequency ratios of the partials, where they are no string's.
        strike: Level of the noise of the pick, finger or hammer.
        strings: Strings a note; two or three beat against each other.
        attack_secs: Rise time.
    """

    decay_secs: float = 1.2
    tilt: float = 1.0
    damping: float = 0.6
    stiffness: float = 1e-4
    position: float = 0.2
    ratios: tuple[float, ...] = ()
    strike: float = 0.1
    strings: int = 2
    attack_secs: float = 0.002


def draw_struck(name: str, rng: np.random.Generator) -> Struck:
    """Draws an instrument of a family: "guitar", "piano", "vibraphone" and so on, see below."""
    u = rng.uniform
    makers = {
        "guitar": lambda: Struck(
            u(0.4, 1.2), u(0.5, 1.1), u(0.15, 0.5), u(2e-5, 1e-4), u(0.1, 0.35), (), u(0.1, 0.5), 2
        ),
        "electric guitar": lambda: Struck(
            u(0.8, 2), u(0.8, 1.4), u(0.3, 0.8), u(2e-5, 1e-4), u(0.1, 0.3), (), u(0.02, 0.1), 1
        ),
        "nylon guitar": lambda: Struck(
            u(0.3, 0.8), u(1.2, 1.7), u(0.6, 1.2), 3e-5, u(0.15, 0.4), (), u(0.03, 0.12), 2
        ),
        "harp": lambda: Struck(u(0.5, 1.2), u(1.3, 1.8), u(0.5, 1.0), 1e-5, 0.45, (), 0.02, 1),
        "banjo": lambda: Struck(u(0.15, 0.3), u(0.3, 0.7), u(0.2, 0.5), 5e-5, 0.1, (), 0.3, 1),
        "piano": lambda: Struck(
            u(0.8, 2.5), u(1.0, 1.6), u(0.4, 0.9), u(2e-4, 8e-4), 0.12, (), u(0.03, 0.15), 3
        ),
        "electric piano": lambda: Struck(
            u(0.8, 1.5), 1.5, 0.8, 0.0, 0.3, (1, 2, 3, 4.0, 7.1, 14.2), 0.03, 2
        ),
        "vibraphone": lambda: Struck(u(1, 2), 1.2, 1.0, 0.0, 0.31, (1, 3.98, 10.2, 17), 0.06, 2),
        "marimba": lambda: Struck(u(0.15, 0.3), 1.0, 1.0, 0.0, 0.31, (1, 3.93, 9.5), 0.1, 1),
        "celesta": lambda: Struck(u(0.3, 0.8), 1.0, 0.8, 0.0, 0.31, (1, 2.0, 4.1, 6.3), 0.15, 2),
        "bells": lambda: Struck(
            u(0.8, 2), 0.5, 0.3, 0.0, 0.37, (1, 2.76, 5.4, 8.93, 13.3), 0.05, 2
        ),
        "bass guitar": lambda: Struck(
            u(0.5, 1.5), u(1.0, 1.7), u(0.5, 1.2), 5e-5, u(0.1, 0.3), (), u(0.02, 0.2), 1
        ),
    }  # fmt: skip
    return makers[name]()


def struck_note(
    patch: Struck, pitch: float, secs: float, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """One plucked or struck note of about unit peak, damped after ``secs``."""
    f0_hz = float(midi_to_hz(pitch))
    if patch.ratios:
        number = np.array(patch.ratios)
        frequencies = f0_hz * number
    else:
        number = np.arange(1, min(int(0.45 * rate / f0_hz), 90) + 1, dtype=float)
        frequencies = f0_hz * number * np.sqrt(1 + patch.stiffness * number**2)
    amplitudes = (np.abs(np.sin(np.pi * patch.position * number)) + 0.03) / number**patch.tilt
    amplitudes *= rng.uniform(0.6, 1.4, len(number))
    decay = patch.decay_secs * (262 / f0_hz) ** 0.5 / (1 + patch.damping * (number - 1) / 3)
    detune = rng.normal(0, 0.0007, (patch.strings, 1))
    release = 0.06
    num_samples = round((secs + release) * rate)
    note = decaying_partials(
        np.ravel(frequencies * (1 + detune)),
        np.tile(amplitudes / patch.strings, patch.strings),
        np.ravel(decay * rng.uniform(0.5, 1.3, (patch.strings, 1))),
        num_samples,
        rate,
        rng,
    )
    time = np.arange(num_samples) / rate
    note *= np.minimum(time / patch.attack_secs, 1.0) * np.clip(
        (secs + release - time) / release, 0, 1
    )
    length = min(round(0.03 * rate), num_samples)
    tap = lfilter([1, -0.6], [1], rng.standard_normal(length)) * np.exp(-time[:length] / 0.005)
    note /= np.max(np.abs(note)) + 1e-9
    note[:length] += patch.strike * tap * 0.5
    return note


def play_struck(
    notes: Sequence[Note], patch: Struck, num_samples: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Plays notes on a plucked or struck instrument; equal pitches share two renderings."""
    out = np.zeros(num_samples + 1)
    longest = min(2.5, 4 * patch.decay_secs)
    rendered: dict[tuple[float, int], np.ndarray] = {}
    for note in notes:
        key = (note.pitch, int(rng.integers(2)))
        if key not in rendered:
            rendered[key] = struck_note(patch, note.pitch, longest, rate, rng)
        sound = rendered[key]
        secs = min(note.end - note.start, longest)
        fade = round(0.05 * rate)
        length = min(round(secs * rate) + fade, len(sound))
        shaped = sound[:length] * note.level
        shaped[-fade:] = shaped[-fade:] * np.linspace(1, 0, fade)
        add_at(out, shaped, round(note.start * rate))
    return out[:num_samples]


def add_at(out: np.ndarray, sound: np.ndarray, first: int) -> None:
    """Adds ``sound`` to ``out`` from sample ``first`` on, cut at either end."""
    skipped = max(-first, 0)
    first = max(first, 0)
    length = min(len(sound) - skipped, len(out) - first)
    if length > 0:
        out[first : first + length] += sound[skipped : skipped + length]
