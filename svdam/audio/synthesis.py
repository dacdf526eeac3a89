"""Instruments and drums of the built-in corpus.

Pure functions from notes to samples. Struck and plucked sounds are sums of decaying partials,
sustained lines are wavetables driven by curves of pitch, level and brightness, drums are swept tones
and filtered noise.

Conventions: times in seconds, pitches in MIDI note numbers, frequencies in Hz, mono samples as
float64 arrays of shape (samples,), stereo as (samples, 2).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from svdam.audio.effects import equalise


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
    """Draws an instrument of a family of plucked or struck ones; see `STRUCK`."""
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
        "bells": lambda: Struck(
            u(0.8, 2), 0.5, 0.3, 0.0, 0.37, (1, 2.76, 5.4, 8.93, 13.3), 0.05, 2
        ),
        "bass guitar": lambda: Struck(
            u(0.5, 1.5), u(1.0, 1.7), u(0.5, 1.2), 5e-5, u(0.1, 0.3), (), u(0.02, 0.2), 1
        ),
    }  # fmt: skip
    return makers[name]()


STRUCK = (
    "guitar", "electric guitar", "nylon guitar", "harp", "banjo", "piano", "electric piano",
    "vibraphone", "marimba", "bells", "bass guitar",
)  # fmt: skip


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
    note *= np.minimum(time / patch.attack_secs, 1.0) * np.clip((secs + release - time) / release, 0, 1)
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
    body = [(low * ratio * rng.uniform(0.93, 1.07), rng.uniform(3, 9), 6.0) for ratio in (1, 1.7, 3.7)]
    body += [(rng.uniform(900, 1500), -6.0, 2.0), (rng.uniform(2200, 3200), rng.uniform(3, 9), 1.5)]
    return Sustained(
        _K**-1.3, _K**-0.9, rng.uniform(0.04, 0.15), rng.uniform(0.08, 0.2), rng.uniform(0.02, 0.15),
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
    shape = [_K**-1.0, _even(0.0) * _K**-1.0, np.abs(np.sin(np.pi * _K * 0.2)) / _K][rng.integers(3)]
    cutoff = rng.uniform(4, 40)
    return Sustained(
        shape / (1 + (_K / cutoff * 2) ** 2), shape / (1 + (_K / cutoff) ** 2), 0.01, 0.05,
        rng.choice([0.01, 0.08, 0.25]), rng.uniform(4, 7), rng.choice([0, 20, 50, 90]), 0.05, 0.0,
        ((rng.uniform(600, 3000), rng.uniform(0, 10), 3.0),), 0.1,
    )  # fmt: skip


def _flute(rng: np.random.Generator) -> Sustained:
    return Sustained(
        np.exp(-_K / 0.9), np.exp(-_K / rng.uniform(1.4, 2.5)), rng.uniform(0.04, 0.1), 0.08, 0.02,
        rng.uniform(4.5, 6), rng.choice([5, 15, 35]), rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.12),
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
    swing = np.sin(2 * np.pi * np.cumsum(patch.vibrato_hz * (1 + 0.05 * _wander(frames, rng))) / curve_rate)
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
        table = tables[max(np.searchsorted(counts, 0.48 * rate / f0_hz, side="right") - 1, 0)]
        for channel in range(2):
            cycles = f0_hz * (1 + rng.normal(0, 0.002)) * time + rng.random()
            cycles += 0.004 * f0_hz / 5 * np.sin(2 * np.pi * rng.uniform(3, 6) * time + rng.random())
            index = (cycles * _TABLE_POINTS).astype(int) % _TABLE_POINTS
            out[first : first + length, channel] += note.level * ends * table[index]
    return out


def drum_kit(rate: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One rendering of each drum: kick, snare, hat, open hat, ride, crash, tom, clap, shaker, rim."""
    u = rng.uniform

    def tone(high: float, low: float, sweep: float, decay: float, secs: float) -> np.ndarray:
        time = np.arange(round(secs * rate)) / rate
        cycles = np.cumsum(low + (high - low) * np.exp(-time / sweep)) / rate
        return np.sin(2 * np.pi * cycles) * np.exp(-time / decay)

    def noise(low: float, high: float, decay: float, secs: float, attack: float = 0.001) -> np.ndarray:
        time = np.arange(round(secs * rate)) / rate
        band = butter(2, [low, min(high, 0.47 * rate)], "bandpass", fs=rate, output="sos")
        hiss = sosfilt(band, rng.standard_normal(len(time)))
        return hiss * np.exp(-time / decay) * np.minimum(time / attack, 1)

    def metal(low: float, decay: float, secs: float) -> np.ndarray:
        frequencies = rng.uniform(low, 0.45 * rate, 40)
        ring = decaying_partials(
            frequencies, u(0.3, 1, 40), np.full(40, decay) * u(0.3, 1.5, 40), round(secs * rate), rate, rng
        )
        return 0.08 * ring + noise(low, 15000, decay * 0.6, secs)

    kick = tone(u(120, 400), u(42, 65), u(0.01, 0.04), u(0.08, 0.3), 0.5)
    kick[: round(0.02 * rate)] += u(0.05, 0.6) * noise(800, 6000, 0.004, 0.02)[: round(0.02 * rate)]
    body = tone(u(250, 400), u(150, 230), 0.02, u(0.05, 0.12), 0.3)
    snare = u(0.3, 0.8) * body + u(0.5, 1.2) * noise(u(800, 2000), 10000, u(0.05, 0.14), 0.3)
    clap = sum(np.roll(noise(900, 4000, 0.03, 0.2), round(shift * rate)) for shift in (0, 0.011, 0.02))
    return {
        "kick": kick, "snare": snare,
        "hat": metal(u(5000, 7500), u(0.02, 0.05), 0.15),
        "open hat": metal(u(5000, 7000), u(0.12, 0.3), 0.6),
        "ride": metal(u(3000, 5000), u(0.25, 0.5), 1.0) * 0.7,
        "crash": metal(u(2000, 4000), u(0.5, 0.9), 1.8),
        "tom": tone(u(180, 260), u(80, 140), 0.03, u(0.1, 0.25), 0.5),
        "clap": clap,
        "shaker": noise(u(3500, 6000), 11000, 0.035, 0.15, attack=0.03) * 1.2,
        "rim": 0.6 * tone(1800, 1600, 0.01, 0.012, 0.06) + noise(1500, 6000, 0.01, 0.06),
    }  # fmt: skip


def play_drums(
    hits: Sequence[tuple[float, str, float]],
    kit: dict[str, np.ndarray],
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Plays (seconds, drum, level) in stereo, shape (samples, 2); each drum has its place."""
    out = np.zeros((num_samples, 2))
    pans = {name: 0.0 if name in ("kick", "snare") else rng.uniform(-0.7, 0.7) for name in kit}
    for secs, name, level in hits:
        first = round(secs * rate)
        sound = kit[name][: max(num_samples - first, 0)] * (level * rng.uniform(0.85, 1.1))
        left, right = np.sqrt((1 - pans[name]) / 2), np.sqrt((1 + pans[name]) / 2)
        out[first : first + len(sound), 0] += left * sound
        out[first : first + len(sound), 1] += right * sound
    return out
